"""Wakes are replaced as a whole, compared exactly, and fire once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.timers import FIRED_AT_ONCE, Timers, due
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Assessed, Assessment, Due, Wake

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def assessed(
    *wakes: tuple[str, datetime], version: int = 1, agent: str = "qc", encounter: str = "e1", offset: int = 0
) -> Record:
    value = Assessed(
        id=f"{agent}.{encounter}.{version}",
        agent=agent,
        agent_version="1",
        encounter=encounter,
        version=version,
        event="event",
        key="key-then",
        now=NOON,
        assessment=Assessment(wakes=[Wake(name=name, due=at) for name, at in wakes]),
    )
    return Record("assessments", 0, offset, encounter, value.model_dump_json().encode(), {"agent": agent}, NOON)


def batch(*records: Record) -> Batch:
    return Batch(records, {0: max((record.offset for record in records), default=-1) + 1})


class Hands:
    """A wall clock that is set by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def timers(site: Site, hands: Hands) -> Timers:
    return Timers(site, {"his": "wall", "demo": "feed"}, now=hands)


async def stay(site: Site, encounter: str, connector: str, key: str = "key-now") -> None:
    blank: dict[type, Any] = {str: "", int: 0, bytes: b"", bool: False, object: NOON}
    needed = {
        column.name: blank[column.type.python_type]
        for column in tables.encounters.columns
        if not column.nullable and column.server_default is None
    }
    row = needed | {"id": encounter, "connector": connector, "key": key, "now": NOON, "status": "admitted"}
    async with site.database.write() as connection:
        await connection.execute(tables.encounters.insert(), row)


async def set_feed(site: Site, time: datetime) -> None:
    async with site.database.write() as connection:
        if not (await connection.execute(update(tables.clock).values(time=time))).rowcount:
            await connection.execute(tables.clock.insert(), {"id": 1, "time": time})


async def stored(site: Site) -> set[tuple[str, bool]]:
    async with site.database.read() as connection:
        return {tuple(row) for row in await connection.execute(select(tables.wakes.c.name, tables.wakes.c.fired))}


async def sent(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        return list((await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id))).all())


async def count_due(site: Site, now: datetime) -> int:
    async with site.database.read() as connection:
        return await due(connection, now)


async def test_a_newer_assessment_replaces_every_wake_of_its_agent_and_encounter(site: Site, timers: Timers) -> None:
    later = NOON + timedelta(hours=1)
    await timers.handle(batch(assessed(("a", later), ("b", later))))
    await timers.handle(batch(assessed(("other", later), agent="coding")))
    await timers.handle(batch(assessed(("b", later), ("c", later), version=2)))
    assert await stored(site) == {("b", False), ("c", False), ("other", False)}


async def test_an_older_version_changes_nothing(site: Site, timers: Timers) -> None:
    later = NOON + timedelta(hours=1)
    await timers.handle(batch(assessed(("new", later), version=2)))
    await timers.handle(batch(assessed(("old", later), version=1)))
    assert await stored(site) == {("new", False)}


async def test_the_same_assessment_again_changes_nothing(site: Site, timers: Timers) -> None:
    record = assessed(("a", NOON), ("a", NOON))
    await timers.handle(batch(record))
    await timers.handle(batch(record))
    assert await stored(site) == {("a", False)}


async def test_the_position_is_stored_with_the_wakes(site: Site, timers: Timers) -> None:
    await timers.handle(batch(assessed(offset=7)))
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.offsets))).one()
    assert (row.group, row.topic, row.partition, row.next) == ("test.timers", "assessments", 0, 8)


