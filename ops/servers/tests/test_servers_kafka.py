"""A broker speaks for itself, through aiokafka."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError
from cryptography.hazmat.primitives import serialization

from hisbus_bus.kernel.topics import TOPICS
from hisbus_servers import Kafka, TlsFiles
from hisbus_servers.kafka import LARGEST

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA, server_folder: Path) -> TlsFiles:
    leaf = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
    files = TlsFiles(server_folder / "broker.pem", server_folder / "authority.pem")
    files.keystore.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()) + chain)
    files.truststore.write_bytes(authority.cert_pem.bytes())
    return files


@pytest.fixture(scope="module")
def one(server_folder: Path, tls: TlsFiles) -> Iterator[Kafka]:
    """One broker with every kind of listener."""
    kafka = Kafka(server_folder / "one", sasl={"alice": "a secret", "bob": "another"}, tls=tls)
    kafka.start()
    yield kafka
    kafka.stop()


@asynccontextmanager
async def producing(bootstrap: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=LARGEST, **options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


async def make(bootstrap: str, topic: str, replicas: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, replicas)])
    await admin.close()


async def leader(producer: AIOKafkaProducer, topic: str) -> int:
    await producer.client.force_metadata_update()
    return int(producer.client.cluster.leader_for_partition(TopicPartition(topic, 0)))


def test_the_largest_record_of_every_topic_fits() -> None:
    assert max(topic.max_bytes for topic in TOPICS.values()) + 64 * 1024 < LARGEST


async def test_the_largest_record_comes_back_whole(one: Kafka) -> None:
    await make(one.bootstrap, "large", 1)
    value = bytes(range(256)) * (max(topic.max_bytes for topic in TOPICS.values()) // 256)
    async with producing(one.bootstrap) as producer:
        await producer.send_and_wait("large", value)
    consumer = AIOKafkaConsumer("large", bootstrap_servers=one.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    record = await asyncio.wait_for(consumer.getone(), 30)
    await consumer.stop()
    assert record.value == value


async def test_no_topic_makes_itself(one: Kafka) -> None:
    async with producing(one.bootstrap, request_timeout_ms=2000) as producer:
        with pytest.raises(KafkaError):
            await producer.send_and_wait("nobody-made-it", b"x")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_who_knows_the_password_comes_in(one: Kafka, mechanism: str) -> None:
    user: dict[str, Any] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "bob",
    }
    async with producing(one.sasl_bootstrap, **user, sasl_plain_password="another") as producer:
        assert producer.client.cluster.brokers()
    with pytest.raises(KafkaConnectionError):
        async with producing(one.sasl_bootstrap, **user, sasl_plain_password="a secret"):
            pass


async def test_who_has_a_certificate_comes_in(one: Kafka, authority: trustme.CA) -> None:
    stranger, known = ssl.create_default_context(), ssl.create_default_context()
    for context in (stranger, known):
        authority.configure_trust(context)
    authority.issue_cert("bus@hospital.test").configure_cert(known)
    async with producing(one.tls_bootstrap, security_protocol="SSL", ssl_context=known) as producer:
        assert producer.client.cluster.brokers()
    with pytest.raises(KafkaConnectionError):
        async with producing(one.tls_bootstrap, security_protocol="SSL", ssl_context=stranger):
            pass


async def test_two_of_three_go_on(server_folder: Path) -> None:
    kafka = Kafka(server_folder / "three", 3)
    await asyncio.to_thread(kafka.start)
    try:
        await make(kafka.bootstrap, "kept", 3)
        async with producing(kafka.bootstrap, enable_idempotence=True) as producer:
            await producer.send_and_wait("kept", b"by three")
            first = await leader(producer, "kept")
            await asyncio.to_thread(kafka.kill, first)
            await asyncio.wait_for(producer.send_and_wait("kept", b"by two"), 30)
            assert await leader(producer, "kept") != first
            await asyncio.to_thread(kafka.start_broker, first)
            await asyncio.wait_for(producer.send_and_wait("kept", b"by three again"), 30)
    finally:
        await asyncio.to_thread(kafka.stop)
