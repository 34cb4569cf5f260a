"""What the log on Kafka promises besides the contract: a group's work is dealt anew, and outages are waited for."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest
from cryptography.hazmat.primitives import serialization

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log import NewRecord, Record, Subscription, kafka_cluster
from hisbus_bus.kernel.log.kafka import KafkaLog
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import LogSettings
from hisbus_servers.kafka import Kafka, TlsFiles

pytestmark = pytest.mark.kafka

PARTITIONS = 4
PATIENCE_S = 110
"""Longest wait for any one thing: four times what a busy machine needs."""
KEYS = [f"key-{n}" for n in range(24)]


def settings(bootstrap: str, **more: Any) -> LogSettings:
    values: dict[str, Any] = {"durability": "single-broker", "partitions": PARTITIONS, **more}
    return LogSettings(url=f"kafka://{bootstrap}", **values)


@pytest.fixture
def site() -> str:
    return f"log-{uuid4().hex[:8]}"


OpenLog = Callable[..., Awaitable[KafkaLog]]


@pytest.fixture
async def open_log(site: str) -> AsyncIterator[OpenLog]:
    """Make the topics of this test's site, and open its log as often as asked."""
    opened: list[KafkaLog] = []

    async def open(bootstrap: str, **more: Any) -> KafkaLog:
        if not opened:
            await Cluster(settings(bootstrap, **more), site).apply()
        opened.append(await KafkaLog.open(settings(bootstrap, **more), site))
        return opened[-1]

    yield open
    for log in opened:
        await log.close()


class Reader:
    """A member that remembers what it was given, and commits it."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self.held: set[int] = set()
        self.given: list[Record] = []
        self.subscription: Subscription
        self._known: Mapping[int, int] = {}

    async def assigned(self, partitions: Iterable[int]) -> Mapping[int, int]:
        self.held |= set(partitions)
        return self._known

    async def revoked(self, partitions: Iterable[int]) -> None:
        assert set(partitions) <= self.held
        self.held -= set(partitions)

    async def join(self, known: Mapping[int, int] | None = None) -> "Reader":
        self._known = known or {}
        self.subscription = await self._log.subscribe("events", "g", assigned=self.assigned, revoked=self.revoked)
        return self

    async def read(self) -> None:
        """Read and commit until cancelled."""
        while True:
            for record in await self.subscription.fetch(7, 0.2):
                assert record.partition in self.held
                self.given.append(record)
                await self.subscription.commit({record.partition: record.offset + 1})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


def numbered(begin: int, end: int) -> list[NewRecord]:
    return [NewRecord("events", KEYS[n % len(KEYS)], str(n).encode()) for n in range(begin, end)]


def keeps_the_order(records: Iterable[Record]) -> bool:
    """Tell whether no partition went back behind what was already committed."""
    last: dict[int, int] = {}
    for record in records:
        if record.offset < last.get(record.partition, -1):
            return False
        last[record.partition] = record.offset
    return True


async def test_a_second_member_gets_its_share_and_leaves_it_behind_when_it_goes(kafka: str, open_log: OpenLog) -> None:
    log, other_log = await open_log(kafka), await open_log(kafka)
    first, second = await Reader(log).join(), Reader(other_log)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(first.read())
        await log.append(numbered(0, 200))
        await until(lambda: len(first.given) == 200)
        joining = tasks.create_task(second.join())
        await joining
        other = tasks.create_task(second.read())
        await until(lambda: len(first.held) == len(second.held) == PARTITIONS / 2 and not first.held & second.held)
        await log.append(numbered(200, 400))
        await until(lambda: len(first.given) + len(second.given) >= 400)
        assert first.given[200:] and second.given
        other.cancel()
        await second.subscription.close()
        await until(lambda: len(first.held) == PARTITIONS)
        await log.append(numbered(400, 500))
        await until(lambda: {int(record.value) for record in first.given + second.given} == set(range(500)))
        reading.cancel()
    assert keeps_the_order(first.given) and keeps_the_order(second.given)


async def test_a_position_of_the_database_behind_the_committed_one_lowers_no_commit(
    kafka: str, open_log: OpenLog
) -> None:
    log = await open_log(kafka)
    await log.append([NewRecord("events", "k", str(n).encode()) for n in range(10)])
    [partition] = [at for at, end in (await log.ends("events")).items() if end]
    first = await Reader(log).join()
    await first.subscription.commit({partition: 8})
    await first.subscription.close()
    restored = await Reader(log).join({partition: 2})
    assert int((await restored.subscription.fetch(1, 10))[0].value) == 2
    await restored.subscription.commit({partition: 3})
    assert (await log.committed("events", "g"))[partition] == 8
    await restored.subscription.commit({partition: 9})
    assert (await log.committed("events", "g"))[partition] == 9


async def test_a_position_that_is_no_longer_kept_stops_with_an_alarm(kafka: str, open_log: OpenLog, site: str) -> None:
    log = await open_log(kafka)
    await log.append([NewRecord("events", "k", b"x")] * 5)
    [partition] = [at for at, end in (await log.ends("events")).items() if end]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(f"{site}.events.v1", partition): RecordsToDelete(before_offset=3)})
    await admin.close()
    with pytest.raises(ConfigError, match="offset 1 of events"):
        await Reader(log).join({partition: 1})
    assert (await (await Reader(log).join()).subscription.fetch(1, 10))[0].offset == 3


async def test_a_group_can_be_placed_before_anybody_joins_it_and_not_after(kafka: str, open_log: OpenLog) -> None:
    log = await open_log(kafka)
    await log.append(numbered(0, 50))
    ends = await log.ends("events")
    await log.place("events", "g", ends)
    assert await log.committed("events", "g") == ends
    await Reader(log).join()
    await log.place("events", "g", dict.fromkeys(ends, 0))
    assert await log.committed("events", "g") == ends


async def test_the_largest_message_goes_in_and_comes_out(kafka: str, open_log: OpenLog) -> None:
    log = await open_log(kafka)
    largest = bytes(range(256)) * (33 * 4096)
    await asyncio.gather(
        log.append([NewRecord("raw", "a", largest)]),
        log.append([NewRecord("raw", "b", largest)]),
        log.append([NewRecord("raw", "a", b"small")]),
    )
    found: list[Record] = []
    for at, end in (await log.ends("raw")).items():
        offset = 0
        while offset < end:
            found += await log.read("raw", at, offset, end)
            offset = found[-1].offset + 1
    assert sorted(len(record.value) for record in found) == [5, len(largest), len(largest)]
    assert all(record.value in (largest, b"small") for record in found)


async def test_topics_that_are_missing_are_the_operators_to_make(kafka: str, site: str) -> None:
    with pytest.raises(ConfigError, match="hisbus topics apply"):
        await KafkaLog.open(settings(kafka), site)


async def test_asking_for_a_topic_does_not_make_it(kafka: str, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker makes a topic that a client asks for, unless the client says no; most clusters have it so."""
    asked: list[Any] = []
    send = AIOKafkaClient.send

    async def listened(self: AIOKafkaClient, node: int, request: Any, **more: Any) -> Any:
        if isinstance(request, MetadataRequest) and request._topics:
            asked.append(request._allow_auto_topic_creation)
        return await send(self, node, request, **more)

    monkeypatch.setattr(AIOKafkaClient, "send", listened)
    assert len(await Cluster(settings(kafka), site).mistakes()) == 1
    await Cluster(settings(kafka), site).apply()
    assert asked
    assert set(asked) == {False}


