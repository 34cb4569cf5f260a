"""The log on Apache Kafka: many machines, many consumers for each step.

Plain aiokafka: acknowledged by all in-sync replicas, idempotent, offsets committed by us alone. Topics are made by
``hisbus topics apply``, never by writing to them. A key's partition is its CRC-32 modulo their number, for ever: the
keys are hashes already, and the client's own hash is written in Python.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from hisbus.errors import ConfigError, RetryLater, reason_code
from hisbus_bus.kernel.log import Assigned, NewRecord, Record, Revoked, refuse_oversize
from hisbus_bus.kernel.log.kafka_cluster import ENVELOPE, REQUEST_MS, Cluster, sorted_error
from hisbus_bus.kernel.log.kafka_life import abandon, fell_silent
from hisbus_bus.kernel.log.kafka_member import FETCH_BYTES, Member, record_of, time_of
from hisbus_bus.kernel.settings import LogSettings
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import MIB, TOPICS, Name

LOG = logger()

LARGE = MIB
"""Records above this go one at a time: together they would pass what a broker takes in one request."""
Confirmed: TypeAlias = "asyncio.Future[RecordMetadata]"
APPENDED = 1
"""Type of a timestamp that the broker gave, as each of our topics wants it (``LogAppendTime``)."""
STOP_S = 5.0
READ_MS = 5_000


class KafkaLog:
    """The log of a site on a cluster. Open it with ``open``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._deadline_s = cluster.settings.append_deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._large = asyncio.Lock()
        self._overdue: asyncio.Task[None] | None = None
        """Waits for what was given up by whoever appended it; None: nothing is overdue."""
        self._topics = {name: cluster.full(name) for name in TOPICS}
        self._ending: set[asyncio.Task[None]] = set()
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()
        self._members: list[Member] = []
        self._closed = False

    @classmethod
    async def open(cls, settings: LogSettings, site: str, agents: Iterable[str] = ()) -> "KafkaLog":
        """Connect, and refuse topics that are missing or unsafe; those of remote agents, too.

        Raises:
            ConfigError: the topics are not as they must be, or the brokers refuse us.
            RetryLater: no broker answers.
        """
        cluster = Cluster(settings, site, agents)
        try:
            if mistakes := await cluster.mistakes():
                raise ConfigError("\n".join(f"log.url: {mistake}" for mistake in mistakes))
            await cluster.open()
        except BaseException:
            await cluster.close()
            raise
        return cls(cluster)

    # --- appending

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Store records durably, those of a key in the order given.

        Raises:
            RetryLater: the brokers did not confirm in time; some may be stored all the same.
            BadMessage: a record is larger than its topic allows.
        """
        for record in records:
            refuse_oversize(record)
        if self._producer is not None and fell_silent(self._producer):
            LOG.error("kafka_client_fell_silent")
            self._drop_producer()
        if self._overdue is not None:
            # Waiting in line behind what is overdue would fill the memory for as long as the outage lasts.
            raise RetryLater("The log (Kafka) does not answer. Check its brokers.", code="log")
        try:
            async with asyncio.timeout(self._deadline_s):
                producer = self._producer or await self._start_producer()
                sent = [await self._send(producer, record) for record in records]
                for future in sent:
                    await future
        except TimeoutError as error:
            if self._overdue is None:
                self._overdue = asyncio.create_task(self._until_answered())
            raise RetryLater("The log (Kafka) takes too long to confirm. Check its brokers.", code="log") from error
        except KafkaError as error:
            self._drop_producer()
            raise sorted_error(error) from error

    async def _send(self, producer: AIOKafkaProducer, record: NewRecord) -> Confirmed:
        if len(record.value) < LARGE:
            future = await self._produce(producer, record)
        else:
            async with self._large:
                future = await self._produce(producer, record)
                await asyncio.wait((future,))
        # Looked at, so that one that nobody waits for any more leaves no complaint behind.
        future.add_done_callback(partial(self._confirmed, record))
        return future

    def _confirmed(self, new: NewRecord, future: Confirmed) -> None:
        """Offer what is stored to the members that read its topic; whoever appended it may have given up on it."""
        if future.cancelled() or future.exception() is not None:
            return
        at = future.result()
        if at.timestamp_type != APPENDED:
            return  # a copy of what was stored before, of which the broker no longer knows where
        record: Record | None = None
        for member in self._members:
            if member.topic == new.topic and not member.closed:
                record = record or new.stored(at.partition, at.offset, time_of(at.timestamp))
                member.offer(record)

    def _produce(self, producer: AIOKafkaProducer, record: NewRecord) -> Awaitable[Confirmed]:
        key = record.key.encode()
        partition = zlib.crc32(key) % self._cluster.settings.partitions
        headers = [(name, value.encode()) for name, value in record.headers.items()]
        sending: Awaitable[Confirmed] = producer.send(
            self._topics[record.topic], record.value, key, partition, headers=headers
        )
        return sending

    async def _until_answered(self) -> None:
        """Wait until everything overdue is stored or has failed; only then appends are taken again."""
        producer = self._producer
        if producer is not None:
            await producer.flush()
        self._overdue = None

    async def _start_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._closed:
                raise RetryLater("The log is closed.", code="log")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._cluster.connection,
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=MIB,
                    max_request_size=max(topic.max_bytes for topic in TOPICS.values()) + ENVELOPE,
                    request_timeout_ms=REQUEST_MS,
                )
                await _start(producer)
                self._producer = producer
            return self._producer

    def _drop_producer(self) -> None:
        """Begin again with a new producer: after an error that it does not mend, an idempotent one is of no use."""
        producer, self._producer = self._producer, None
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if producer is not None:
            ending = asyncio.create_task(_end(producer))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    # --- reading

    async def subscribe(
        self, topic: Name, group: str, *, assigned: Assigned, revoked: Revoked, start: str = "begin"
    ) -> Member:
        """Join a group; the partitions are dealt among its members."""
        if self._closed:
            raise RetryLater("The log is closed.", code="log")
        member = Member(self._cluster, topic, group, assigned, revoked, start)
        await member.open()
        self._members = [other for other in self._members if not other.closed] + [member]
        return member

    async def place(self, topic: Name, group: str, offsets: Mapping[int, int]) -> None:
        """Give a group that has no members yet its first position."""
        await self._cluster.place(topic, group, offsets)

    async def read(self, topic: Name, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        """Return up to ``limit`` records from an offset on, outside of any group; fewer where they are large."""
        async with self._reading:
            begins, ends = await self._cluster.begins(topic), await self._cluster.ends(topic)
            if not begins.get(partition, 0) <= offset < ends.get(partition, 0):
                return []
            limit = min(limit, ends[partition] - offset)
            found: list[Record] = []
            try:
                reader = await self._start_reader()
                at = TopicPartition(self._cluster.full(topic), partition)
                reader.assign([at])
                reader.seek(at, offset)
                while len(found) < limit and sum(len(record.value) for record in found) < FETCH_BYTES:
                    batch = await reader.getmany(at, timeout_ms=READ_MS, max_records=limit - len(found))
                    if not batch:
                        raise RetryLater("The log (Kafka) does not answer. Check its brokers.", code="log")
                    found += [record_of(topic, record) for record in batch[at]]
            except KafkaError as error:
                raise sorted_error(error) from error
            return found

    async def _start_reader(self) -> AIOKafkaConsumer:
        if self._closed:
            raise RetryLater("The log is closed.", code="log")
        if self._reader is not None and fell_silent(self._reader):
            LOG.error("kafka_client_fell_silent")
            reader, self._reader = self._reader, None
            await abandon(reader, STOP_S)
        if self._reader is None:
            reader = AIOKafkaConsumer(
                **self._cluster.connection, auto_offset_reset="none", fetch_max_bytes=FETCH_BYTES,
                request_timeout_ms=REQUEST_MS,
            )  # fmt: skip
            await _start(reader)
            self._reader = reader
        return self._reader

    async def ends(self, topic: Name) -> Mapping[int, int]:
        """Return the offset after the last record, by partition."""
        return await self._cluster.ends(topic)

    async def begins(self, topic: Name) -> Mapping[int, int]:
        """Return the offset of the first record still kept, by partition."""
        return await self._cluster.begins(topic)

    async def committed(self, topic: Name, group: str) -> Mapping[int, int]:
        """Return a group's committed offsets, by partition; a partition without one is absent."""
        return await self._cluster.committed(topic, group)

    async def check(self) -> list[str]:
        """Compare the topics with what is needed. Return what is wrong, one sentence each."""
        try:
            return await self._cluster.mistakes()
        except RetryLater as error:
            return [str(error)]

    async def close(self) -> None:
        """Confirm what is under way, and disconnect."""
        if self._closed:
            return
        self._closed = True
        for member in self._members:
            await member.close()
        self._drop_producer()
        if self._ending:
            await asyncio.wait(set(self._ending))
        if self._reader is not None:
            await self._reader.stop()
        await self._cluster.close()


async def _start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Start a client; one that cannot be started lets go of what it has opened."""
    try:
        await client.start()
    except BaseException:
        await client.stop()
        raise


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop a producer; one whose brokers are away would otherwise wait for them for ever."""
    try:
        async with asyncio.timeout(STOP_S):
            await producer.stop()
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing of the producer may stay
        LOG.warning("producer_given_up", code=reason_code(error))
        await abandon(producer, STOP_S)  # stop() offers no way out of its own wait
