"""Where a step stands, by the log and by the database; also after the database was restored from a backup."""

from collections.abc import Mapping

import pytest
from sqlalchemy import select

from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.flow.review import Review
from hisbus_bus.flow.timers import Timers
from hisbus_bus.flow.translate import Translate
from hisbus_bus.flow.writeback import WriteBackStep
from hisbus_bus.kernel import positions, tables
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import FLOW, Keys, Name

GROUP = "test.step"


class Log:
    """A log of three partitions, of which it tells the offsets alone."""

    def __init__(self, **offsets: Mapping[int, int]) -> None:
        self.offsets: dict[str, Mapping[int, int]] = {
            "begins": {0: 0, 1: 0, 2: 0}, "ends": {0: 9, 1: 9, 2: 9}, "committed": {}
        } | offsets  # fmt: skip

    async def begins(self, _topic: Name) -> Mapping[int, int]:
        return self.offsets["begins"]

    async def ends(self, _topic: Name) -> Mapping[int, int]:
        return self.offsets["ends"]

    async def committed(self, _topic: Name, _group: str) -> Mapping[int, int]:
        return self.offsets["committed"]


def a_site(database: Database, **offsets: Mapping[int, int]) -> Site:
    return Site(Settings(site="test"), Keys(b"test-secret"), Log(**offsets), database)  # type: ignore[arg-type]


async def store(database: Database, offsets: Mapping[int, int]) -> None:
    async with database.write() as connection:
        await write(connection, positions.position(GROUP, "events", offsets))


async def rows(database: Database) -> dict[int, int]:
    async with database.read() as connection:
        found = await connection.execute(select(tables.offsets.c.partition, tables.offsets.c.next))
        return {row.partition: row.next for row in found}


async def test_a_step_has_a_row_for_each_partition_that_it_takes(database: Database) -> None:
    site = a_site(database, begins={0: 0, 1: 4, 2: 0})
    assert await positions.taken(site, "events", GROUP, [0, 1]) == {0: 0, 1: 4}
    assert await rows(database) == {0: 0, 1: 4}


async def test_what_is_stored_stands(database: Database) -> None:
    site = a_site(database, committed={0: 9, 1: 9})
    await store(database, {0: 7, 1: 9})
    assert await positions.taken(site, "events", GROUP, [0, 1]) == {0: 7, 1: 9}
    assert await rows(database) == {0: 7, 1: 9}


async def test_a_partition_that_a_restored_database_does_not_know_begins_with_the_log(
    database: Database,
) -> None:
    """Also where the log keeps that no longer: it is refused then, never skipped."""
    site = a_site(database, committed={0: 9, 1: 9, 2: 9}, begins={0: 0, 1: 0, 2: 4})
    await store(database, {0: 7})
    assert await positions.taken(site, "events", GROUP, [0, 1, 2]) == {0: 7, 1: 0, 2: 0}


async def test_the_lower_of_both_counts_where_a_position_is_stored(database: Database) -> None:
    site = a_site(database, committed={0: 5, 1: 9, 2: 9})
    await store(database, {0: 9, 1: 5})
    three = {0, 1, 2}
    assert await positions.reached(site, "events", GROUP, three, stores=True) == {0: 5, 1: 5, 2: 0}
    assert await positions.reached(site, "events", GROUP, three, stores=False) == {0: 5, 1: 9, 2: 9}


async def test_lag_counts_what_a_restored_database_does_not_know(database: Database) -> None:
    site = a_site(database, committed={0: 9, 1: 9, 2: 9})
    await store(database, {0: 9, 1: 5})
    assert await positions.lag(site, "events", GROUP, stores=True) == 4 + 9
    assert await positions.lag(site, "events", GROUP, stores=False) == 0


async def test_a_group_without_offset_stands_at_the_first_record_that_is_kept(database: Database) -> None:
    site = a_site(database, begins={0: 0, 1: 4, 2: 9})
    assert await positions.lag(site, "events", GROUP, stores=True) == 9 + 5 + 0
    assert await positions.lag(site, "events", GROUP, stores=False) == 9 + 5 + 0


@pytest.mark.parametrize("step", [Translate, ChartStep, Dispatch, Timers, Review, WriteBackStep])
def test_every_step_says_the_same_of_itself_as_the_flow(step: type) -> None:
    name = "dispatch" if step is Dispatch else step.name  # type: ignore[attr-defined]
    assert (FLOW[name].reads, FLOW[name].stores) == (step.topic, step.stores)  # type: ignore[attr-defined]


async def test_a_stored_position_never_goes_backwards(database: Database) -> None:
    await store(database, {0: 5, 1: 7})
    await store(database, {0: 3, 1: 9})
    assert await rows(database) == {0: 5, 1: 9}
