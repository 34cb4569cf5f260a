"""A client of Kafka that would fall silent does not, or is noticed and begun anew."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables, watchdog
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.consumer import Batch, Consumer
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.log.kafka import KafkaLog
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.log.kafka_life import fell_silent
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.settings import LogSettings, RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_bus.kernel.topics import Keys, Name

PATIENCE_S = 110
PARTITIONS = 8


class Request:
    """As much of a request as a connection needs to write it."""

    def prepare(self, _versions: Any) -> "Request":
        return self

    def build_request_header(self, **_named: Any) -> "Request":
        return self

    def encode(self) -> bytes:
        return b"anything"


async def written_between_a_reset_and_its_news() -> BaseException | None:
    """Let the other side reset a connection, and write to it before the connection hears of it."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    connection = AIOKafkaConnection(host, port)
    connection._reader, connection._writer = reader, writer
    connection._read_task = connection._create_reader_task()
    writer.write(b"x")
    loop, raised = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def each_round() -> None:
        if reader.exception() is None:
            loop.call_soon(each_round)
            return
        assert connection.connected(), "the news came first"
        try:
            connection.send(Request())
        except Exception as error:  # noqa: BLE001 - which one is the question
            raised.set_result(error)
        else:
            raised.set_result(None)

    each_round()
    error: BaseException | None = await raised
    server.close()
    assert not connection.connected()
    return error


def test_a_write_to_a_connection_that_was_just_reset_is_a_broken_connection() -> None:
    """uvloop raises RuntimeError there, which the library's tasks do not survive."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error = runner.run(written_between_a_reset_and_its_news())
    assert isinstance(error, KafkaConnectionError)


# --- on a real broker ---

on_kafka = pytest.mark.kafka


@pytest.fixture
async def log(kafka: str) -> AsyncIterator[KafkaLog]:
    settings = LogSettings(url=f"kafka://{kafka}", durability="single-broker", partitions=PARTITIONS)
    name = f"life-{uuid4().hex[:8]}"
    await Cluster(settings, name).apply()
    log = await KafkaLog.open(settings, name)
    yield log
    await log.close()


async def ends(task: asyncio.Task[Any] | None) -> None:
    """End one of the library's tasks, as an error would that it does not expect."""
    assert task is not None
    task.cancel()
    await asyncio.wait([task])


def fetching(client: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = client._fetcher.error_future
    return task


def learning(client: Any) -> asyncio.Task[Any]:
    """Return the task that learns of new leaders."""
    task: asyncio.Task[Any] = getattr(client, "_client", client)._sync_task
    return task


async def nothing(_partitions: Any) -> dict[int, int]:
    return {}


@on_kafka
@pytest.mark.parametrize("part", [fetching, learning])
async def test_a_member_whose_client_has_fallen_silent_joins_anew(
    log: KafkaLog, part: Callable[[Any], asyncio.Task[Any]]
) -> None:
    member = await log.subscribe("events", "g", assigned=nothing, revoked=nothing)  # type: ignore[arg-type]
    silent = member._consumer
    await ends(part(silent))
    assert fell_silent(silent)
    await log.append([NewRecord("events", "k", b"x")])
    before = REGISTRY.get_sample_value("hisbus_rejoins_total", {"group": "g"}) or 0
    with pytest.raises(RetryLater):
        await member.fetch(1, 1)
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await member.fetch(1, 1)):
            pass
    assert [record.value for record in found] == [b"x"]
    assert (REGISTRY.get_sample_value("hisbus_rejoins_total", {"group": "g"}) or 0) - before == 1
    assert all(task.done() for task in (fetching(silent), silent._coordinator._coordination_task))


class Storing:
    """A step with tables: it stores what it read, and its position."""

    name = "storing"
    topic: Name = "events"
    start = "begin"
    stores = True
    latest_only = False

    def __init__(self, site: Site) -> None:
        self._site = site
        self.group = site.group(self.name)
        self.done: list[str] = []
        self.changed = asyncio.Condition()

    def wants(self, _record: Record) -> bool:
        return True

    async def handle(self, batch: Batch) -> None:
        async with self._site.database.write() as connection:
            await write(connection, position(self.group, self.topic, batch.offsets))
        async with self.changed:
            self.done += [record.value.decode() for record in batch.records]
            self.changed.notify_all()

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        raise AssertionError

    async def until(self, done: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: set(self.done) == done)

    async def works(self, done: set[str]) -> None:
        """Run until all of this is done, and end in order."""
        task = asyncio.create_task(Consumer(self._site, self).run())
        await self.until(done)
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def site(log: KafkaLog, database: Database) -> Site:
    # A name of its own: tests that run side by side would share a group.
    settings = Settings(site=f"life-{uuid4().hex[:8]}", retry=RetrySettings(first_s=0.01, longest_s=0.1))
    return Site(settings, Keys(b"test-secret"), log, database)


def records(site: Site, keys: str) -> list[NewRecord]:
    return [NewRecord("events", key, key.encode(), {"keyid": site.keys.id}) for key in keys]


@on_kafka
async def test_a_partition_that_was_empty_at_the_backup_is_read_again_after_the_restore(site: Site) -> None:
    await site.log.append(records(site, "a"))
    await Storing(site).works({"a"})
    async with site.database.read() as connection:
        backup = [dict(row._mapping) for row in await connection.execute(tables.offsets.select())]
    await site.log.append(records(site, "bcdefg"))
    await Storing(site).works(set("bcdefg"))
    for known in (backup, [row for row in backup if row["next"]]):  # of today, and one without rows of what was empty
        async with site.database.write() as connection:
            await connection.execute(tables.offsets.delete())
            await connection.execute(tables.offsets.insert(), known)
        await Storing(site).works(set("bcdefg"))


@on_kafka
async def test_a_consumer_whose_client_fetches_nothing_more_joins_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks live, so that only the records that wait tell."""
    monkeypatch.setattr(watchdog, "PATROL_S", 0.2)
    monkeypatch.setattr(watchdog, "SILENT_S", 2.0)
    subscribe, members = site.log.subscribe, []

    async def noted(*args: Any, **named: Any) -> Any:
        members.append(await subscribe(*args, **named))
        if len(members) == 1:
            # pause() of aiokafka itself, of which the member knows nothing: it fetches no more, and says nothing.
            consumer = members[0]._consumer
            consumer.pause(*consumer.assignment())
        return members[-1]

    monkeypatch.setattr(site.log, "subscribe", noted)
    await site.log.append(records(site, "abc"))
    await Storing(site).works(set("abc"))
    assert len(members) > 1
