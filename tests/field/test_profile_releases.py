"""Profiles are releases: which one read a message, who put it in, one step back."""

import asyncio
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.field.site import HIS, Field, admission
from typer.testing import CliRunner, Result

from hisbus.errors import ConfigError
from hisbus_bus.command.main import app
from hisbus_bus.flow.lag import lag
from hisbus_bus.kernel import profiles, tables
from hisbus_bus.kernel.site import Site
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping

ME = f"command:{pwd.getpwuid(os.getuid()).pw_name}"
SITE = """site = "test"
[log]
url = "sqlite:///log.db"
[database]
url = "sqlite:///hisbus.db"
[[connectors]]
name = "his"
type = "hl7v2"
"""
FIRST = '[codes.class.words]\nIP = "inpatient"\n'
SECOND = '[codes.class.words]\nIP = "outpatient"\n'
Run = Callable[..., Result]


def mapping(path: Path, text: str) -> Mapping:
    path.write_text(text)
    return Mapping(Hl7v2Connector({**HIS, "profile": path}))


async def kept(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        query = select(tables.releases).where(tables.releases.c.kind == "profile").order_by(tables.releases.c.created)
        return list(await connection.execute(query))


async def test_what_read_a_message_is_a_release_that_its_row_names() -> None:
    async with Field(())._site([HIS]) as (site, intakes):
        connector, intake = intakes["his"]
        await connector.take(admission("1"), intake.store)
        async with asyncio.timeout(60):
            while any(count for step, count in (await lag(site, [])).items() if step != "writeback"):
                await asyncio.sleep(0.02)
        async with site.database.read() as connection:
            listed = await profiles.listed(connection)
        ((row, messages),) = listed
        assert (row.name, row.state, row.author, messages) == ("his", "live", "step:translate", 1)
        assert row.made_from == profiles.SHIPPED and profiles.over_of(row) == ""
        async with site.database.read() as connection:
            assert await connection.scalar(select(tables.messages.c.mapping)) == row.version


async def test_one_is_live_and_who_put_it_in_first_stays(tmp_path: Path) -> None:
    one, other = mapping(tmp_path / "a.toml", FIRST), mapping(tmp_path / "b.toml", SECOND)
    async with Field(())._site([HIS]) as (site, _):
        for made, author in ((one, "ann"), (one, "step:translate"), (other, "bob"), (one, "eve"), (other, "eve")):
            async with site.database.write() as connection:
                await profiles.put_in(connection, made, author=author)
        first, second = (row for row in await kept(site) if row.made_from != profiles.SHIPPED)
        assert [first.author, second.author] == ["ann", "bob"]
        assert [first.state, second.state] == ["retired", "live"]
        assert second.parent == first.id and profiles.over_of(first) == FIRST
        assert [row.state for row in await kept(site)].count("live") == 1
        async with site.database.read() as connection:
            query = select(tables.audit.c.actor).where(tables.audit.c.action == "profile.put_in")
            told = list(await connection.scalars(query.order_by(tables.audit.c.id)))
        assert told == ["step:translate", "ann", "bob", "eve", "eve"], "each change, and no repetition"


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in the folder of a site that has a file of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUDO_USER", raising=False)
    Path("hisbus.toml").write_text(SITE + 'profile = "our-his.toml"\n')
    Path("our-his.toml").write_text(FIRST)
    return lambda *words: CliRunner().invoke(app, [*words])


def rows(hisbus: Run) -> list[list[str]]:
    """Return name, state and author of the profiles as they are listed."""
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in hisbus("profile", "releases").output.splitlines()
    ]
    return [[line[1], line[2], line[4]] for line in lines if len(line) == 7]


def test_a_file_is_put_in_and_the_one_before_comes_back_by_its_name(hisbus: Run) -> None:
    Path("tested.toml").write_text(SECOND)
    result = hisbus("profile", "use", "tested.toml")
    assert result.exit_code == 0, result.exception
    assert Path("our-his.toml").read_text() == SECOND
    (new, live, by), (old, retired, _) = rows(hisbus)
    assert (live, retired, by) == ("live", "retired", ME) and new in result.output
    assert hisbus("profile", "use", old).exit_code == 0
    assert Path("our-his.toml").read_text() == FIRST
    assert rows(hisbus) == [[old, "live", ME], [new, "retired", ME]]
    assert not list(Path().glob(".our-his*"))


def test_what_does_not_compile_is_not_put_in_and_a_broken_file_can_be_mended(hisbus: Run) -> None:
    Path("tested.toml").write_text('[subject.stay]\nwardd = "PV1-3"\n')
    result = hisbus("profile", "use", "tested.toml")
    assert isinstance(result.exception, ConfigError) and str(result.exception).startswith("tested.toml:2: ")
    assert Path("our-his.toml").read_text() == FIRST and rows(hisbus) == []
    Path("our-his.toml").write_text("[broken")
    Path("tested.toml").write_text(SECOND)
    assert hisbus("profile", "use", "tested.toml").exit_code == 0
    assert Path("our-his.toml").read_text() == SECOND and len(rows(hisbus)) == 1


def test_a_name_that_nobody_knows_and_a_connector_without_a_file_are_refused(hisbus: Run) -> None:
    assert "neither a file nor" in str(hisbus("profile", "use", "hl7v2-0").exception)
    Path("hisbus.toml").write_text(SITE)
    assert "names no file" in str(hisbus("profile", "use", "our-his.toml").exception)
