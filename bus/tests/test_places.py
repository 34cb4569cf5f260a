"""Places: one process of a site polls a source at a time, and goes on where the last one was."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from hisbus.connector import Arrival, Place, Sink
from hisbus.errors import BusError, LostPlace, RetryLater
from hisbus_bus.app import App
from hisbus_bus.flow.intake import Intake
from hisbus_bus.host import registry
from hisbus_bus.kernel import places, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_mapping import Judged

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENCE = 60
SHORT_S = 0.5
ROWS = 20


class Table:
    """A hospital's table that grows when it is told to, and whoever polls it."""

    def __init__(self) -> None:
        self.rows = 0
        self.kept = 0
        """The last row whose place was stored."""
        self.polled = asyncio.Condition()
        self.pollers: list[Polling] = []
        self.most = 0
        """Most pollers at one time."""

    async def grow(self, rows: int) -> None:
        async with self.polled:
            self.rows += rows
            self.polled.notify_all()

    async def until_kept(self, rows: int) -> None:
        async with asyncio.timeout(PATIENCE), self.polled:
            await self.polled.wait_for(lambda: self.kept >= rows)

    async def until_more_than(self, rows: int) -> None:
        async with self.polled:
            await self.polled.wait_for(lambda: self.rows > rows)

    async def until_polled(self) -> "Polling":
        async with asyncio.timeout(PATIENCE), self.polled:
            await self.polled.wait_for(lambda: bool(self.pollers))
            return self.pollers[0]


class Polling:
    """A connector that polls a table, row by row."""

    name, polls, writes, timezone, clock, backfill = "lis", True, False, "UTC", "wall", False

    def __init__(self, table: Table) -> None:
        self.table = table
        self.place: Place

    async def listen(self, sink: Sink, place: Place) -> None:
        table, self.place = self.table, place
        at = int(await place.load() or 0)
        async with table.polled:
            table.pollers.append(self)
            table.most = max(table.most, len(table.pollers))
            table.polled.notify_all()
        try:
            while True:
                await table.until_more_than(at)
                at += 1
                await sink(Arrival(f"row-{at}", b"", NOON))
                await place.store(str(at))
                async with table.polled:
                    table.kept = at
                    table.polled.notify_all()
        finally:
            table.pollers.remove(self)


class Mapping:
    def __init__(self, connector: Any) -> None:
        self.connector = connector

    def judge(self, arrival: Arrival) -> Judged:
        return Judged()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.held, "__defaults__", (SHORT_S,))


@asynccontextmanager
async def process(site: Site, table: Table) -> AsyncIterator[asyncio.Task[None]]:
    """Run the intake of a polling connector, as a process of its own would."""
    mapping: Any = Mapping(Polling(table))
    running = asyncio.create_task(Intake(site, "lis", {"lis": mapping}).run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def elsewhere(site: Site, url: str) -> AsyncIterator[Site]:
    """Open the database as another process of the site does."""
    database = Database(url)
    try:
        yield Site(site.settings, site.keys, site.log, database)
    finally:
        await database.close()


def read(log: Any) -> list[str]:
    return [record.headers["message"] for record in log.appended]


async def test_two_processes_never_poll_at_once_and_no_row_is_read_twice(
    site: Site, database_url: str, log: Any
) -> None:
    table = Table()
    async with elsewhere(site, database_url) as other, AsyncExitStack() as first:
        one = await first.enter_async_context(process(site, table))
        await table.until_polled()
        async with process(other, table):
            await table.grow(ROWS)
            await table.until_kept(ROWS)
            one.cancel()  # it ends in order, and the other goes on at once
            await asyncio.wait([one])
            await table.grow(ROWS)
            await table.until_kept(2 * ROWS)
    assert table.most == 1
    assert read(log) == [f"row-{number}" for number in range(1, 2 * ROWS + 1)]


async def test_the_place_moves_on_when_its_holder_dies_and_the_dead_can_store_nothing_more(
    site: Site, database_url: str, log: Any
) -> None:
    taken = await places._Held.take(site.database, "lis", "dead", SHORT_S)
    assert taken is not None
    await taken.store("7")
    table = Table()
    async with elsewhere(site, database_url) as other:
        assert await places._Held.take(other.database, "lis", "too early", 60) is None
        async with process(other, table):
            poller = await table.until_polled()
            assert await poller.place.load() == "7"
            for late in (taken.load(), taken.store("3")):
                with pytest.raises(LostPlace):
                    await late
            assert await poller.place.load() == "7"


async def test_polling_stops_when_the_lease_is_lost_and_begins_again_in_its_turn(site: Site, log: Any) -> None:
    table = Table()
    async with process(site, table):
        first = await table.until_polled()
        place = first.place
        async with site.database.write() as connection:  # what another process does that takes over
            await connection.execute(update(tables.places).values(number=tables.places.c.number + 1))
        async with asyncio.timeout(PATIENCE):
            while not table.pollers or table.pollers[0].place is place:
                await asyncio.sleep(0.01)
        with pytest.raises(LostPlace):
            await place.store("99")


async def test_polling_stops_while_the_database_is_away(site: Site, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table, write = Table(), Database.write

    @asynccontextmanager
    async def away(_database: Database) -> AsyncIterator[Any]:
        raise RetryLater(code="database")
        yield

    async with process(site, table):
        await table.until_polled()
        monkeypatch.setattr(Database, "write", away)
        async with asyncio.timeout(PATIENCE):
            while table.pollers:
                await asyncio.sleep(0.01)
        await table.grow(1)
        assert not log.appended
        monkeypatch.setattr(Database, "write", write)
        await table.until_kept(1)


async def test_a_bug_of_the_connector_ends_the_process_and_frees_the_place(site: Site) -> None:
    async def broken(_place: Place) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await places.held(site.database, "lis", broken, 60)
    assert await places._Held.take(site.database, "lis", "next", 60) is not None


async def test_who_does_not_poll_has_no_place() -> None:
    for asked in (places.NOWHERE.load(), places.NOWHERE.store("1")):
        with pytest.raises(BusError, match="polls = True"):
            await asked


@pytest.mark.parametrize("polls", [False, True])
async def test_intake_alone_needs_the_database_only_where_it_polls(
    polls: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    began = asyncio.Event()

    class One(Polling):
        async def listen(self, sink: Sink, place: Place) -> None:
            if self.polls:
                opened.append(await place.load())
            began.set()
            await asyncio.Event().wait()

    One.polls = polls
    one: Any = One(Table())
    monkeypatch.setattr(registry, "connectors", lambda _settings: [one])
    monkeypatch.setattr(registry, "mappings", lambda _connectors: [Mapping(one)])
    path = tmp_path / "hisbus.db"
    settings = Settings(site="test", log={"url": f"sqlite:///{tmp_path}/log.db"}, database={"url": f"sqlite:///{path}"})
    async with App(settings, ["intake"]).running():
        await asyncio.wait_for(began.wait(), PATIENCE)
    with closing(sqlite3.connect(path)) as database:
        made = bool(database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall())
    assert (opened, made) == ([""] if polls else [], polls)
