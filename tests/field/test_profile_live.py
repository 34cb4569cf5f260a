"""One profile is live for each connector, in all processes, and they take up another while they run."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.field.site import HIS, Field, admission

from hisbus.errors import RetryLater
from hisbus_bus.flow.lag import lag
from hisbus_bus.flow.translate import Translate
from hisbus_bus.kernel import live as living
from hisbus_bus.kernel import profiles, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.live import Live, live
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping

FIRST = '[codes.class.words]\nIP = "inpatient"\n'
SECOND = '[codes.class.words]\nIP = "outpatient"\n'
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "our-his.toml"
    path.write_text(FIRST)
    return path


def mapping(file: Path, text: str | None = None) -> Mapping:
    return Mapping(Hl7v2Connector({**HIS, "profile": file}), text=text)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Field(())._site([]) as (site, _):
        yield site


async def put_in(site: Site, made: Mapping, author: str = "ann") -> None:
    async with site.database.write() as connection:
        await profiles.put_in(connection, made, author=author)


async def read_by(site: Site) -> list[str]:
    """Return by what each message was read, in their order."""
    row = tables.messages.c
    async with site.database.read() as connection:
        return list(await connection.scalars(select(row.mapping).order_by(row.offset)))


async def is_live(site: Site) -> list[str]:
    row = tables.releases.c
    async with site.database.read() as connection:
        return list(await connection.scalars(select(row.version).where(row.kind == "profile", row.state == "live")))


def batch(*offsets: int) -> Batch:
    body = admission("1").replace(b"\n", b"\r")
    records = [
        Record("raw", 0, offset, "key", body, {"message": f"m{offset}", "connector": "his"}, NOON) for offset in offsets
    ]
    return Batch(records, {0: offsets[-1] + 1})


async def test_a_running_site_reads_its_next_message_by_what_was_put_in(file: Path) -> None:
    async with Field(())._site([{**HIS, "profile": file}]) as (site, intakes):
        connector, intake = intakes["his"]

        async def told(number: str) -> None:
            await connector.take(admission(number), intake.store)
            async with asyncio.timeout(60):
                while any(count for step, count in (await lag(site, [])).items() if step != "writeback"):
                    await asyncio.sleep(0.02)

        await told("1")
        second = mapping(file, SECOND)
        await put_in(site, second)
        await told("2")
        before, after = await read_by(site)
        assert before == mapping(file).name and after == second.name
        assert await is_live(site) == [second.name]


async def test_two_processes_read_alike_whatever_their_own_files_say(site: Site, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.toml", tmp_path / "theirs.toml"
    ours.write_text(FIRST)
    theirs.write_text(FIRST)
    one, other = Translate(site, Live([mapping(ours)])), Translate(site, Live([mapping(theirs)]))
    await put_in(site, mapping(ours))
    offsets = iter(range(100))
    expected: list[str] = []
    for text in (FIRST, SECOND, FIRST):
        used = mapping(ours, text)
        await put_in(site, used)
        for step in (one, other, one):
            await step.handle(batch(next(offsets), next(offsets)))
            expected += [used.name] * 2
    assert await read_by(site) == expected


async def test_intake_and_page_take_it_up_beside_translate(
    site: Site, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "EVERY_S", 0.01)
    second, mine = mapping(file, SECOND), Live([mapping(file)])
    running = asyncio.create_task(mine.run(site.database))
    try:
        assert mine["his"].name == mapping(file).name
        await put_in(site, second)
        async with asyncio.timeout(60):
            while mine["his"].name != second.name:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_file_that_nobody_put_in_is_live_from_the_start(site: Site, file: Path) -> None:
    await Live([mapping(file)]).put_in(site.database)
    assert await is_live(site) == [mapping(file).name]
    file.write_text(SECOND)
    mine = Live([mapping(file)])
    await mine.put_in(site.database)
    assert await is_live(site) == [mapping(file).name] == [mine["his"].name]


async def test_a_new_file_is_put_in_also_where_what_was_live_is_followed_first(site: Site, file: Path) -> None:
    await put_in(site, mapping(file))
    file.write_text(SECOND)
    mine = Live([mapping(file)])
    async with site.database.read() as connection:
        await mine.follow(connection)
    await mine.put_in(site.database)
    assert await is_live(site) == [mapping(file).name] == [mine["his"].name]


async def test_an_old_file_on_one_machine_brings_nothing_back(
    site: Site, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await put_in(site, mapping(file))
    second = mapping(file, SECOND)
    await put_in(site, second)
    mine = Live([mapping(file)])
    await mine.put_in(site.database)
    assert await is_live(site) == [second.name] == [mine["his"].name]
    assert "profile replaced" in caplog.text and str(file) in caplog.text


async def test_the_same_file_under_another_reader_is_put_in_by_a_start(site: Site, file: Path) -> None:
    older: Any = mapping(file)
    older.__dict__["name"] = "hl7v2-older"
    await put_in(site, older)
    await Live([mapping(file)]).put_in(site.database)
    assert await is_live(site) == [mapping(file).name]


async def test_what_this_machine_cannot_read_holds_translate_and_says_what_to_do(site: Site, file: Path) -> None:
    first = mapping(file)
    newer: Any = mapping(file, SECOND)
    newer.over = '[subject.stay]\nnot_there_yet = "PV1-3"\n'
    await put_in(site, newer)
    mine = Live([first])
    step = Translate(site, mine)
    with pytest.raises(RetryLater, match="does not compile") as caught:
        await step.handle(batch(0))
    assert caught.value.code == "profile_refused"
    assert await read_by(site) == [] and mine["his"] is first
    await put_in(site, mapping(file, SECOND))
    await step.handle(batch(0))
    assert await read_by(site) == [mapping(file, SECOND).name]


async def test_a_command_goes_by_what_is_live(site: Site, file: Path) -> None:
    second = mapping(file, SECOND)
    await put_in(site, second)
    assert (await live(site.database, [mapping(file)]))["his"].name == second.name