async def test_topics_are_made_when_every_broker_knows_of_them(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = {0: 2, 1: 0, 2: 1}
    asked: list[int] = []
    partitions = kafka_cluster._partitions

    async def learn_one_after_the_other(client: AIOKafkaClient, broker: int, topics: list[str]) -> Any:
        asked.append(broker)
        late[broker] -= 1
        return {} if late[broker] >= 0 else await partitions(client, broker, topics)

    monkeypatch.setattr(kafka_cluster, "_partitions", learn_one_after_the_other)
    brokers = Kafka(tmp_path, brokers=3)
    await asyncio.to_thread(brokers.start)
    try:
        await Cluster(settings(brokers.bootstrap), site).apply()
    finally:
        await asyncio.to_thread(brokers.stop)
    assert Counter(asked) >= Counter({0: 3, 1: 1, 2: 2}), "each was asked until it knew of them"


async def test_topics_without_replicas_need_the_operators_word(kafka: str, site: str) -> None:
    await Cluster(settings(kafka), site).apply()
    with pytest.raises(ConfigError, match=r"1 replicas and min\.insync\.replicas 1"):
        await KafkaLog.open(settings(kafka, durability="replicated"), site)


async def test_the_number_of_partitions_is_fixed(kafka: str, site: str) -> None:
    await Cluster(settings(kafka), site).apply()
    with pytest.raises(ConfigError, match=r"has 4 partitions, log\.partitions says 5"):
        await KafkaLog.open(settings(kafka, partitions=5), site)


async def test_applying_again_changes_retention_and_makes_nothing(kafka: str, site: str) -> None:
    assert len(await Cluster(settings(kafka), site).apply()) == 6
    assert await Cluster(settings(kafka, retention_days={"raw": 400}), site).apply() == []


async def test_nobody_at_the_address_is_an_outage(site: str) -> None:
    with pytest.raises(RetryLater):
        await KafkaLog.open(settings("127.0.0.1:9"), site)


def pkcs8(key: bytes) -> bytes:
    """Return a private key in the one form that Java reads."""
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    return serialization.load_pem_private_key(key, None).private_bytes(serialization.Encoding.PEM, form, plain)


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    files = {name: folder / f"{name}.pem" for name in ("ca", "broker", "client", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    broker = authority.issue_cert("127.0.0.1")
    files["broker"].write_bytes(pkcs8(broker.private_key_pem.bytes()) + broker.cert_chain_pems[0].bytes())
    ours = authority.issue_cert("hisbus@hospital.example")
    ours.cert_chain_pems[0].write_to_path(files["client"])
    ours.private_key_pem.write_to_path(files["key"])
    return files


@pytest.fixture(scope="module")
def secured(kafka: str, tls_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this module's own, which asks who we are, and which may be frozen."""
    own = Kafka(
        tmp_path_factory.mktemp("kafka"), sasl={"hisbus": "right"}, tls=TlsFiles(tls_files["broker"], tls_files["ca"])
    )
    own.start()
    yield own
    own.stop()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_with_the_right_password_is_let_in(
    secured: Kafka, open_log: OpenLog, tmp_path: Path, mechanism: str
) -> None:
    (tmp_path / "password").write_text("right\n")
    security = {"sasl_mechanism": mechanism, "sasl_user": "hisbus", "sasl_password_file": tmp_path / "password"}
    log = await open_log(secured.sasl_bootstrap, **security)
    await log.append([NewRecord("events", "k", b"x")])
    assert (await (await Reader(log).join()).subscription.fetch(1, 10))[0].value == b"x"
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(ConfigError, match="sasl"):
        await open_log(secured.sasl_bootstrap, **security)


async def test_a_certificate_of_the_right_authority_is_let_in_and_nobody_else(
    secured: Kafka, open_log: OpenLog, tls_files: dict[str, Path]
) -> None:
    certificate = {"tls_certificate_file": tls_files["client"], "tls_key_file": tls_files["key"]}
    log = await open_log(secured.tls_bootstrap, tls_ca_file=tls_files["ca"], **certificate)
    await log.append([NewRecord("events", "k", b"x")])
    assert (await (await Reader(log).join()).subscription.fetch(1, 10))[0].value == b"x"
    with pytest.raises((ConfigError, RetryLater)):
        await open_log(secured.tls_bootstrap, tls_ca_file=tls_files["ca"])


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.tls_"):
        Cluster(settings("127.0.0.1:9", tls_ca_file=tmp_path / "nothing.pem"), "test")
    with pytest.raises(ConfigError, match="sasl_password_file"):
        Cluster(settings("127.0.0.1:9", sasl_mechanism="PLAIN", sasl_user="hisbus"), "test")


async def test_an_append_into_silence_is_given_up_and_the_next_is_refused_at_once(
    secured: Kafka, open_log: OpenLog
) -> None:
    log = await open_log(secured.bootstrap, append_deadline_s=1.0)
    await log.append([NewRecord("events", "k", b"before")])
    await asyncio.to_thread(secured.pause, 0)
    try:
        with pytest.raises(RetryLater, match="too long"):
            await log.append([NewRecord("events", "k", b"unsure")])
        with pytest.raises(RetryLater, match="does not answer"):
            await log.append([NewRecord("events", "k", b"never")])
    finally:
        await asyncio.to_thread(secured.resume, 0)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await log.append([NewRecord("events", "k", b"after")])
                break
            except RetryLater:
                await asyncio.sleep(0.05)
    reader = await Reader(log).join()
    seen: list[bytes] = []
    while b"after" not in seen:
        seen += [record.value for record in await reader.subscription.fetch(10, 10)]
    assert [value for value in seen if value != b"unsure"] == [b"before", b"after"]


async def test_a_member_waits_for_a_broker_that_was_killed_and_goes_on(secured: Kafka, open_log: OpenLog) -> None:
    log = await open_log(secured.bootstrap, append_deadline_s=1.0)
    reader = await Reader(log).join()
    await log.append(numbered(0, 40))
    async with asyncio.TaskGroup() as tasks:
        await asyncio.to_thread(secured.kill, 0)
        with pytest.raises(RetryLater):
            await log.append(numbered(40, 41))
        await asyncio.to_thread(secured.start_broker, 0)
        reading = tasks.create_task(patient(reader))
        stored = False
        while not stored:
            try:
                await log.append(numbered(41, 80))
                stored = True
            except RetryLater:
                await asyncio.sleep(0.1)
        await until(lambda: {int(record.value) for record in reader.given} >= {*range(40), *range(41, 80)})
        reading.cancel()
    assert keeps_the_order(reader.given)


async def patient(reader: Reader) -> None:
    """Read as the consumer loop does: what has to be waited for is waited for."""
    while True:
        try:
            await reader.read()
        except RetryLater:
            await asyncio.sleep(0.1)


def test_the_trust_is_checked_with_tls_12_at_least(tls_files: dict[str, Path]) -> None:
    cluster = Cluster(settings("127.0.0.1:9", tls_ca_file=tls_files["ca"]), "test")
    context = cluster.connection["ssl_context"]
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
