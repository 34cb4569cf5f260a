"""The consumer loop on the embedded log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BadMessage, ConfigError, RetryLater
from hisbus_bus.kernel import outbox, parked, tables
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.consumer import Batch, Consumer
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.positions import lag, position
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_bus.kernel.topics import Keys, Name

PATIENCE_S = 20


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db")
    yield log
    await log.close()


@pytest.fixture
def site(database: Database, log: SqliteLog) -> Site:
    return a_site(database, log)


def a_site(database: Database, log: Any, *, attempts: int = 3, first_s: float = 0) -> Site:
    retry = RetrySettings(attempts=attempts, first_s=first_s, longest_s=first_s)
    return Site(Settings(site="test", retry=retry), Keys(b"test-secret"), log, database)


class Told:
    """A step that does what it is told to: by value of the record, one outcome after the other, then success."""

    name = "told"
    topic: Name = "events"
    group = "test.told"
    start = "begin"

    def __init__(self, site: Site, *, latest_only: bool = False, stores: bool = False) -> None:
        self.site = site
        self.latest_only = latest_only
        self.stores = stores
        self.outcomes: dict[str, list[Exception]] = {}
        self.batches: list[list[str]] = []
        """What was handed over."""
        self.covered: list[dict[str, list[str]]] = []
        """What was done with it, by key."""
        self.done: list[str] = []
        self.reasons: list[tuple[str, str]] = []
        self.seen = 0
        """Records that it was asked about."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()

    def wants(self, record: Record) -> bool:
        self.seen += 1
        return record.headers["wanted"] == "yes"

    async def handle(self, batch: Batch) -> None:
        values = [record.value.decode() for record in batch.records]
        self.covered.append({key: [one.value.decode() for one in older] for key, older in batch.covered.items()})
        await self._tell(self.batches, values)
        await self.gate.wait()
        for value in values:
            if self.outcomes.get(value):
                raise self.outcomes[value].pop(0)
        if self.stores:
            async with self.site.database.write() as connection:
                await write(connection, position(self.group, self.topic, batch.offsets))
        for value in values:
            await self._tell(self.done, value)

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        await self._tell(self.reasons, (record.value.decode(), reason))

    async def _tell(self, about: list[Any], what: Any) -> None:
        async with self.changed:
            about.append(what)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(condition)


def record(site: Site, key: str, value: str, *, wanted: bool = True, **headers: str) -> NewRecord:
    stamp = {"keyid": site.keys.id, "wanted": "yes" if wanted else "no", "message": f"m-{value}", **headers}
    return NewRecord("events", key, value.encode(), stamp)


def records(site: Site, text: str) -> list[NewRecord]:
    """``a1 b1 a2``: three records of the keys a and b."""
    return [record(site, word[0], word) for word in text.split()]


