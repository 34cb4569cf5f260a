"""What two tables of a configuration cannot both have."""

from pathlib import Path

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.app import App
from hisbus_bus.kernel.clashes import listening, stored
from hisbus_bus.kernel.settings import Settings


def site(web: str, *listens: str) -> Settings:
    connectors = [{"name": f"c{number}", "type": "x", "listen": one} for number, one in enumerate(listens)]
    return Settings(site="test", web={"listen": web}, connectors=connectors)


@pytest.mark.parametrize(
    ("web", "listens", "met"),
    [
        ("127.0.0.1:1", ["127.0.0.1:2", "127.0.0.1:3"], 0),
        ("127.0.0.1:1", ["127.0.0.1:1"], 1),
        ("127.0.0.1:1", ["0.0.0.0:1"], 1),
        ("[::]:1", ["localhost:1"], 1),
        ("127.0.0.1:1", ["localhost:1"], 1),
        ("127.0.0.1:1", ["10.0.0.1:1"], 0),
        ("127.0.0.1:0", ["127.0.0.1:0", "127.0.0.1:0"], 0),
        ("127.0.0.1:1", ["127.0.0.1:2", "127.0.0.1:2", "127.0.0.1:2"], 3),
        ("nowhere", ["nowhere"], 0),
    ],
)
def test_two_that_would_listen_at_one_address_are_told(web: str, listens: list[str], met: int) -> None:
    assert len(list(listening(site(web, *listens), web=True))) == met


def test_where_the_page_is_another_process_only_connectors_meet() -> None:
    assert list(listening(site("127.0.0.1:1", "127.0.0.1:1"), web=False)) == []


def test_what_lies_on_servers_shares_no_file() -> None:
    log, database = {"url": "kafka://k"}, {"url": "postgresql://hisbus@db/hisbus"}
    assert list(stored(Settings(site="test", log=log, database=database))) == []


async def test_a_site_whose_tables_meet_does_not_start_and_writes_nothing(tmp_path: Path) -> None:
    one = {"url": f"sqlite:///{tmp_path}/one.db"}
    settings = site("127.0.0.1:1", "127.0.0.1:1").model_copy(
        update={"log": Settings(site="x", log=one).log, "database": Settings(site="x", database=one).database}
    )
    with pytest.raises(ConfigError) as raised:
        async with App(settings).running():
            pass
    assert str(raised.value).splitlines() == [
        f"database.url: {tmp_path}/one.db is the file of log.url. Give each a file of its own.",
        "connector 'c0': listen: web.listen listens at 127.0.0.1:1, too. Choose another port for one of them.",
    ]
    assert list(tmp_path.iterdir()) == []
