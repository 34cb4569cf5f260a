"""Whatever is offered, fetched, paused and dealt anew in whatever order: each record is taken once, and in order."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hisbus.errors import RetryLater
from hisbus_bus.kernel.log import SAID_BYTES, NewRecord, Record, kafka_member
from hisbus_bus.kernel.log.handover import QUIET_S, STRANGE_S, Handover
from hisbus_bus.kernel.log.kafka import KafkaLog
from hisbus_bus.kernel.log.kafka_member import Member
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_schemas import Charted

PARTITIONS = (0, 1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHARTED = Charted(id="i", encounter="e", version=1, event="v", kind="k", key="y")


def record(partition: int, offset: int, said: Charted | None = None) -> Record:
    return Record("events", partition, offset, "k", f"{partition}.{offset}".encode(), {}, NOW, said)


# --- what is taken, of what was offered and what was fetched ---


class HandoverMachine(RuleBasedStateMachine):
    """``Handover`` against a model of the log, to which this process and others append."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.unconfirmed: list[Record] = []
        """Appended here, and not heard of yet."""
        self.found: list[Record] | None = None
        """What a fetch has found and nobody has asked for yet."""
        self.now = 0.0
        self.wanted = True
        self.deal({0: 0, 1: 0}, 10)

    @initialize(positions=st.just({0: 0, 1: 0}), most=st.integers(1, 6))
    def deal(self, positions: dict[int, int], most: int) -> None:
        positions = {partition: min(at, self.ends[partition]) for partition, at in positions.items()}
        self.handover = Handover(most_records=most)
        self.handover.hold(positions)
        self.next = dict(positions)
        """What has to be taken next."""
        self.found = None

    @rule(positions=st.fixed_dictionaries({0: st.integers(0, 30)}, optional={1: st.integers(0, 30)}))
    def deal_anew(self, positions: dict[int, int]) -> None:
        self.next = {partition: min(at, self.ends[partition]) for partition, at in positions.items()}
        self.handover.hold(self.next)
        self.found = None

    @rule(partition=st.sampled_from(PARTITIONS), ours=st.booleans(), count=st.integers(1, 3))
    def append(self, partition: int, ours: bool, count: int) -> None:
        for offset in range(self.ends[partition], self.ends[partition] + count):
            if ours:
                self.unconfirmed.append(record(partition, offset, CHARTED))
        self.ends[partition] += count

    @precondition(lambda self: self.unconfirmed)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """In any order: two clients may be at work, one of which is about to end."""
        one = self.unconfirmed.pop(data.draw(st.integers(0, len(self.unconfirmed) - 1)))
        self.handover.offer(one, self.now, wanted=self.wanted)

    @rule(wanted=st.booleans())
    def pause_or_resume(self, wanted: bool) -> None:
        self.wanted = wanted

    @rule(seconds=st.sampled_from([QUIET_S / 2, QUIET_S, STRANGE_S]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(limit=st.integers(0, 4))
    def take(self, limit: int) -> None:
        self.taken(self.handover.take(limit), limit)

    @precondition(lambda self: self.found is None)
    @rule()
    def fetch(self) -> None:
        self.found = [
            record(partition, offset)
            for partition, position in self.handover.positions.items()
            if not self.handover.suffices(partition, self.now)
            for offset in range(position, self.ends[partition])
        ]

    @precondition(lambda self: self.found is not None)
    @rule(limit=st.integers(1, 4))
    def ask_for_what_was_fetched(self, limit: int) -> None:
        """Some of it may have been offered and taken in the meantime."""
        found, self.found = self.found or [], None
        self.taken(self.handover.fetched(found, limit, self.now), limit)

    def taken(self, records: Sequence[Record], limit: int) -> None:
        assert len(records) <= limit
        for one in records:
            assert one == record(one.partition, one.offset)
            assert one.offset == self.next[one.partition]
            self.next[one.partition] += 1

    @invariant()
    def it_knows_where_it_stands(self) -> None:
        assert self.handover.positions == self.next

    def teardown(self) -> None:
        """From any state everything is taken, by offers or, once these have ceased, by fetches."""
        self.found = None
        self.now += QUIET_S
        for _ in range(1000):
            before = dict(self.next)
            self.take(4)
            self.fetch()
            self.ask_for_what_was_fetched(4)
            if self.next == before:
                break
        assert self.next == {partition: self.ends[partition] for partition in self.next}


PATIENT = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestHandover = HandoverMachine.TestCase
TestHandover.settings = PATIENT


def held(position: int = 0, **most: int) -> Handover:
    handover = Handover(**most)
    handover.hold({0: position})
    return handover


def test_what_was_offered_says_itself_also_where_the_fetch_was_faster() -> None:
    handover = held()
    handover.offer(record(0, 0, CHARTED), 0)
    handover.offer(record(0, 1, CHARTED), 0)
    assert [one.said for one in handover.take(1)] == [CHARTED]
    assert [one.said for one in handover.fetched([record(0, 0), record(0, 1), record(0, 2)], 9, 0)] == [CHARTED, None]


def test_nothing_is_taken_over_a_gap() -> None:
    handover = held()
    for offset in (0, 2, 3):
        handover.offer(record(0, offset), 0.0)
    assert [one.offset for one in handover.take(9)] == [0]
    assert [one.offset for one in handover.fetched([record(0, 1)], 9, 0.0)] == [1]
    assert [one.offset for one in handover.take(9)] == [2, 3]


def test_a_partition_of_which_ever_more_is_offered_keeps_no_other_waiting() -> None:
    handover = Handover()
    handover.hold({0: 0, 1: 0})
    for offset in range(6):
        handover.offer(record(0, offset), 0.0)
    handover.offer(record(1, 0), 0.0)
    assert {one.partition for _ in range(2) for one in handover.take(2)} == {0, 1}


def test_what_was_offered_and_taken_is_not_taken_again_from_a_fetch() -> None:
    handover = held()
    handover.offer(record(0, 0), 0.0)
    assert [one.offset for one in handover.take(9)] == [0]
    assert [one.offset for one in handover.fetched([record(0, 0), record(0, 1)], 9, 0.0)] == [1]
    handover.offer(record(0, 1), 0.0)
    assert handover.take(9) == []


def test_a_partition_is_left_to_offers_while_all_that_comes_is_offered() -> None:
    handover = held()
    assert not handover.suffices(0, 0.0), "nothing was offered yet"
    handover.offer(record(0, 0), 1.0)
    assert handover.suffices(0, 1.0)
    assert not handover.suffices(0, 1.0 + QUIET_S), "nothing was offered lately"
    handover.offer(record(0, 2), 2.0)
    handover.take(9)
    assert not handover.suffices(0, 2.0), "another process has appended what is missing"
    handover.fetched([record(0, 1)], 9, 2.0)
    assert not handover.suffices(0, 2.0), "and may do so again"
    handover.take(9)
    handover.offer(record(0, 3), 2.0 + STRANGE_S)
    assert handover.suffices(0, 2.0 + STRANGE_S)


def test_a_fetch_that_is_faster_than_the_offer_was_of_ours() -> None:
    handover = held()
    handover.fetched([record(0, 0)], 9, 1.0)
    handover.offer(record(0, 0), 1.0)
    assert handover.suffices(0, 1.0)


@pytest.mark.parametrize("most", [{"most_records": 2}, {"most_bytes": 4}])
def test_what_there_is_no_room_for_is_fetched(most: dict[str, int]) -> None:
    handover = held(**most)
    for offset in range(3):
        handover.offer(record(0, offset), 0.0)
    assert [one.offset for one in handover.take(9)] == [0, 1]
    assert not handover.suffices(0, 0.0)
    assert [one.offset for one in handover.fetched([record(0, 2)], 9, 0.0)] == [2]
    handover.offer(record(0, 3), 0.0)
    assert [one.offset for one in handover.take(9)] == [3], "there is room again"


def test_nothing_is_kept_for_one_that_is_paused() -> None:
    handover = held()
    handover.offer(record(0, 0), 0.0, wanted=False)
    assert (handover.take(9), handover.suffices(0, 0.0)) == ([], False)


def test_a_record_says_what_it_parses_to_where_it_is_small() -> None:
    value = CHARTED.model_dump_json().encode()
    new = NewRecord("charted", "k", value, said=CHARTED)
    assert new.stored(0, 0, NOW).read(Charted) is CHARTED
    large = NewRecord("charted", "k", value + b" " * SAID_BYTES, said=CHARTED).stored(0, 0, NOW)
    assert large.said is None
    assert large.read(Charted) == CHARTED


# --- a member on Kafka: its client fetches in its own time ---


@dataclass
class Client:
    """As much of aiokafka's consumer as a member needs, on partitions in memory."""

    ends: Mapping[int, int]
    assigned: set[int] = field(default_factory=set)
    positions: dict[int, int] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)

    def seek(self, at: TopicPartition, position: int) -> None:
        assert at.partition in self.assigned
        self.positions[at.partition] = position

    def pause(self, at: TopicPartition) -> None:
        assert at.partition in self.assigned
        self.paused.add(at.partition)

    def resume(self, at: TopicPartition) -> None:
        assert at.partition in self.assigned
        self.paused.remove(at.partition)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[Any]]:
        for _ in range(10):
            found: dict[TopicPartition, Sequence[Any]] = {}
            for partition in sorted(self.assigned - self.paused):
                begin = self.positions[partition]
                end = min(self.ends[partition], begin + max_records)
                if begin < end:
                    found[TopicPartition("t", partition)] = [raw(partition, offset) for offset in range(begin, end)]
                    self.positions[partition] = end
                    max_records -= end - begin
                if not max_records:
                    break
            if found:
                return found
            await asyncio.sleep(0)
        return {}