@asynccontextmanager
async def running(step: Told, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run a consumer, and end it as the program does: by cancelling."""
    task = asyncio.create_task(Consumer(step.site, step, **options).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what only the database or the log can tell."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.005)


async def parked_rows(site: Site) -> Sequence[Any]:
    async with site.database.read() as connection:
        return (await connection.execute(select(tables.parked).order_by(tables.parked.c.offset))).all()


async def stored(site: Site) -> dict[int, int]:
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.offsets.c.partition, tables.offsets.c.next))
        return {row.partition: row.next for row in rows}


async def committed(site: Site) -> int | None:
    return (await site.log.committed("events", Told.group)).get(0)


async def test_what_is_done_is_committed_and_not_delivered_again(site: Site) -> None:
    await site.log.append(records(site, "a1 a2 b1"))
    first = Told(site)
    async with running(first):
        await first.until(lambda: len(first.done) == 3)
    assert await committed(site) == 3
    await site.log.append(records(site, "b2"))
    second = Told(site)
    async with running(second):
        await second.until(lambda: bool(second.done))
    assert second.done == ["b2"]


async def test_a_backlog_is_handed_over_in_batches_of_one_record_a_key(site: Site) -> None:
    await site.log.append(records(site, "a1 a2 b1 c1 b2 a3"))
    step = Told(site)
    async with running(step):
        await step.until(lambda: len(step.done) == 6)
    assert step.batches == [["a1", "b1", "c1"], ["a2", "b2"], ["a3"]]


async def test_a_batch_has_no_more_records_than_allowed(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 c1"))
    step = Told(site)
    async with running(step, batch_size=2):
        await step.until(lambda: len(step.done) == 3)
    assert step.batches == [["a1", "b1"], ["c1"]]


async def test_batches_run_side_by_side_but_never_two_of_one_key(site: Site) -> None:
    await site.log.append(records(site, "a1 a2 b1 c1"))
    step = Told(site)
    step.gate.clear()
    async with running(step, batch_size=1, concurrency=4):
        await step.until(lambda: len(step.batches) == 3)
        assert step.batches == [["a1"], ["b1"], ["c1"]]
        step.gate.set()
        await step.until(lambda: len(step.done) == 4)


async def test_nothing_is_committed_above_what_is_not_done(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 c1"))
    step = Told(a_site(site.database, site.log, first_s=60))
    step.outcomes["a1"] = [ValueError()]
    async with running(step, batch_size=1):
        await step.until(lambda: step.done == ["b1", "c1"])
    assert await committed(site) == 0


async def test_a_record_that_no_one_wants_is_done_at_once(site: Site) -> None:
    await site.log.append([record(site, "a", "a1"), record(site, "a", "a2", wanted=False)])
    step = Told(site)
    async with running(step):
        await step.until(lambda: step.done == ["a1"] and step.seen == 2)
    assert await committed(site) == 2


async def test_a_step_may_look_at_the_newest_record_of_a_key_only(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 a2 a3"))
    step = Told(site, latest_only=True)
    async with running(step):
        await step.until(lambda: len(step.done) == 2)
    assert (step.done, step.covered) == (["a3", "b1"], [{"a": ["a1", "a2"]}])
    assert await committed(site) == 4


async def test_during_an_outage_the_step_waits_and_nothing_counts_as_an_attempt(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 a2"))
    step = Told(a_site(site.database, site.log, attempts=1))
    step.outcomes["a1"] = [RetryLater() for _ in range(5)]
    async with running(step):
        await step.until(lambda: len(step.done) == 3)
    assert step.batches[:6] == [["a1", "b1"]] * 6
    assert await parked_rows(site) == []


async def test_nothing_is_started_or_fetched_while_the_step_pauses(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(a_site(site.database, site.log, first_s=60))
    step.outcomes["a1"] = [RetryLater()]
    async with running(step) as task:
        await step.until(lambda: step.batches == [["a1"]])
        await site.log.append(records(site, "b1"))
        await asyncio.wait([task], timeout=0.05)
        assert (step.batches, step.seen) == ([["a1"]], 1)


async def test_a_paused_step_finishes_and_commits_what_runs_and_starts_nothing_more(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 a2"))
    step, part = Told(site), Part("step:told")
    step.gate.clear()
    async with running(step, part=part):
        await step.until(lambda: step.batches == [["a1", "b1"]])
        part.hear({"step:told": "pause"})
        assert not part.at_rest
        step.gate.set()
        await step.until(lambda: len(step.done) == 2)
        await until_true(lambda: _is(committed(site), 2))
        assert part.at_rest, "what it has in hand waits"
        await site.log.append(records(site, "c1"))
        part.hear({"step:told": "run"})
        await step.until(lambda: len(step.done) == 4)
    assert step.batches[0] == ["a1", "b1"] and sorted(step.done[2:]) == ["a2", "c1"]
    assert await committed(site) == 4


async def test_a_paused_step_starts_nothing_and_does_not_spin_when_a_held_key_gets_ready(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step, part = Told(a_site(site.database, site.log, first_s=0.05)), Part("step:told")
    step.outcomes["a1"] = [ValueError()]
    rounds = 0

    class Counting(Consumer):
        def _reap(self) -> None:
            nonlocal rounds
            rounds += 1
            super()._reap()

    task = asyncio.create_task(Counting(step.site, step, part=part).run())
    await step.until(lambda: step.batches == [["a1"]])
    part.hear({"step:told": "pause"})
    before = rounds
    await asyncio.sleep(0.3)  # longer than its key is held
    assert (step.batches, rounds - before < 5) == ([["a1"]], True)
    part.hear({"step:told": "run"})
    await step.until(lambda: step.done == ["a1"])
    task.cancel()
    await asyncio.wait([task])


async def test_a_step_that_drains_finishes_what_it_has_in_hand_and_takes_nothing_new(site: Site) -> None:
    await site.log.append(records(site, "a1 a2 a3"))
    step, part = Told(site), Part("step:told")
    step.gate.clear()
    async with running(step, part=part):
        await step.until(lambda: step.batches == [["a1"]])
        part.hear({"step:told": "drain"})
        await site.log.append(records(site, "b1"))
        assert not part.at_rest
        step.gate.set()
        await step.until(lambda: step.done == ["a1", "a2", "a3"])
        await until_true(lambda: _is(committed(site), 3))
        assert part.at_rest
        part.hear({"step:told": "run"})
        await step.until(lambda: step.done[3:] == ["b1"])


async def test_an_outage_that_lasts_is_said_once_when_it_begins_and_once_when_it_ends(site: Site) -> None:
    told: list[str] = []

    class Speaking(Part):
        def waits(self, code: str) -> None:
            told.append(code)

        def goes_on(self) -> None:
            told.append("on")

    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.outcomes["a1"] = [RetryLater(code="llm"), RetryLater(code="llm"), RetryLater(code="llm")]
    async with running(step, part=Speaking("step:told")):
        await step.until(lambda: step.done == ["a1"])
        await until_true(lambda: _is(committed(site), 1))
    assert told == ["on", "llm", "llm", "on"], "joined, the second and third repeat, done"


async def _is(asked: Awaitable[Any], wanted: Any) -> bool:
    return bool(await asked == wanted)


async def test_the_loop_says_what_its_records_wait_for_until_they_are_done(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.outcomes["a1"] = [RetryLater(code="llm"), RetryLater(code="llm_busy")]
    heard: list[str] = []
    consumer = Consumer(site, step)

    async def handle(batch: Batch) -> None:
        heard.append(consumer.waits_for)
        await Told.handle(step, batch)

    step.handle = handle  # type: ignore[method-assign]
    task = asyncio.create_task(consumer.run())
    await step.until(lambda: bool(step.done))
    task.cancel()
    await asyncio.wait([task])
    assert heard == ["", "llm", "llm_busy"]
    assert consumer.waits_for == ""


async def test_a_bad_message_is_parked_at_once_and_releases_its_key(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    step = Told(site)
    step.outcomes["a1"] = [BadMessage(code="no_pid")]
    async with running(step):
        await step.until(lambda: step.done == ["a2"])
    [row] = await parked_rows(site)
    assert (row.value, row.reason, row.attempts, row.status, row.step) == (b"a1", "no_pid", 1, "parked", "told")
    assert step.reasons == [("a1", "no_pid")]
    assert await committed(site) == 2


async def test_what_fails_together_is_repeated_one_by_one_and_only_failures_alone_count(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 c1"))
    step = Told(site)
    step.outcomes["b1"] = [KeyError(n) for n in range(4)]
    async with running(step):
        await step.until(lambda: len(step.done) == 2 and bool(step.reasons))
    assert step.batches == [["a1", "b1", "c1"], ["a1"], ["b1"], ["c1"], ["b1"], ["b1"]]
    [row] = await parked_rows(site)
    assert (row.value, row.attempts, row.reason) == (b"b1", 3, "bug.KeyError")


async def test_a_record_that_fails_and_then_succeeds_is_not_parked(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    step = Told(site)
    step.outcomes["a1"] = [ValueError(), ValueError()]
    async with running(step):
        await step.until(lambda: step.done == ["a1", "a2"])
    assert await parked_rows(site) == []


async def test_the_wait_before_another_attempt_holds_its_key_only(site: Site) -> None:
    step = Told(a_site(site.database, site.log, first_s=60))
    step.outcomes["a1"] = [ValueError()]
    await site.log.append(records(site, "a1 a2 b1 b2"))
    async with running(step, batch_size=1):
        await step.until(lambda: step.done == ["b1", "b2"])
    assert ["a2"] not in step.batches
    assert await committed(site) == 0


async def test_a_record_is_parked_with_its_steps_note_or_not_at_all(site: Site) -> None:
    class Clumsy(Told):
        async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
            await super().parked(connection, record, reason)
            if len(self.reasons) < 3:
                raise ZeroDivisionError

    await site.log.append(records(site, "a1 a2"))
    step = Clumsy(site)
    step.outcomes["a1"] = [BadMessage() for _ in range(9)]
    async with running(step):
        await step.until(lambda: step.done == ["a2"])
    assert len(step.reasons) == 3
    assert len(await parked_rows(site)) == 1


async def test_parking_waits_for_a_database_that_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.log.append(records(site, "a1 a2"))
    step = Told(site)
    step.outcomes["a1"] = [BadMessage(), BadMessage(), BadMessage()]
    write, refusals = site.database.write, [RetryLater(), RetryLater()]

    def away() -> Any:
        if refusals:
            raise refusals.pop()
        return write()

    monkeypatch.setattr(site.database, "write", away)
    async with running(step):
        await step.until(lambda: step.done == ["a2"])
    assert [row.value for row in await parked_rows(site)] == [b"a1"]


async def test_a_record_whose_headers_cannot_be_judged_is_parked(site: Site) -> None:
    await site.log.append([NewRecord("events", "a", b"a1", {"keyid": site.keys.id}), *records(site, "b1")])
    step = Told(site)
    step.outcomes["a1"] = [BadMessage(code="no_header"), BadMessage(code="no_header")]
    async with running(step):
        await step.until(lambda: step.done == ["b1"] and bool(step.reasons))
    assert step.reasons == [("a1", "no_header")]


async def test_a_position_that_the_database_stores_decides_where_it_is_lower(site: Site) -> None:
    await site.log.append(records(site, "a1 a2 a3 a4"))
    first = Told(site, stores=True)
    async with running(first):
        await first.until(lambda: len(first.done) == 4)
    async with site.database.write() as connection:  # a restored backup
        await connection.execute(tables.offsets.update().values(next=2))
    second = Told(site, stores=True)
    async with running(second):
        await second.until(lambda: len(second.done) == 2)
    assert second.done == ["a3", "a4"]


async def test_a_position_that_the_database_stores_above_the_logs_skips_nothing(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    async with site.database.write() as connection:  # stored, but the crash came before the append
        await write(connection, position(Told.group, "events", {0: 1}))
    step = Told(site, stores=True)
    async with running(step):
        await step.until(lambda: len(step.done) == 2)
    assert step.done == ["a1", "a2"]


async def test_a_step_that_stores_its_position_has_a_row_before_its_first_record(site: Site) -> None:
    step = Told(site, stores=True)

    async def there_is_one() -> bool:
        return await stored(site) == {0: 0}

    async with running(step):
        await until_true(there_is_one)


async def test_what_came_after_a_backup_that_knows_nothing_of_its_partition_is_delivered_again(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    first = Told(site, stores=True)
    async with running(first):
        await first.until(lambda: len(first.done) == 2)
    async with site.database.write() as connection:  # a restored backup, from before the first record
        await connection.execute(tables.offsets.delete())
    assert await lag(site, "events", Told.group, stores=True) == 2
    second = Told(site, stores=True)
    async with running(second):
        await second.until(lambda: len(second.done) == 2)
    assert (second.done, await stored(site), await committed(site)) == (["a1", "a2"], {0: 2}, 2)
    assert await lag(site, "events", Told.group, stores=True) == 0


async def test_what_a_restored_database_does_not_know_and_the_log_no_longer_keeps_is_refused(
    site: Site, log: SqliteLog
) -> None:
    await site.log.append(records(site, "a1 a2"))
    first = Told(site, stores=True)
    async with running(first):
        await first.until(lambda: len(first.done) == 2)
    await log.expire(datetime.now(UTC) + timedelta(days=9999))
    async with site.database.write() as connection:
        await connection.execute(tables.offsets.delete())
    for _ in range(2):  # and it stays so
        with pytest.raises(ConfigError, match="offset 0 of events"):
            await asyncio.wait_for(Consumer(site, Told(site, stores=True)).run(), PATIENCE_S)


async def test_parking_raises_the_position_of_a_step_that_stores_one(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    step = Told(site, stores=True)
    step.outcomes["a2"] = [BadMessage()]
    async with running(step):
        await step.until(lambda: bool(step.reasons))
    async with site.database.read() as connection:
        assert await connection.scalar(select(tables.offsets.c.next)) == 2


async def test_parking_gives_a_step_without_tables_no_position(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.outcomes["a1"] = [BadMessage()]
    async with running(step):
        await step.until(lambda: bool(step.reasons))
    async with site.database.read() as connection:
        assert (await connection.execute(select(tables.offsets))).all() == []


async def test_a_record_under_another_secret_stops_the_loop_and_nothing_is_skipped(site: Site) -> None:
    await site.log.append([*records(site, "a1"), record(site, "b", "b1", keyid="deadbeef"), *records(site, "a2")])
    step = Told(site)
    with pytest.raises(ConfigError, match=f"deadbeef.*{site.keys.id}"):
        await asyncio.wait_for(Consumer(site, step).run(), PATIENCE_S)
    assert (await committed(site) or 0) <= 1


async def test_a_replay_that_succeeds_closes_what_was_parked(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.outcomes["a1"] = [BadMessage()]
    async with running(step):
        [row] = await first_parked(site)
        await replay(site, row.id)
        await step.until(lambda: step.done == ["a1"])
    assert [row.status for row in await parked_rows(site)] == ["closed"]


async def test_a_replay_that_fails_is_parked_under_a_row_of_its_own(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.outcomes["a1"] = [BadMessage(), BadMessage(code="still_bad")]
    async with running(step):
        [row] = await first_parked(site)
        await replay(site, row.id)
        await step.until(lambda: len(step.reasons) == 2)
    assert [(row.offset, row.status, row.reason) for row in await parked_rows(site)] == [
        (0, "replayed", "bad_message"),
        (1, "parked", "still_bad"),
    ]


async def first_parked(site: Site) -> Sequence[Any]:
    async def there_is_one() -> bool:
        return bool(await parked_rows(site))

    await until_true(there_is_one)
    return await parked_rows(site)


async def replay(site: Site, id: str) -> None:
    """Replay a parked row, and do the relay's part."""
    async with site.database.write() as connection:
        await parked.replay(connection, id)
    relay = asyncio.create_task(outbox.Relay(site).run())

    async def empty() -> bool:
        async with site.database.read() as connection:
            return await outbox.waiting(connection) == 0

    await until_true(empty)
    relay.cancel()
    await asyncio.wait([relay])


async def test_ending_lets_running_batches_finish(site: Site) -> None:
    await site.log.append(records(site, "a1 a2"))
    step = Told(site)
    step.gate.clear()
    task = asyncio.create_task(Consumer(site, step).run())
    await step.until(lambda: bool(step.batches))
    task.cancel()
    await asyncio.sleep(0)
    step.gate.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (step.done, await committed(site)) == (["a1"], 1)


async def test_what_does_not_finish_in_time_is_abandoned_and_delivered_again(site: Site) -> None:
    await site.log.append(records(site, "a1"))
    step = Told(site)
    step.gate.clear()
    async with running(step, grace_s=0.01):
        await step.until(lambda: bool(step.batches))
    assert (step.done, await committed(site)) == ([], 0)
    heir = Told(site)
    async with running(heir):
        await heir.until(lambda: heir.done == ["a1"])


@pytest.mark.parametrize(("bounds", "most"), [({"max_records": 5}, 5), ({"max_bytes": 10}, 19)])
async def test_what_is_in_hand_is_bounded(site: Site, bounds: dict[str, int], most: int) -> None:
    values = [f"{key}{n}" for n in range(4) for key in "abcde"]
    step = Told(site)
    step.gate.clear()
    async with running(step, **bounds) as task:
        await site.log.append(records(site, values[0]))
        await step.until(lambda: bool(step.batches))
        for value in values[1:]:  # each in an append of its own, so that the log may hand them over singly
            await site.log.append(records(site, value))
        await asyncio.wait([task], timeout=0.1)
        in_hand = step.seen
        step.gate.set()
        await step.until(lambda: len(step.done) == len(values))
    assert 1 <= in_hand <= most
    assert [value for value in step.done if value[0] == "a"] == ["a0", "a1", "a2", "a3"]


async def test_lag_counts_what_waits_or_runs(site: Site) -> None:
    assert await lag(site, "events", Told.group, stores=False) == 0
    await site.log.append(records(site, "a1 a2 b1"))
    assert await lag(site, "events", Told.group, stores=False) == 3
    step = Told(site)
    step.gate.clear()
    async with running(step):
        await step.until(lambda: bool(step.batches))
        assert await lag(site, "events", Told.group, stores=False) == 3
        step.gate.set()

        async def caught_up() -> bool:
            return await lag(site, "events", Told.group, stores=False) == 0

        await until_true(caught_up)


async def test_a_log_that_is_away_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.log.append(records(site, "a1"))
    subscribe, refusals = site.log.subscribe, [RetryLater(), RetryLater()]

    async def away(*args: Any, **kwargs: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await subscribe(*args, **kwargs)

    monkeypatch.setattr(site.log, "subscribe", away)
    step = Told(site)
    async with running(step):
        await step.until(lambda: step.done == ["a1"])


async def test_the_loop_counts_what_it_does(site: Site) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"step": "told"}) or 0

    names = ["hisbus_processed_total", "hisbus_parked_total", "hisbus_retries_total", "hisbus_pauses_total"]
    before = {name: value(name) for name in names}
    await site.log.append(records(site, "a1 b1"))
    step = Told(site)
    step.outcomes = {"a1": [ValueError()], "b1": [RetryLater(), BadMessage()]}
    async with running(step, batch_size=1):
        await step.until(lambda: step.done == ["a1"] and bool(step.reasons))
    assert [value(name) - before[name] for name in names] == [1, 1, 1, 1]
    assert value("hisbus_batch_seconds_count") > 0


