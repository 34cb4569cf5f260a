"""``hisbus bench``: its site is its own and goes with it; what it says follows from what was used."""

import os
import secrets
import tempfile
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hisbus.errors import ConfigError
from hisbus_bus.command import bench
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import DatabaseSettings, LogSettings, PluginSettings, Settings
from hisbus_bus.kernel.topics import TOPICS, topic_name
from hisbus_bus.lab import measured, usage
from hisbus_bus.lab.measured import Load
from hisbus_bus.lab.scratch import scratch
from hisbus_bus.lab.usage import OURS, Usage


def settings(tmp_path: Path, **more: object) -> Settings:
    log = LogSettings(url=f"sqlite:///{tmp_path}/log.db")
    database = DatabaseSettings(url=f"sqlite:///{tmp_path}/hisbus.db")
    return Settings(site="ward", log=log, database=database, **more)


async def test_the_scratch_site_stores_elsewhere_under_a_name_of_its_own(tmp_path: Path) -> None:
    own = settings(tmp_path, connectors=[{"name": "his", "type": "hl7v2"}], anchor_file=tmp_path / "anchor")
    async with scratch(own, tmp_path / "one") as one, scratch(own, tmp_path / "other") as other:
        assert len({own.site, one.site, other.site}) == 3
        for made in (one, other):
            assert made.log.url not in own.log.url and str(tmp_path / "o") in made.log.url
            assert made.database.url != own.database.url and str(tmp_path / "o") in made.database.url
            assert (made.connectors, made.anchor_file) == ([], None)
            assert made.secret_file is not None and made.secret_file.stat().st_mode & 0o077 == 0


async def test_embedded_goes_before_what_is_configured(tmp_path: Path) -> None:
    own = Settings(
        site="ward",
        log=LogSettings(url="kafka://nowhere.invalid:9092"),
        database=DatabaseSettings(url="postgresql://nobody@nowhere.invalid/ward"),
    )
    async with scratch(own, tmp_path / "one", embedded=True) as made:
        assert made.log.url.startswith("sqlite:///") and made.database.url.startswith("sqlite:///")


async def _topics(kafka: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


def _databases(postgres: str) -> set[str]:
    with psycopg.connect(postgres) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


@pytest.mark.kafka
@pytest.mark.postgres
async def test_nothing_is_left_on_the_servers_and_the_sites_own_stays(
    kafka: str, postgres_url: str, tmp_path: Path
) -> None:
    log = LogSettings(url=f"kafka://{kafka}", durability="single-broker")
    own = Settings(site=f"ward-{secrets.token_hex(4)}", log=log, database=DatabaseSettings(url=postgres_url))
    await Cluster(own.log, own.site).apply()
    with pytest.raises(RuntimeError, match="stopped"):
        async with scratch(own, tmp_path / "one") as made:
            database = made.site.replace("-", "_")
            assert made.database.url == f"{postgres_url.rpartition('/')[0]}/{database}"
            assert database in _databases(postgres_url)
            assert {topic_name(made.site, topic) for topic in TOPICS} <= await _topics(kafka)
            raise RuntimeError("stopped")
    there = await _topics(kafka)
    assert not any(name.startswith(made.site) for name in there)
    assert {topic_name(own.site, topic) for topic in TOPICS} <= there
    assert database not in _databases(postgres_url)


@pytest.mark.postgres
async def test_a_user_that_may_make_no_database_is_told_what_to_do(postgres_url: str, tmp_path: Path) -> None:
    user = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{user}" LOGIN')
        try:
            theirs = f"postgresql://{user}@{postgres_url.partition('@')[2]}"
            own = settings(tmp_path).model_copy(update={"database": DatabaseSettings(url=theirs)})
            with pytest.raises(ConfigError, match="CREATEDB"):
                async with scratch(own, tmp_path / "one"):
                    pass
        finally:
            connection.execute(f'DROP ROLE "{user}"')


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIMULATOR", "hisbus_absent")
    with pytest.raises(ConfigError, match="Install hisbus-simulator beside hisbus"):
        bench.bench(settings(tmp_path), embedded=False, yes=True)


@pytest.mark.long
def test_it_measures_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, less in (("CALM_STAYS", 1), ("CALM_RATE", 100), ("STAYS", (1, 1))):
        monkeypatch.setattr(bench, name, less)
    off = {name: PluginSettings(enabled=False) for name in ("coding", "documentation")}
    bench.bench(settings(tmp_path, plugins=off), embedded=True, yes=False)
    said = capsys.readouterr().out
    first, kept, soon, *_ = said.splitlines()
    assert first.endswith("on the embedded log and database, 2 cores.".replace("2", str(measured.cores())))
    assert int(first.split()[0].replace(",", "")) > 30
    assert kept.startswith("Kept: ") and "a finding was open" in soon
    assert "plugin qc" in said and "KiB in the log" in said
    assert list(tmp_path.iterdir()) == []


def load(cpu_s: dict[str, float], busy_s: float, events: int = 1000, seconds: float = 10.0) -> Load:
    nothing = Usage({}, 0.0, {})
    return Load(events, seconds, nothing, Usage(cpu_s, busy_s, {}), {})


@pytest.mark.parametrize(
    "cpu_s, busy, said",
    [
        ({OURS: 19.0, "plugin qc": 12.0}, 0.95, "The limit is the processor"),
        ({OURS: 9.0, "plugin qc": 5.0}, 0.95, "Other programs took 60% of this machine"),
        ({OURS: 9.0, "plugin qc": 5.0}, 0.5, "The limit is one core: hisbus filled it"),
        ({OURS: 3.0, "plugin qc": 8.8}, 0.5, "The limit is one core: plugin qc filled it"),
        ({OURS: 3.0, "plugin qc": 2.0}, 0.3, "No core was full"),
    ],
)
def test_the_limit_is_where_it_is_full(
    cpu_s: dict[str, float], busy: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "cores", lambda: 4)
    assert " ".join(measured.limit(load(cpu_s, busy * 4 * 10))).startswith(said)


def test_cores_follow_from_the_cost_of_a_message() -> None:
    one = load({OURS: 4.0, "Kafka": 2.0}, 0.0)
    assert one.kept == 100
    assert dict(one.cpu_ms) == {OURS: 4.0, "Kafka": 2.0}
    assert measured.wanted(one)[100] == pytest.approx(100 * 0.006 / measured.BUSY)


@pytest.mark.skipif(not usage.PROC.is_dir(), reason="this system has no /proc")
def test_usage_knows_this_process_and_counts_no_other() -> None:
    begun = usage.usage()
    sum(number * number for number in range(300_000))
    ended = usage.usage(["Kafka", "PostgreSQL"])
    assert ended.cpu_s[OURS] > begun.cpu_s[OURS]
    assert ended.busy_s >= begun.busy_s > 0
    assert begun.rss_mb[OURS] > 1
    assert set(begun.cpu_s) == {OURS}


def test_a_plugin_counts_where_this_process_has_started_it() -> None:
    words = ["python", "-m", "hisbus.child", "qc", "9"]
    known = {
        10: usage._Process(10, os.getpid(), ["bwrap"], 0.0, 0.0),
        11: usage._Process(11, 10, words, 1.0, 1.0),
        12: usage._Process(12, 1, words, 1.0, 1.0),
    }
    assert [usage._named(known[pid], known, ()) for pid in (10, 11, 12)] == ["", "plugin qc", ""]