def raw(partition: int, offset: int) -> Any:
    value = f"{partition}.{offset}".encode()
    return SimpleNamespace(
        partition=partition, offset=offset, key=b"k", value=value, headers=(), timestamp=NOW.timestamp() * 1000
    )


class Told:
    """A group's member in a world of which a script tells what happens."""

    def __init__(self) -> None:
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.client = Client(self.ends)
        self.next: dict[int, int] = {}
        self.unconfirmed: list[Record] = []
        self.known: dict[int, int] = {}
        cluster: Any = SimpleNamespace(full=lambda _topic: "t", begins=self.begins, committed=self.has_committed)
        self.member = Member(cluster, "events", "g", self.has_assigned, self.has_revoked, "begin")
        self.member._consumer = self.client

    async def begins(self, _topic: str) -> Mapping[int, int]:
        await asyncio.sleep(0)
        return dict.fromkeys(PARTITIONS, 0)

    async def has_committed(self, _topic: str, _group: str) -> Mapping[int, int]:
        return dict(self.committed)

    async def has_assigned(self, partitions: Any) -> Mapping[int, int]:
        self.next = {at: min(self.committed[at], self.known.get(at, self.committed[at])) for at in partitions}
        return self.known

    async def has_revoked(self, partitions: Any) -> None:
        self.next = {}

    async def take_away(self) -> None:
        self.dealt = False
        await self.member.on_partitions_revoked({TopicPartition("t", at) for at in self.client.assigned})

    async def deal(self, partitions: set[int], known: Mapping[int, int]) -> None:
        """Deal the partitions anew; the client goes on at what is committed until it is told better."""
        await self.take_away()
        self.dealt = True
        self.known = {at: min(known.get(at, 0), self.ends[at]) for at in partitions}
        self.client.assigned, self.client.paused = partitions, set()
        self.client.positions = {at: self.committed[at] for at in partitions}
        await self.member.on_partitions_assigned({TopicPartition("t", at) for at in partitions})

    def append(self, partition: int, ours: bool) -> None:
        if ours:
            self.unconfirmed.append(record(partition, self.ends[partition], CHARTED))
        self.ends[partition] += 1

    def confirm(self, which: int) -> None:
        if self.unconfirmed:
            self.member.offer(self.unconfirmed.pop(which % len(self.unconfirmed)))

    async def fetch(self, limit: int) -> None:
        records = await self.member.fetch(limit, 0)
        assert len(records) <= limit
        for one in records:
            assert one == record(one.partition, one.offset)
            assert one.offset == self.next[one.partition], "nothing twice, nothing skipped"
            self.next[one.partition] += 1

    def commit(self) -> None:
        for partition, offset in self.next.items():
            self.committed[partition] = max(offset, self.committed[partition])