async def test_wakes_that_could_not_be_stored_with_their_position_are_not_stored(
    site: Site, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(connection: AsyncConnection, *sets: Rows, **_more: Any) -> None:
        await write(connection, *(one for one in sets if one.table is not tables.offsets))
        if any(one.table is tables.offsets and one.rows for one in sets):
            raise RuntimeError

    monkeypatch.setattr("hisbus_bus.flow.timers.write", fail)
    with pytest.raises(RuntimeError):
        await timers.handle(batch(assessed(("a", NOON))))
    assert await stored(site) == set()


async def test_no_wake_wanted_deletes_what_waits(site: Site, timers: Timers) -> None:
    await timers.handle(batch(assessed(("a", NOON + timedelta(hours=1)))))
    await timers.handle(batch(assessed(version=2)))
    assert await stored(site) == set()


@pytest.mark.parametrize(("ahead", "fires"), [(timedelta(microseconds=-1), 0), (timedelta(0), 1), (timedelta(1), 1)])
async def test_a_wall_wake_fires_when_the_clock_is_equal_or_past(
    site: Site, timers: Timers, hands: Hands, ahead: timedelta, fires: int
) -> None:
    await stay(site, "e1", "his")
    await timers.handle(batch(assessed(("a", NOON + timedelta(hours=1)))))
    hands.now = NOON + timedelta(hours=1) + ahead
    assert await count_due(site, hands.now) == fires
    assert await timers.fire() == fires
    assert await count_due(site, hands.now) == 0


@pytest.mark.parametrize(("ahead", "fires"), [(timedelta(microseconds=-1), 0), (timedelta(0), 1), (timedelta(1), 1)])
async def test_a_feed_wake_is_compared_with_the_feed_and_never_with_the_wall(
    site: Site, timers: Timers, hands: Hands, ahead: timedelta, fires: int
) -> None:
    await stay(site, "e1", "demo")
    await timers.handle(batch(assessed(("a", NOON + timedelta(hours=1)))))
    hands.now = NOON + timedelta(days=1000)
    assert await timers.fire() == 0  # the feed has no time yet
    await set_feed(site, NOON + timedelta(hours=1) + ahead)
    assert await count_due(site, hands.now) == fires
    assert await timers.fire() == fires


async def test_a_wake_follows_its_stay_to_the_clock_of_its_connector(site: Site, timers: Timers) -> None:
    await timers.handle(batch(assessed(("a", NOON + timedelta(hours=1)))))
    await stay(site, "e1", "demo")
    await timers.handle(batch(assessed(("a", NOON + timedelta(hours=1)), version=2)))
    await set_feed(site, NOON + timedelta(hours=1))
    assert await timers.fire() == 1


async def test_a_fired_wake_stays_known_and_never_fires_again(site: Site, timers: Timers) -> None:
    await timers.handle(batch(assessed(("a", NOON))))
    assert await timers.fire() == 1
    await timers.handle(batch(assessed(version=2)))
    await timers.handle(batch(assessed(("a", NOON), version=3)))
    assert await stored(site) == {("a", True)}
    assert await timers.fire() == 0


async def test_the_same_name_at_another_time_is_another_wake(site: Site, timers: Timers) -> None:
    await timers.handle(batch(assessed(("a", NOON))))
    await timers.fire()
    await timers.handle(batch(assessed(("a", NOON - timedelta(hours=1)), version=2)))
    assert await timers.fire() == 1


async def test_what_is_sent_is_bound_for_its_agent_under_the_stays_latest_key(site: Site, timers: Timers) -> None:
    await stay(site, "e1", "his")
    at = NOON - timedelta(microseconds=1)
    await timers.handle(batch(assessed(("a", at))))
    await timers.fire()
    (row,) = await sent(site)
    headers = json.loads(row.headers)
    id = digest("wake", "qc", "e1", "a", at.isoformat())
    assert (row.topic, row.key) == ("raw", "key-now")
    assert headers["ce_type"] == "hisbus.timer.due.v1"
    assert headers["ce_id"] == headers["message"] == id
    assert (headers["connector"], headers["ce_correlationid"]) == ("hisbus", "e1")
    assert Due.model_validate_json(row.value) == Due(agent="qc", name="a", due=at, encounter="e1")


async def test_a_stay_unknown_to_the_charts_is_woken_under_the_key_of_its_assessment(
    site: Site, timers: Timers
) -> None:
    await timers.handle(batch(assessed(("a", NOON))))
    await timers.fire()
    assert [row.key for row in await sent(site)] == ["key-then"]


async def test_marking_and_sending_are_one_transaction(
    site: Site, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError

    await timers.handle(batch(assessed(("a", NOON))))
    with monkeypatch.context() as broken:
        broken.setattr("hisbus_bus.kernel.wakes.send", fail)
        with pytest.raises(RuntimeError):
            await timers.fire()
    assert await stored(site) == {("a", False)}
    assert await timers.fire() == 1


async def test_many_wakes_fire_in_batches_the_oldest_first(site: Site, timers: Timers) -> None:
    many = FIRED_AT_ONCE + 1
    wakes = [(f"w{number:03}", NOON - timedelta(seconds=number)) for number in range(many)]
    await timers.handle(batch(assessed(*wakes)))
    assert await timers.fire() == FIRED_AT_ONCE
    assert ("w000", False) in await stored(site)
    assert await timers.fire() == 1
    names = [json.loads(row.value)["name"] for row in await sent(site)]
    assert names == sorted(names, reverse=True)


@asynccontextmanager
async def running(timers: Timers) -> AsyncIterator[None]:
    task = asyncio.create_task(timers.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_sent(site: Site, count: int) -> None:
    async with asyncio.timeout(10):
        while True:
            async with site.database.read() as connection:
                if await connection.scalar(select(func.count()).select_from(tables.outbox)) == count:
                    return
            await asyncio.sleep(0.01)


async def test_the_loop_fires_what_an_assessment_brings_and_what_the_feed_reaches(site: Site, timers: Timers) -> None:
    await stay(site, "e1", "his")
    await stay(site, "e2", "demo")
    async with running(timers):
        await timers.handle(batch(assessed(("a", NOON)), assessed(("b", NOON), encounter="e2")))
        await until_sent(site, 1)
        await set_feed(site, NOON)
        timers.changed.set()
        await until_sent(site, 2)
    assert await count_due(site, NOON) == 0


async def test_no_wake_fires_while_an_operator_holds_the_step(site: Site, hands: Hands) -> None:
    part = Part("step:timers")
    part.hear({"step:timers": "drain"})
    held = Timers(site, {"his": "wall"}, now=hands, part=part)
    await stay(site, "e1", "his")
    await held.handle(batch(assessed(("due", NOON))))
    running = asyncio.create_task(held.run())
    await asyncio.sleep(0.1)  # time enough for a wake that is due
    async with site.database.read() as connection:
        assert await due(connection, NOON) == 1
    part.hear({})
    async with asyncio.timeout(10):
        while True:
            async with site.database.read() as connection:
                if not await due(connection, NOON):
                    break
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
