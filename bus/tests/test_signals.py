"""A state is written once when it begins and once when it ends."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hisbus.errors import RetryLater
from hisbus_bus.host import agents
from hisbus_bus.kernel import signals
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.signals import Signal, Signals

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def everything(database: Database) -> list[Signal]:
    async with database.read() as connection:
        return await signals.newest(connection, 100)


async def test_a_state_lasts_until_it_ends_and_is_counted_while_it_lasts(database: Database) -> None:
    async with database.write() as connection:
        assert await signals.begin(connection, "step:chart", "outage", "database", NOON)
        assert not await signals.begin(connection, "step:chart", "outage", "log", NOON + timedelta(seconds=1))
        assert await signals.begin(connection, "step:chart", "held", "pause")
        assert [one.kind for one in await signals.lasting(connection)] == ["outage", "held"]
        assert await signals.end(connection, "step:chart", "outage", NOON + timedelta(minutes=1))
        assert not await signals.end(connection, "step:chart", "outage")
        assert [one.kind for one in await signals.lasting(connection)] == ["held"]
        assert await signals.begin(connection, "step:chart", "outage", "database")
    *_, first = await everything(database)
    assert (first.since, first.ended, first.detail, first.count) == (
        NOON, NOON + timedelta(minutes=1), "database", 2,
    )  # fmt: skip
    assert len(await everything(database)) == 3


async def test_two_processes_that_say_the_same_at_once_make_one_signal(database: Database) -> None:
    async def say() -> None:
        async with database.write() as connection:
            await signals.begin(connection, "step:chart", "outage", "log")

    await asyncio.gather(*(say() for _ in range(8)))
    (one,) = await everything(database)
    assert one.count == 8


async def test_a_process_says_a_state_once_however_often_it_is_told(database: Database) -> None:
    said = Signals(database)
    for _ in range(3):
        said.begins("step:chart", "outage", "database")
        await said.write()
    for _ in range(3):
        said.ends("step:chart", "outage")
        await said.write()
    (one,) = await everything(database)
    assert (one.count, one.ended is None) == (1, False)


async def test_the_first_word_of_a_process_ends_what_a_killed_one_left(database: Database) -> None:
    killed, next_one = Signals(database), Signals(database)
    killed.begins("agent:qc", "down", "crashed")
    await killed.write()
    next_one.ends("agent:qc", "down")
    await next_one.write()
    (one,) = await everything(database)
    assert one.ended is not None


async def test_what_cannot_be_written_now_is_written_later_with_the_times_at_which_it_was_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, tried = Signals(database), asyncio.Event()

    @asynccontextmanager
    async def away() -> Any:
        tried.set()
        raise RetryLater(code="database")
        yield

    monkeypatch.setattr(database, "write", away)
    monkeypatch.setattr(signals, "AGAIN_S", 0.01)
    writing = asyncio.create_task(said.run())
    said.begins("step:chart", "outage", "database")
    async with asyncio.timeout(10):
        await tried.wait()
        said.ends("step:chart", "outage")
        back = datetime.now(UTC)
        monkeypatch.undo()
        while not (found := await everything(database)) or found[0].ended is None:
            await asyncio.sleep(0.01)
    (one,) = found
    assert one.since <= one.ended <= back
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing


class Host:
    """A plugin's process, as far as it matters here."""

    def __init__(self) -> None:
        self.state = "running"
        self.reason = ""
        self.agents = [type("Info", (), {"name": "qc"}), type("Info", (), {"name": "qc-text"})]
        self.plugin = type("Plugin", (), {"name": "qc"})


async def test_an_agent_that_goes_down_and_comes_back_is_told_once_each(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "LOOK_S", 0.01)
    said, host = Signals(database), Host()
    telling = asyncio.create_task(agents.tell([host], said))  # type: ignore[list-item]

    async def until(count: int) -> list[Signal]:
        async with asyncio.timeout(10):
            while True:
                await said.write()
                if len(found := [one for one in await everything(database) if one.ended is None]) == count:
                    return found
                await asyncio.sleep(0.01)

    assert await until(0) == []
    host.state, host.reason = "quarantined", "exit"
    assert sorted((one.part, one.detail) for one in await until(2)) == [("agent:qc", "exit"), ("agent:qc-text", "exit")]
    host.state, host.reason = "restarting", ""  # not up yet
    await asyncio.sleep(0)
    assert len(await until(2)) == 2
    host.state = "running"
    await until(0)
    assert [one.count for one in await everything(database)] == [1, 1]
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling
