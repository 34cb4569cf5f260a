"""The outbox and its relay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from hisbus.errors import BadMessage, RetryLater
from hisbus_bus.kernel import outbox, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import TOPICS, Keys


class ListeningLog:
    """Keeps what is appended and tells who waits; away as often as it is told."""

    def __init__(self) -> None:
        self.appends: list[list[NewRecord]] = []
        self.away = 0
        self.changed = asyncio.Condition()

    async def append(self, records: Sequence[NewRecord]) -> None:
        if self.away:
            self.away -= 1
            raise RetryLater(code="log")
        async with self.changed:
            self.appends.append(list(records))
            self.changed.notify_all()

    @property
    def values(self) -> list[bytes]:
        return [record.value for append in self.appends for record in append]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(condition)


@pytest.fixture
def log() -> ListeningLog:
    return ListeningLog()


@pytest.fixture
def site(database: Database, log: Any) -> Site:
    retry = RetrySettings(first_s=0, longest_s=0)
    return Site(Settings(site="test", retry=retry), Keys(b"test-secret"), log, database)


@asynccontextmanager
async def relaying(site: Site) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.Relay(site).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def send(site: Site, *values: bytes, grace_s: float = 0.0) -> None:
    records = [NewRecord("raw", "k", value, {"ce_id": value[:10].decode()}) for value in values]
    async with site.database.write() as connection:
        await outbox.send(connection, *records, grace_s=grace_s)


async def left(site: Site) -> int:
    async with site.database.read() as connection:
        return await outbox.waiting(connection)


async def until_empty(site: Site) -> None:
    async with asyncio.timeout(20):
        while await left(site):
            await asyncio.sleep(0.005)


async def test_what_is_sent_reaches_the_log_in_order_and_leaves_the_outbox(site: Site, log: ListeningLog) -> None:
    await send(site, b"1", b"2")
    await send(site, b"3")
    async with relaying(site):
        await until_empty(site)
    assert log.values == [b"1", b"2", b"3"]
    assert [(r.topic, r.key, r.headers) for r in log.appends[0][:1]] == [("raw", "k", {"ce_id": "1"})]


async def test_a_transaction_that_is_rolled_back_sends_nothing(site: Site) -> None:
    with pytest.raises(ZeroDivisionError):
        async with site.database.write() as connection:
            await outbox.send(connection, NewRecord("raw", "k", b"1", {}))
            raise ZeroDivisionError
    assert await left(site) == 0


async def test_a_send_of_this_process_wakes_the_relay(
    site: Site, log: ListeningLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "POLL_S", 3600)
    async with relaying(site):
        await send(site, b"1")
        await log.until(lambda: log.values == [b"1"])
        await send(site, b"2")
        await log.until(lambda: log.values == [b"1", b"2"])


async def test_a_row_of_another_process_is_found_by_looking(site: Site, log: ListeningLog, database_url: str) -> None:
    command = Database(database_url)
    async with relaying(site):
        await send(site, b"1")
        await log.until(lambda: bool(log.values))
        async with command.write() as connection:
            await outbox.send(connection, NewRecord("raw", "k", b"2", {}))
        await log.until(lambda: log.values == [b"1", b"2"])
    await command.close()


async def test_a_log_that_is_away_is_waited_for_and_no_row_is_lost(site: Site, log: ListeningLog) -> None:
    log.away = 3
    await send(site, b"1", b"2")
    async with relaying(site):
        await until_empty(site)
    assert (log.values, log.away) == ([b"1", b"2"], 0)


async def test_a_database_that_is_away_after_the_append_makes_the_append_twice(
    site: Site, log: ListeningLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(site, b"1")
    write, refusals = site.database.write, [RetryLater(code="database")]

    def away() -> Any:
        if refusals:
            raise refusals.pop()
        return write()

    monkeypatch.setattr(site.database, "write", away)
    async with relaying(site):
        await until_empty(site)
    assert [[record.headers for record in append] for append in log.appends] == [[{"ce_id": "1"}], [{"ce_id": "1"}]]


async def test_a_row_that_commits_late_under_a_lower_id_is_sent_all_the_same(site: Site, log: ListeningLog) -> None:
    await send(site, b"1", b"2", b"3")
    async with site.database.write() as connection:
        late = (await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id).limit(1))).one()
        await connection.execute(tables.outbox.delete().where(tables.outbox.c.id == late.id))
    async with relaying(site):
        await until_empty(site)
        async with site.database.write() as connection:
            await connection.execute(tables.outbox.insert(), dict(late._mapping))
        await until_empty(site)
    assert log.values == [b"2", b"3", b"1"]


async def test_a_long_outbox_is_sent_in_chunks(site: Site, log: ListeningLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CHUNK", 3)
    await send(site, *(str(n).encode() for n in range(8)))
    async with relaying(site):
        await until_empty(site)
    assert [len(append) for append in log.appends] == [3, 3, 2]
    assert log.values == [str(n).encode() for n in range(8)]


async def test_a_chunk_ends_before_it_holds_too_much(
    site: Site, log: ListeningLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CHUNK_BYTES", 10)
    await send(site, b"x" * 25, b"a" * 6, b"b" * 6, b"c")
    async with relaying(site):
        await until_empty(site)
    assert [[len(record.value) for record in append] for append in log.appends] == [[25], [6, 6], [1]]


async def end_the_grace(site: Site) -> None:
    async with site.database.write() as connection:
        held = update(tables.outbox).where(tables.outbox.c.not_before.is_not(None))
        await connection.execute(held.values(not_before=datetime.now(UTC) - timedelta(days=1)))


async def test_what_has_a_grace_is_sent_when_that_is_over_and_holds_up_nothing(site: Site, log: ListeningLog) -> None:
    await send(site, b"1", grace_s=3600)
    await send(site, b"2")
    assert await outbox.Relay(site)._chunk() == 1
    assert await outbox.Relay(site)._chunk() == 0
    assert (log.values, await left(site)) == ([b"2"], 1)
    await end_the_grace(site)
    async with relaying(site):
        await until_empty(site)
    assert log.values == [b"2", b"1"]


async def test_a_log_that_is_away_leaves_what_had_a_grace_where_it_is(site: Site, log: ListeningLog) -> None:
    await send(site, b"1", grace_s=3600)
    await end_the_grace(site)
    log.away = 1
    with pytest.raises(RetryLater):
        await outbox.Relay(site)._chunk()
    assert await left(site) == 1
    async with relaying(site):
        await until_empty(site)
    assert log.values == [b"1"]


@pytest.mark.parametrize("topic, key, id", [("raw", "k", "2"), ("raw", "j", "1"), ("events", "k", "1")])
async def test_only_what_is_named_is_taken_back(site: Site, topic: Any, key: str, id: str) -> None:
    await send(site, b"1", grace_s=3600)
    async with site.database.write() as connection:
        assert not await outbox.take_back(connection, topic, key, id)
        assert await outbox.take_back(connection, "raw", "k", "1")
        assert not await outbox.take_back(connection, "raw", "k", "1")
    assert await left(site) == 0


async def test_what_is_taken_back_as_the_relay_comes_for_it_does_not_leave(
    site: Site, log: ListeningLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(site, b"1", grace_s=3600)
    await end_the_grace(site)
    write = site.database.write

    @asynccontextmanager
    async def late() -> AsyncIterator[Any]:
        async with write() as connection:
            assert await outbox.take_back(connection, "raw", "k", "1", overdue=True)
        async with write() as connection:
            yield connection

    monkeypatch.setattr(site.database, "write", late)
    assert await outbox.Relay(site)._chunk() == 0
    assert (log.values, await left(site)) == ([], 0)


async def test_what_no_log_can_take_is_refused_in_the_transaction(site: Site) -> None:
    async with site.database.write() as connection:
        with pytest.raises(BadMessage):
            await outbox.send(connection, NewRecord("charted", "k", bytes(TOPICS["charted"].max_bytes + 1), {}))


async def test_waiting_counts_the_rows(site: Site) -> None:
    assert await left(site) == 0
    await send(site, b"1", b"2")
    assert await left(site) == 2


@pytest.mark.postgres
async def test_only_one_relay_works_at_a_time(postgres_url: str) -> None:
    one, two = Database(postgres_url), Database(postgres_url)
    order: list[str] = []

    async def take_turn(database: Database, name: str, go: Awaitable[Any]) -> None:
        async with database.alone(outbox.RELAY_LOCK) as check:
            order.append(name)
            await go
            await check()
            order.append(f"{name} ends")

    gate = asyncio.Event()
    first = asyncio.create_task(take_turn(one, "first", gate.wait()))
    while not order:
        await asyncio.sleep(0.01)
    second = asyncio.create_task(take_turn(two, "second", asyncio.sleep(0)))
    await asyncio.sleep(0.2)
    assert order == ["first"]
    gate.set()
    await asyncio.wait_for(asyncio.gather(first, second), 20)
    assert order == ["first", "first ends", "second", "second ends"]
    await one.close()
    await two.close()