class Rebalancing:
    """The embedded log, with a hand on its callbacks: as if a broker took the partition away and gave it back."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        self.subscription = await self._log.subscribe(*args, **kwargs)
        self.assigned, self.revoked = kwargs["assigned"], kwargs["revoked"]
        return self.subscription

    async def move(self, partitions: Iterable[int]) -> None:
        """Take the partition away; while it is gone, deliver nothing; then give it back."""
        self.subscription.pause()
        await self.revoked(partitions)


async def test_a_partition_is_given_up_after_its_running_batch_and_its_commit(site: Site) -> None:
    await site.log.append(records(site, "a1 b1 a2"))
    moving = Rebalancing(site.log)  # type: ignore[arg-type]
    step = Told(replace(site, log=moving))  # type: ignore[arg-type]
    step.gate.clear()
    async with running(step, batch_size=1):
        await step.until(lambda: bool(step.batches))
        moved = asyncio.create_task(moving.move([0]))
        await asyncio.sleep(0)
        step.gate.set()
        await asyncio.wait_for(moved, PATIENCE_S)
        assert (step.done, await committed(site)) == (["a1"], 1)


async def test_what_is_still_running_when_a_partition_goes_is_abandoned_and_not_committed(site: Site) -> None:
    await site.log.append(records(site, "a1 b1"))
    moving = Rebalancing(site.log)  # type: ignore[arg-type]
    step = Told(replace(site, log=moving))  # type: ignore[arg-type]
    step.gate.clear()
    async with running(step, grace_s=0.01):
        await step.until(lambda: bool(step.batches))
        await asyncio.wait_for(moving.move([0]), PATIENCE_S)
        step.gate.set()
        assert (step.done, await committed(site)) == ([], 0)
