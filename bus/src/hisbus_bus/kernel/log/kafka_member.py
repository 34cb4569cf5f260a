"""One member of a consumer group on Kafka.

The client's listener only notes what is assigned; where to start is settled by the next ``fetch``, so that waiting for
the database holds up no heartbeat, and an error reaches whoever fetches. Nothing is returned in between.

A partition whose records all come from this process is not fetched for as long as they do (``handover.py``).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from hisbus.errors import ConfigError, RetryLater, reason_code
from hisbus_bus.kernel.log import HANDED_OVER, REJOINS, Assigned, Record, Revoked, gone
from hisbus_bus.kernel.log.handover import Handover
from hisbus_bus.kernel.log.kafka_cluster import Cluster, sorted_error
from hisbus_bus.kernel.log.kafka_life import abandon, fell_silent
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import MIB, Name

SESSION_MS = 10_000
"""A member that is silent this long loses its partitions."""
HEARTBEAT_MS = 1_000
"""Also how soon a member notices that another came or went."""
REBALANCE_MS = 30_000
"""How long the others wait for a member that finishes what it has begun."""
NEVER_MS = 2**31 - 1
"""A member that pauses for hours stays a member: the loop has deadlines of its own."""
FETCH_BYTES = 16 * MIB
COMMIT_S = 10.0
CLOSE_S = 3.0
POLL_MS = 1_000
LOOK_S = 0.1
"""How often a waiting fetch looks whether a partition is to be fetched again."""

Found: TypeAlias = Mapping[TopicPartition, Sequence[ConsumerRecord]]


def record_of(topic: Name, found: ConsumerRecord) -> Record:
    """Return a record as the steps know it."""
    return Record(
        topic,
        found.partition,
        found.offset,
        (found.key or b"").decode(),
        found.value or b"",
        {name: value.decode() for name, value in found.headers},
        time_of(found.timestamp),
    )


def time_of(timestamp: int) -> datetime:
    """Return a time as Kafka gives it, milliseconds since 1970, UTC."""
    return datetime.fromtimestamp(timestamp / 1000, UTC)


class Member(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """One member of a group. See ``hisbus_bus.kernel.log``."""

    commit_every_s = 0.2

    def __init__(
        self, cluster: Cluster, topic: Name, group: str, assigned: Assigned, revoked: Revoked, start: str
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._assigned = assigned
        self._revoked = revoked
        self._start = start
        self.topic = topic
        self._log = logger(topic=topic, group=group)
        self._consumer: AIOKafkaConsumer | None = None
        self._poll: asyncio.Task[Found] | None = None
        """The client's fetch. It goes on where ours ends by what was offered: one that is cancelled leaves a waiter."""
        self._handover = Handover()
        self._left: set[int] = set()
        """The partitions that are not fetched: what is offered suffices."""
        self._turn = asyncio.Lock()
        """Held while partitions are taken over or given up, so that the two never overlap."""
        self._generation = 0
        self._waiting: set[int] | None = None
        """Assigned and not settled; None: nothing new was assigned."""
        self._held: set[int] = set()
        self._floor: dict[int, int] = {}
        """What is committed: it never goes back, also not after a restore of the database."""
        self._changed = asyncio.Event()
        """Something may be fetched now that could not before."""
        self._paused = False
        self.closed = False
        """It has left for good."""

    async def open(self) -> None:
        """Join the group, and wait until it has its partitions.

        Raises:
            RetryLater: the brokers are away.
            ConfigError: they refuse us, or no longer keep what the group needs.
        """
        consumer = AIOKafkaConsumer(
            **self._cluster.connection,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            max_poll_interval_ms=NEVER_MS,
            fetch_max_bytes=FETCH_BYTES,
        )
        consumer.subscribe([self._cluster.full(self.topic)], listener=self)
        self._consumer = consumer
        try:
            await consumer.start()
            await self._settle()
        except (KafkaError, OSError) as error:
            await self._stop()
            raise sorted_error(error) from error
        except BaseException:
            await self._stop()
            raise

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._cluster.full(self.topic), partition)

    # --- what the client tells

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Give everything up: the group is dealt anew."""
        self._forget()
        async with self._turn:
            await self._give_up()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note what was dealt."""
        self._forget()
        self._waiting = {at.partition for at in assigned}
        self._changed.set()

    def _forget(self) -> None:
        """Return nothing more of what was fetched or offered: it may lie behind where the next owner goes on."""
        self._generation += 1
        self._waiting = None
        self._handover.hold({})
        self._left.clear()
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.cancel()

    async def _give_up(self) -> None:
        held, self._held = self._held, set()
        if held:
            try:
                await self._revoked(held)
            except (ConfigError, RetryLater) as error:
                self._log.warning("revoke_failed", code=error.code)  # what is not committed is delivered again

    async def _settle(self) -> None:
        """Take over what was assigned: ask where to start, and go there."""
        async with self._turn:
            generation, partitions = self._generation, self._waiting
            if partitions is None:
                return
            known = await self._assigned(partitions) if partitions else {}
            self._held = set(partitions)
            committed = await self._positions(partitions)
            begins = await self._cluster.begins(self.topic)
            if generation != self._generation or self._consumer is None:
                return  # dealt anew meanwhile; whoever does that waits for the turn and gives up what is held
            positions = {at: min(committed[at], known.get(at, committed[at])) for at in sorted(partitions)}
            for partition, position in positions.items():
                if position < begins[partition]:
                    raise gone(self.topic, self._group, position)
                self._consumer.seek(self._at(partition), position)
            self._handover.hold(positions)
            self._floor = committed
            self._waiting = None

    async def _positions(self, partitions: set[int]) -> dict[int, int]:
        """Return the committed offsets; where there is none, the first one is written down before the first record."""
        found = await self._cluster.committed(self.topic, self._group)
        absent = partitions - found.keys()
        if absent:
            first = await (
                self._cluster.begins(self.topic) if self._start == "begin" else self._cluster.ends(self.topic)
            )
            await self._commit({partition: first[partition] for partition in absent})
            found |= {partition: first[partition] for partition in absent}
        return {partition: found[partition] for partition in partitions}

    # --- what the step asks for

    async def fetch(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records of the partitions it has; wait up to ``timeout`` seconds for the first."""
        now = asyncio.get_running_loop().time
        deadline = now() + timeout
        while not self.closed:
            self._changed.clear()
            if self._consumer is None:
                await self.open()
            if self._waiting is not None:
                await self._settle()
            elif not self._paused:
                if records := await self._next(max_records, max(0.0, deadline - now())):
                    return records
                if now() >= deadline:
                    break
            else:
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._changed.wait()
                except TimeoutError:
                    break
        return []

    async def _next(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return what was fetched or offered by now; else wait until something is, or it is to look again."""
        consumer = self._consumer
        if consumer is None:
            return []
        if fell_silent(consumer):
            await self._start_again()
        self._leave_or_fetch(consumer)
        poll = self._poll
        if poll is None:
            poll = self._poll = asyncio.ensure_future(consumer.getmany(timeout_ms=POLL_MS, max_records=max_records))
            poll.add_done_callback(_seen)
        records = await self._fetched(consumer, poll, max_records) if poll.done() else []
        offered = self._handover.take(max_records - len(records))
        HANDED_OVER.labels(self._group).inc(len(offered))
        records += offered
        if not records:
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                look = LOOK_S if self._left else timeout
                await asyncio.wait({poll, changed}, timeout=min(timeout, look), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
        return records

    async def _fetched(self, consumer: AIOKafkaConsumer, poll: "asyncio.Task[Found]", limit: int) -> list[Record]:
        """Take what the client's fetch brought, and have it brought again where that is too much."""
        self._poll = None
        try:
            found = poll.result()
        except NoOffsetForPartitionError:
            return []  # noted before we said where to start
        except OffsetOutOfRangeError as error:
            raise gone(self.topic, self._group, min(dict(*error.args).values())) from error
        except KafkaError as error:
            if not error.retriable:
                await self._stop()  # the next fetch joins again
            raise sorted_error(error) from error
        records = [record_of(self.topic, record) for its in found.values() for record in its]
        taken = self._handover.fetched(records, limit, _now())
        positions = self._handover.positions
        for at, its in found.items():
            position = positions.get(at.partition)
            if position is not None and position != its[-1].offset + 1:
                consumer.seek(at, position)
        return taken

    def _leave_or_fetch(self, consumer: AIOKafkaConsumer) -> None:
        """Fetch no partition for which what is offered suffices, and go on with the others where it stands."""
        now = _now()
        for partition, position in self._handover.positions.items():
            suffices = self._handover.suffices(partition, now)
            if suffices and partition not in self._left:
                consumer.pause(self._at(partition))
                self._left.add(partition)
            elif not suffices and partition in self._left:
                consumer.seek(self._at(partition), position)
                consumer.resume(self._at(partition))
                self._left.remove(partition)

    def offer(self, record: Record) -> None:
        """Hear of a record that this process has just stored."""
        self._handover.offer(record, _now(), wanted=not self._paused)
        if not self._paused:
            self._changed.set()

    async def _start_again(self) -> None:
        """Leave with a client that finds nothing any more; the next fetch joins anew."""
        self._log.error("kafka_client_fell_silent")
        REJOINS.labels(self._group).inc()
        await self._stop()
        raise RetryLater("The client of the log (Kafka) has ended. It is started again.", code="log")

    def pause(self) -> None:
        """Stop fetching until resumed."""
        self._paused = True

    def resume(self) -> None:
        """Go on fetching."""
        if self._paused:
            self._paused = False
            self._changed.set()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Store the next offset to read. What the group took away meanwhile is left to whoever has it now."""
        higher = {partition: offset for partition, offset in offsets.items() if offset > self._floor.get(partition, -1)}
        if higher:
            await self._commit(higher)
            self._floor.update(higher)

    async def _commit(self, offsets: Mapping[int, int]) -> None:
        if self._consumer is None:
            return
        name = self._cluster.full(self.topic)
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._consumer.commit({TopicPartition(name, at): offset for at, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            self._log.info("commit_too_late")  # dealt anew: these records are delivered again and dropped by id
        except (KafkaError, TimeoutError) as error:
            raise sorted_error(error) from error

    async def close(self) -> None:
        """Leave the group without committing."""
        self.closed = True
        self._changed.set()
        await self._stop()

    async def _stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._forget()
        if consumer is None:
            return
        async with self._turn:
            if not self.closed:
                await self._give_up()
        try:
            async with asyncio.timeout(CLOSE_S):
                await consumer.stop()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of the client may stay
            self._log.warning("leave_failed", code=reason_code(error))  # the group finds out when the session ends
            await abandon(consumer, CLOSE_S)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _seen(poll: "asyncio.Task[Found]") -> None:
    """Look at its error, so that one that nobody asks for any more leaves no complaint behind."""
    if not poll.cancelled():
        poll.exception()