PARTITION, FEW = st.sampled_from(PARTITIONS), st.integers(1, 4)
HAPPENS = st.one_of(
    st.tuples(st.just("append"), PARTITION, st.just(True)),
    st.tuples(st.just("append"), PARTITION, st.booleans()),
    st.tuples(st.just("confirm"), st.sampled_from([0, 0, 0, 1, 2])),
    st.tuples(st.just("fetch"), FEW),
    st.tuples(st.just("fetch"), FEW),
    st.tuples(st.just("round")),
    st.tuples(st.just("pass"), st.sampled_from([QUIET_S / 2, QUIET_S, STRANGE_S])),
    st.tuples(st.just("pause")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("take away")),
    st.tuples(st.just("deal"), st.sets(PARTITION, min_size=1), st.dictionaries(PARTITION, st.integers(0, 12))),
)


@settings(max_examples=200, deadline=None)
@given(script=st.lists(HAPPENS, max_size=60))
@example(script=[("fetch", 4), ("append", 0, False), ("append", 0, False), ("round",), ("round",), ("fetch", 1)])
@example(script=[("fetch", 4), ("append", 0, True), ("take away",), ("confirm", 0), ("fetch", 4), ("deal", {0, 1}, {})])
@example(
    script=[
        *[("append", 0, False), ("fetch", 4), ("fetch", 4), ("commit",), ("append", 0, False), ("fetch", 4)],
        *[("round",), ("round",), ("deal", {0}, {}), ("fetch", 4), ("fetch", 4)],
    ]
)
def test_a_member_on_kafka_takes_each_record_once_and_in_order(script: list[tuple[Any, ...]]) -> None:
    clock = [0.0]

    async def play() -> None:
        told = Told()
        await told.deal(set(PARTITIONS), {})
        for name, *how in script:
            if name == "append":
                told.append(*how)
            elif name == "confirm":
                told.confirm(*how)
            elif name == "fetch":
                await told.fetch(*how)
            elif name == "round":
                await asyncio.sleep(0)
            elif name == "pass":
                clock[0] += how[0]
            elif name == "pause":
                told.member.pause()
            elif name == "resume":
                told.member.resume()
            elif name == "take away":
                await told.take_away()
            elif name == "commit":
                told.commit()
            else:
                await told.deal(*how)
        if not told.dealt:
            await told.deal(set(PARTITIONS), {})
        told.member.resume()
        clock[0] += QUIET_S
        for _ in range(200):
            await told.fetch(4)
            await asyncio.sleep(0)
        assert told.next == {at: told.ends[at] for at in told.client.assigned}, "nothing is forgotten"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka_member, "_now", lambda: clock[0])
        patch.setattr(kafka_member, "fell_silent", lambda _client: False)
        asyncio.run(play())


