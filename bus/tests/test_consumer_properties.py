"""Whatever happens in whatever order: nothing skipped, order per key kept, only what fails alone is parked."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BadMessage, RetryLater
from hisbus_bus.kernel.consumer import Batch, Consumer
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.lanes import InFlight, Item
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys, Name

ATTEMPTS = 3
GRACE_S = 0.001
KEYS = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1}
"""Each key and its partition."""
SECRET = Keys(b"secret")

At = tuple[int, int]
"""Where a record lies: partition and offset."""


def stored(key: str, partition: int, offset: int, **headers: str) -> Record:
    stamp = {"keyid": SECRET.id, **headers}
    return Record("events", partition, offset, key, b"12345", stamp, datetime(2026, 1, 1, tzinfo=UTC))


def at(record: Record) -> At:
    return (record.partition, record.offset)


class InFlightMachine(RuleBasedStateMachine):
    """``InFlight`` against a model of the log, driven by a consumer that does everything that can happen."""

    latest_only = False

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[int, list[Record]] = {0: [], 1: []}
        self.committed = {0: 0, 1: 0}
        self.settled: set[At] = set()
        self.attempts: dict[At, int] = {}
        self.now = 0.0
        self.start_anew()

    def start_anew(self) -> None:
        self.in_flight = InFlight(latest_only=self.latest_only)
        self.running: list[list[Item]] = []
        self.in_hand: set[At] = set()
        self.lost: set[Item] = set()
        """Whose partition went while they ran."""
        self.position = dict(self.committed)
        self.assigned = {0, 1}
        self.in_flight.assign({0, 1})

    def earlier(self, record: Record) -> Iterable[Record]:
        """The records of the same key that come before it."""
        return (
            other for other in self.log[record.partition][: record.offset] if other.key == record.key and wanted(other)
        )

    @initialize(keys=st.lists(st.sampled_from(sorted(KEYS)), max_size=8), limit=st.integers(1, 4))
    def be_at_work(self, keys: list[str], limit: int) -> None:
        for key in keys:
            self.append(key, "yes")
        self.fetch(8)
        self.take(limit)

    # --- what can happen ---

    @rule(key=st.sampled_from(sorted(KEYS)), wanted=st.sampled_from(["yes", "yes", "yes", "no"]))
    def append(self, key: str, wanted: str) -> None:
        partition = self.log[KEYS[key]]
        partition.append(stored(key, KEYS[key], len(partition), wanted=wanted))

    @rule(count=st.integers(1, 6))
    def fetch(self, count: int) -> None:
        for partition in sorted(self.assigned):
            records = self.log[partition][self.position[partition] :][:count]
            for record in records:
                self.in_flight.add(record, wanted=wanted(record))
                if wanted(record):
                    self.in_hand.add(at(record))
                else:
                    self.settled.add(at(record))
            self.position[partition] += len(records)

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        batch = self.in_flight.take(self.now, limit)
        assert len(batch) <= limit
        assert not batch or len(batch) == 1 or not any(item.alone for item in batch)
        keys = [item.record.key for item in batch]
        assert len(keys) == len(set(keys))
        assert not set(keys) & {item.record.key for other in self.running for item in other}
        for item in batch:
            covered = {at(older.record) for older in item.covers}
            assert all(at(record) in self.settled | covered for record in self.earlier(item.record))
        if batch:
            self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        batch = self.pop(data)
        self.in_flight.done(batch)
        self.settle(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 1.0, 5.0]))
    def fail(self, data: st.DataObject, wait: float) -> None:
        batch = self.pop(data)
        if len(batch) > 1:
            self.in_flight.put_back(batch, alone=True)
            return
        [item] = batch
        item.attempts += 1
        self.attempts[at(item.record)] = self.attempts.get(at(item.record), 0) + 1
        if item.attempts >= ATTEMPTS:
            assert self.attempts[at(item.record)] >= ATTEMPTS  # parked: it failed alone often enough
            self.in_flight.done(batch)
            self.settle(batch)
        else:
            self.in_flight.put_back(batch, until=self.now + wait)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def outage(self, data: st.DataObject) -> None:
        self.in_flight.put_back(self.pop(data))

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def commit(self) -> None:
        for partition, offset in self.in_flight.offsets().items():
            self.committed[partition] = max(self.committed[partition], offset)

    @rule()
    def crash(self) -> None:
        self.start_anew()

    @precondition(lambda self: self.assigned)
    @rule(data=st.data(), orderly=st.booleans())
    def lose(self, data: st.DataObject, orderly: bool) -> None:
        partition = data.draw(st.sampled_from(sorted(self.assigned)))
        if orderly:
            self.in_flight.stop({partition})
            self.commit()
        self.in_flight.revoke({partition})
        self.assigned.remove(partition)
        self.in_hand = {place for place in self.in_hand if place[0] != partition}
        self.lost |= {each for each in self.every_running() if each.record.partition == partition}

    @precondition(lambda self: len(self.assigned) < 2)
    @rule()
    def win(self) -> None:
        for partition in {0, 1} - self.assigned:
            self.position[partition] = self.committed[partition]
            self.in_flight.assign({partition})
            self.assigned.add(partition)

    @precondition(lambda self: len(self.assigned) == 2 and self.running)
    @rule(data=st.data(), orderly=st.booleans(), count=st.integers(1, 6))
    def lose_and_win_again(self, data: st.DataObject, orderly: bool, count: int) -> None:
        self.lose(data, orderly)
        self.win()
        self.fetch(count)

    # --- what must hold ---

    @invariant()
    def nothing_unfinished_is_committed(self) -> None:
        for partition, offset in {**self.committed, **self.in_flight.offsets()}.items():
            assert all((partition, below) in self.settled for below in range(offset))

    @invariant()
    def everything_finished_may_be_committed_and_stored(self) -> None:
        for batch in ([], *self.running):
            with_it = {each for item in batch for each in (*item.covers, item)} - self.lost
            left = self.in_hand - {at(each.record) for each in with_it}
            for partition, offset in self.in_flight.offsets(without=batch).items():
                assert offset == min((o for p, o in left if p == partition), default=self.position[partition])

    @invariant()
    def what_is_in_hand_is_counted(self) -> None:
        assert (self.in_flight.count, self.in_flight.bytes) == (len(self.in_hand), 5 * len(self.in_hand))

    def teardown(self) -> None:
        """From any state, everything gets done."""
        self.win()
        for batch in self.running:
            self.in_flight.put_back(batch)
        self.running = []
        for _ in range(1000):
            self.fetch(100)
            self.now += 10
            self.take(4)
            if not self.running:
                break
            for batch in self.running:
                self.in_flight.done(batch)
                self.settle(batch)
            self.running = []
        assert self.settled == {at(record) for records in self.log.values() for record in records}
        assert self.in_flight.count == self.in_flight.bytes == 0
        assert self.in_flight.wakes() is None
        assert dict(self.in_flight.offsets()) == {
            number: len(records) for number, records in self.log.items() if number in self.in_flight.offsets()
        }

    def pop(self, data: st.DataObject) -> list[Item]:
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    def every_running(self) -> Iterable[Item]:
        return (each for batch in self.running for item in batch for each in (*item.covers, item))

    def settle(self, batch: list[Item]) -> None:
        """What ended after its partition went does not count: somebody else has it now."""
        for item in batch:
            for each in (*item.covers, item):
                if each not in self.lost:
                    self.settled.add(at(each.record))
                    self.in_hand.discard(at(each.record))


class LatestOnlyMachine(InFlightMachine):
    """The same, for a step that looks at the newest record of a key only."""

    latest_only = True


def wanted(record: Record) -> bool:
    return record.headers["wanted"] == "yes"


PATIENT = settings(max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))

TestInFlight = InFlightMachine.TestCase
TestInFlight.settings = PATIENT
TestLatestOnly = LatestOnlyMachine.TestCase
TestLatestOnly.settings = PATIENT


def test_a_record_out_of_order_is_refused() -> None:
    keyed = InFlight()
    keyed.assign({0})
    keyed.add(stored("a", 0, 5))
    with pytest.raises(ValueError, match="out of order"):
        keyed.add(stored("a", 0, 4))


def test_what_ends_after_its_partition_went_and_came_back_settles_nothing() -> None:
    keyed = InFlight()
    keyed.assign({0})
    keyed.add(stored("a", 0, 0))
    lost = keyed.take(0, 1)
    keyed.revoke({0})
    keyed.assign({0})
    keyed.add(stored("a", 0, 0))
    assert keyed.take(0, 1) == []  # not while the lost one still runs
    keyed.done(lost)
    assert (keyed.offsets(), keyed.count) == ({0: 0}, 1)
    assert len(keyed.take(0, 1)) == 1


def test_a_held_key_is_ready_when_its_time_has_come() -> None:
    keyed = InFlight()
    keyed.assign({0})
    keyed.add(stored("a", 0, 0))
    keyed.put_back(keyed.take(0, 1), until=7.0)
    assert (keyed.wakes(), keyed.take(6.9, 1)) == (7.0, [])
    assert [item.record.offset for item in keyed.take(7.0, 1)] == [0]


def test_a_newer_record_takes_the_place_of_one_that_waits_for_another_attempt() -> None:
    keyed = InFlight(latest_only=True)
    keyed.assign({0})
    keyed.add(stored("a", 0, 0))
    keyed.put_back(keyed.take(0, 1), until=7.0)
    keyed.add(stored("a", 0, 1))
    [item] = keyed.take(7.0, 1)
    assert (item.record.offset, [older.record.offset for older in item.covers]) == (1, [0])
    keyed.done([item])
    assert keyed.offsets() == {0: 2}


# --- the whole loop, with a broker that crashes and rebalances ---

Outcome = str
"""``ok``, ``fail``, ``bad`` or ``away``."""


@dataclass
class Broker:
    """Two partitions in memory. It commits what it is told, and takes partitions away at any time."""

    records: dict[int, list[Record]] = field(default_factory=lambda: {0: [], 1: []})
    reached: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    """What is committed."""
    member: "Member | None" = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def subscribe(self, _topic: str, _group: str, *, assigned: Any, revoked: Any, start: str) -> "Member":
        assert start == "begin"
        self.member = Member(self, assigned, revoked)
        await self.member.give({0, 1})
        return self.member

    async def ends(self, _topic: str) -> Mapping[int, int]:
        return {partition: len(records) for partition, records in self.records.items()}

    async def committed(self, _topic: str, _group: str) -> Mapping[int, int]:
        return self.reached

    async def everything_is_committed(self) -> None:
        while self.reached != {partition: len(records) for partition, records in self.records.items()}:
            self.changed.clear()
            await self.changed.wait()


class Member:
    """The only member of the group."""

    commit_every_s = 0.0

    def __init__(self, broker: Broker, assigned: Any, revoked: Any) -> None:
        self.broker = broker
        self.assigned = assigned
        self.revoked = revoked
        self.positions: dict[int, int] = {}
        self.paused = False
        self.dead = False
        self.woken = asyncio.Event()

    async def give(self, partitions: set[int]) -> None:
        known = await self.assigned(partitions)
        for partition in partitions:
            committed = self.broker.reached[partition]
            self.positions[partition] = min(committed, known.get(partition, committed))
        self.woken.set()

    async def move(self, partitions: set[int]) -> None:
        for partition in partitions:
            self.positions.pop(partition)
        await self.revoked(partitions)
        await self.give(partitions)

    async def fetch(self, max_records: int, timeout: float) -> Sequence[Record]:
        while True:
            self.woken.clear()
            if not self.paused:
                for partition, position in self.positions.items():
                    if records := self.broker.records[partition][position:][:max_records]:
                        self.positions[partition] += len(records)
                        return records
            await self.woken.wait()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.woken.set()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        await asyncio.sleep(0)
        for partition, offset in () if self.dead else offsets.items():
            self.broker.reached[partition] = max(offset, self.broker.reached[partition])
        self.broker.changed.set()

    async def close(self) -> None:
        pass


class Scripted:
    """A step with a plan: what happens at each attempt of each record."""

    name = "scripted"
    topic: Name = "events"
    group = "test.scripted"
    start = "begin"
    stores = False
    latest_only = False

    def __init__(self, plan: Mapping[At, list[Outcome]], turns: Sequence[int]) -> None:
        self.plan = plan
        self.turns = turns
        self.calls = 0
        self.finished: list[At] = []
        """Processed or parked, in this order; a redelivery again."""
        self.failed_alone: dict[At, int] = {}
        self.parked_at: dict[At, str] = {}

    def wants(self, _record: Record) -> bool:
        return True

    async def handle(self, batch: Batch) -> None:
        places = [at(record) for record in batch.records]
        assert len({record.key for record in batch.records}) == len(places)
        self.calls += 1
        turns = self.turns[self.calls % len(self.turns)]
        for _ in range(turns):
            await asyncio.sleep(0 if turns < 6 else GRACE_S)  # sometimes longer than the grace time
        for place in places:
            outcome = self.plan[place].pop(0) if self.plan[place] else "ok"
            if outcome == "away":
                raise RetryLater
            if outcome != "ok":
                if len(places) == 1:
                    self.failed_alone[place] = self.failed_alone.get(place, 0) + 1
                raise BadMessage if outcome == "bad" else ValueError
        self.finished += places

    async def parked(self, _connection: AsyncConnection, record: Record, reason: str) -> None:
        self.parked_at[at(record)] = reason
        self.finished.append(at(record))


DISTURBANCES = ["crash", "move", "stop", "pause", "drain", "run"]
outcomes = st.lists(st.sampled_from(["fail", "fail", "bad", "away"]), max_size=4)


class Nothing:
    """A database that knows nothing and forgets everything."""

    @asynccontextmanager
    async def read(self) -> AsyncIterator["Nothing"]:
        await asyncio.sleep(0)
        yield self
        await asyncio.sleep(0)

    write = read

    async def execute(self, *_args: Any) -> list[Any]:
        await asyncio.sleep(0)
        return []

    async def scalar(self, *_args: Any) -> None:
        await asyncio.sleep(0)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    arrivals=st.lists(st.tuples(st.sampled_from(sorted(KEYS)), outcomes), min_size=1, max_size=14),
    turns=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    disturbances=st.lists(st.tuples(st.sampled_from(DISTURBANCES), st.integers(0, 40)), max_size=8),
    concurrency=st.integers(1, 3),
    batch_size=st.integers(1, 4),
)
def test_whatever_fails_crashes_or_moves_everything_is_done_in_order(
    arrivals: list[tuple[str, list[Outcome]]],
    turns: list[int],
    disturbances: list[tuple[str, int]],
    concurrency: int,
    batch_size: int,
) -> None:
    broker = Broker()
    plan: dict[At, list[Outcome]] = {}
    for key, fate in arrivals:
        records = broker.records[KEYS[key]]
        records.append(stored(key, KEYS[key], len(records)))
        plan[at(records[-1])] = list(fate)
    step = Scripted(plan, turns)
    asyncio.run(play(broker, step, disturbances, {"concurrency": concurrency, "batch_size": batch_size}))

    everything = {at(record): record for records in broker.records.values() for record in records}
    assert set(step.finished) == set(everything)
    assert broker.reached == {partition: len(records) for partition, records in broker.records.items()}
    first = {place: step.finished.index(place) for place in everything}
    for key, partition in KEYS.items():
        order = [first[at(record)] for record in broker.records[partition] if record.key == key]
        assert order == sorted(order)
    for place, reason in step.parked_at.items():
        assert reason == "bad_message" or step.failed_alone[place] >= ATTEMPTS


async def play(
    broker: Broker, step: Scripted, disturbances: Iterable[tuple[str, int]], options: dict[str, int]
) -> None:
    retry = RetrySettings(attempts=ATTEMPTS, first_s=0, longest_s=0)
    site = Site(Settings(site="test", retry=retry), SECRET, broker, Nothing())  # type: ignore[arg-type]

    part = Part("step:scripted")

    def start() -> asyncio.Task[None]:
        nonlocal part
        wanted, part = part.wanted, Part("step:scripted")
        part.hear({part.name: wanted})
        return asyncio.create_task(Consumer(site, step, grace_s=GRACE_S, part=part, **options).run())

    task = start()
    for what, after in disturbances:
        await asyncio.sleep(0)  # what has been started begins
        calls = step.calls
        for _ in range(after):
            await asyncio.sleep(0)
        assert part.starts or step.calls == calls, "started while it was paused"
        if what in {"pause", "drain", "run"}:
            part.hear({part.name: what})  # type: ignore[dict-item]
        elif what == "move" and broker.member is not None and broker.member.positions:
            await broker.member.move({0})
        elif what == "crash":
            await kill(broker, task)
            task = start()
        elif what == "stop":
            task.cancel()
            await asyncio.wait([task])
            task = start()
    part.hear({})
    finished = asyncio.create_task(broker.everything_is_committed())
    await asyncio.wait([task, finished], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert finished.done()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def kill(broker: Broker, task: asyncio.Task[None]) -> None:
    """End a consumer without its good manners: as after SIGKILL, nothing more is committed or waited for."""
    if broker.member is not None:
        broker.member.dead = True
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
