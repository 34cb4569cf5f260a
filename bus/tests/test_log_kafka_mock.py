"""Broker faults on order: librdkafka's mock cluster stands in for brokers that err in one chosen request."""

import asyncio
import ctypes
from collections.abc import AsyncIterator, Iterator
from operator import attrgetter
from pathlib import Path

import confluent_kafka
import pytest

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.kafka import KafkaLog
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.log.kafka_member import Member
from hisbus_bus.kernel.settings import LogSettings

PATIENCE_S = 80
"""Longest wait for any one thing: four times what a busy machine needs."""
PRODUCE, FETCH, COMMIT, FIND = 0, 1, 8, 10
"""Keys of requests, as the protocol numbers them."""
OUT_OF_RANGE, NOT_LEADER, TIMED_OUT, COORDINATOR_LOADS, NOT_COORDINATOR, TOO_FEW_REPLICAS = 1, 6, 7, 14, 16, 19
REBALANCING, FORBIDDEN, OUT_OF_ORDER, FENCED, UNKNOWN_PRODUCER = 27, 29, 45, 47, 59


class MockCluster:
    """Brokers of librdkafka's test mock. It lives in the wheel's own copy of the library."""

    def __init__(self, brokers: int) -> None:
        folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
        [path] = folder.glob("librdkafka*.so*")
        self._lib = ctypes.CDLL(str(path))
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        conf = ctypes.c_void_p(self._lib.rd_kafka_conf_new())
        self._handle = ctypes.c_void_p(self._lib.rd_kafka_new(0, conf, ctypes.create_string_buffer(512), 512))
        self._mock = ctypes.c_void_p(self._lib.rd_kafka_mock_cluster_new(self._handle, brokers))
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._mock, 0)
        self.brokers = range(1, brokers + 1)
        self.bootstrap = self._lib.rd_kafka_mock_cluster_bootstraps(self._mock).decode()

    def _call(self, name: str, *arguments: object) -> None:
        assert getattr(self._lib, f"rd_kafka_mock_{name}")(self._mock, *arguments) == 0

    def topic(self, name: str) -> None:
        self._call("topic_create", name.encode(), 1, len(self.brokers))

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of a kind with errors."""
        self._lib.rd_kafka_mock_push_request_errors_array(
            self._mock, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), (ctypes.c_int * len(codes))(*codes)
        )

    def lead(self, topic: str, broker: int) -> None:
        self._call("partition_set_leader", topic.encode(), 0, broker)

    def down(self) -> None:
        for broker in self.brokers:
            self._call("broker_set_down", broker)

    def up(self) -> None:
        for broker in self.brokers:
            self._call("broker_set_up", broker)

    def coordinate(self, group: str, broker: int) -> None:
        self._call("coordinator_set", b"group", group.encode(), broker)

    def close(self) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._mock)
        self._lib.rd_kafka_destroy(self._handle)


@pytest.fixture
def brokers() -> Iterator[MockCluster]:
    mock = MockCluster(3)
    mock.topic("mock.events.v1")
    yield mock
    mock.close()


@pytest.fixture
async def log(brokers: MockCluster) -> AsyncIterator[KafkaLog]:
    settings = LogSettings(url=f"kafka://{brokers.bootstrap}", partitions=1, append_deadline_s=2.0)
    cluster = Cluster(settings, "mock")
    await cluster.open()
    log = KafkaLog(cluster)
    yield log
    await log.close()


def new(number: int) -> NewRecord:
    return NewRecord("events", "k", str(number).encode())


async def join(log: KafkaLog, known: dict[int, int] | None = None) -> Member:
    async def assigned(_partitions: object) -> dict[int, int]:
        return known or {}

    async def revoked(_partitions: object) -> None:
        pass

    return await log.subscribe("events", "g", assigned=assigned, revoked=revoked)


async def take(member: Member, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found += [int(record.value) for record in await member.fetch(100, 5)]
    return found


@pytest.mark.parametrize(
    "codes",
    [(NOT_LEADER,), (TOO_FEW_REPLICAS, TOO_FEW_REPLICAS), (TIMED_OUT, NOT_LEADER)],
    ids=["another leader", "too few replicas", "a time-out"],
)
async def test_what_passes_is_tried_again_and_stored_once(
    brokers: MockCluster, log: KafkaLog, codes: tuple[int, ...]
) -> None:
    await log.append([new(0)])
    brokers.fail(PRODUCE, *codes)
    await log.append([new(1), new(2)])
    await log.append([new(3)])
    assert await take(await join(log), 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("code", [OUT_OF_ORDER, FENCED], ids=["out of order", "fenced"])
async def test_a_producer_that_is_of_no_more_use_is_replaced(brokers: MockCluster, log: KafkaLog, code: int) -> None:
    await log.append([new(0)])
    brokers.fail(PRODUCE, code)
    with pytest.raises(RetryLater):
        await log.append([new(1)])
    await log.append([new(1)])
    assert await take(await join(log), 2) == [0, 1]


async def test_a_topic_that_is_forbidden_is_the_operators_to_allow(brokers: MockCluster, log: KafkaLog) -> None:
    await log.append([new(0)])
    brokers.fail(PRODUCE, FORBIDDEN)
    with pytest.raises(ConfigError, match="refuses us"):
        await log.append([new(1)])


async def test_a_leader_that_changes_under_load_costs_neither_order_nor_copies(
    brokers: MockCluster, log: KafkaLog
) -> None:
    for number in range(60):
        if number % 10 == 5:
            brokers.lead("mock.events.v1", 1 + number // 10 % 3)
        await log.append([new(number)])
    assert await take(await join(log), 60) == list(range(60))


async def test_brokers_that_come_back_get_what_was_refused_meanwhile(brokers: MockCluster, log: KafkaLog) -> None:
    await log.append([new(0)])
    brokers.down()
    with pytest.raises(RetryLater):
        await log.append([new(1)])
    with pytest.raises(RetryLater, match="does not answer"):
        await log.append([new(2)])
    brokers.up()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await log.append([new(2)])
                break
            except RetryLater:
                await asyncio.sleep(0.05)
    member = await join(log)
    found = await take(member, 1)
    while 2 not in found:
        found += await take(member, 1)
    assert [number for number in found if number != 1] == [0, 2], (
        "nobody knows of 1; 2 was refused, so it is there once"
    )


async def test_a_coordinator_that_moves_takes_the_commits_along(brokers: MockCluster, log: KafkaLog) -> None:
    await log.append([new(0), new(1)])
    member = await join(log)
    assert await take(member, 2) == [0, 1]
    brokers.coordinate("g", 2)
    brokers.fail(COMMIT, NOT_COORDINATOR, COORDINATOR_LOADS)
    await member.commit({0: 2})
    assert await log.committed("events", "g") == {0: 2}


async def test_a_commit_during_a_rebalance_is_left_to_whoever_comes_next(brokers: MockCluster, log: KafkaLog) -> None:
    await log.append([new(0)])
    member = await join(log)
    assert await take(member, 1) == [0]
    brokers.fail(COMMIT, REBALANCING)
    await member.commit({0: 1})


async def test_a_position_out_of_range_stops_with_an_alarm_and_skips_nothing(
    brokers: MockCluster, log: KafkaLog
) -> None:
    await log.append([new(0)])
    member = await join(log)
    brokers.fail(FETCH, OUT_OF_RANGE)
    with pytest.raises(ConfigError, match="Nothing was skipped"):
        await take(member, 1)


async def test_what_nobody_committed_is_delivered_again(log: KafkaLog) -> None:
    await log.append([new(0), new(1)])
    member = await join(log)
    assert await take(member, 2) == [0, 1]
    await member.close()
    assert await log.committed("events", "g") == {0: 0}, "neither time nor leaving commits"


async def test_a_commit_never_goes_back_to_where_a_restored_database_stands(log: KafkaLog) -> None:
    await log.append([new(0), new(1), new(2)])
    await log.place("events", "g", {0: 2})
    member = await join(log, {0: 0})
    assert await take(member, 3) == [0, 1, 2]
    await member.commit({0: 1})
    assert await log.committed("events", "g") == {0: 2}


# --- a client whose tasks have ended says nothing


async def end(task: "asyncio.Task[object] | None") -> None:
    """End one of the library's tasks, as an error would that it does not expect."""
    assert task is not None
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("task", ["_fetcher._fetch_task", "_client._sync_task"])
async def test_a_member_whose_client_fell_silent_joins_anew(log: KafkaLog, task: str) -> None:
    member = await join(log)
    await end(attrgetter(task)(member._consumer))
    await log.append([new(1)])
    with pytest.raises(RetryLater):
        await member.fetch(1, 1)
    assert await take(member, 1) == [1]


async def test_other_clients_that_fell_silent_are_opened_anew(log: KafkaLog) -> None:
    await log.append([new(1)])
    assert len(await log.read("events", 0, 0)) == 1
    producer, reader, cluster = log._producer, log._reader, log._cluster
    assert producer is not None and reader is not None and cluster._client is not None
    for client in (producer.client, reader._client, cluster._client):
        await end(client._sync_task)
    await log.append([new(2)])
    assert [record.value for record in await log.read("events", 0, 0, 2)] == [b"1", b"2"]
    assert await log.committed("events", "g") == {}
    assert log._producer is not producer
    assert log._reader is not reader
    assert cluster._client._sync_task is not None and not cluster._client._sync_task.done()