# --- the logs offer what is stored, and nothing else ---


class Listening:
    """A member that only listens."""

    topic = "events"
    closed = False

    def __init__(self) -> None:
        self.offered: list[Record] = []

    def offer(self, record: Record) -> None:
        self.offered.append(record)


def answered(type: int, error: Exception | None = None) -> "asyncio.Future[RecordMetadata]":
    future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
    if error is None:
        at = TopicPartition("t", 1)
        future.set_result(RecordMetadata("t", 1, at, 7, round(NOW.timestamp() * 1000), type, 0))
    else:
        future.set_exception(error)
    return future


async def test_kafka_offers_what_the_broker_has_confirmed_with_its_place_and_time() -> None:
    cluster: Any = SimpleNamespace(settings=SimpleNamespace(append_deadline_s=1.0), full=str)
    log, listening = KafkaLog(cluster), Listening()
    log._members = [listening]  # type: ignore[list-item]
    log._confirmed(NewRecord("events", "k", b"1.7", said=CHARTED), answered(1))
    log._confirmed(NewRecord("charted", "k", b"of another topic"), answered(1))
    log._confirmed(NewRecord("events", "k", b"stored before"), answered(0))
    log._confirmed(NewRecord("events", "k", b"refused"), answered(1, RetryLater()))
    assert listening.offered == [record(1, 7)]
    assert listening.offered[0].said is CHARTED


async def nobody_knows(_partitions: Any) -> Mapping[int, int]:
    return {}


async def test_the_embedded_log_offers_nothing_that_it_could_not_store(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db", max_mb=1)
    member = await log.subscribe("events", "g", assigned=nobody_knows, revoked=nobody_knows)  # type: ignore[arg-type]
    with pytest.raises(RetryLater):
        await log.append([NewRecord("events", "k", bytes(2_000_000))])
    await log.append([NewRecord("events", "k", b"small")])
    assert [one.value for one in await member.fetch(9, 0)] == [b"small"]
    await log.close()


async def test_the_embedded_log_offers_what_a_fetch_would_return(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    member = await log.subscribe("events", "g", assigned=nobody_knows, revoked=nobody_knows)  # type: ignore[arg-type]
    values = [b"1", b"2", b"3"]
    await log.append([NewRecord("events", "k", value, {"名": "值"}, said=CHARTED) for value in values])
    offered = await member.fetch(9, 0)
    assert [one.said for one in offered] == [CHARTED] * 3
    assert offered == await log.read("events", 0, 0, 9)
    await log.close()
