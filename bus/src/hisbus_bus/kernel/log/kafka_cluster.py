"""What is asked of a Kafka cluster beside appending and fetching: topics, their offsets, and whether they are safe."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NodeNotReadyError,
    NoError,
    NotCoordinatorForGroupError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log.kafka_life import abandon, fell_silent
from hisbus_bus.kernel.settings import SAFE_REPLICAS, LogSettings
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import AGENT_TOPICS, TOPICS, Name, Topic, agent_topic, topic_name

MIN_ISR = 2
"""With three replicas: see ``SAFE_REPLICAS``."""
ENVELOPE = 64 * 1024
"""Room for key, headers and framing beside a record's value, bytes."""
REQUEST_MS = 10_000
CLOSE_S = 3.0
SPREAD_POLL_S = 0.1
DAY_MS = 86_400_000
LOG = logger()
_GROUP = 0
_MOVING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
REFUSED = "kafka_refused"
"""Code of the error that says that the brokers are there and do not let us in."""
_FORBIDDEN = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)


def sorted_error(error: KafkaError | TimeoutError | OSError) -> ConfigError | RetryLater:
    """Tell what only an operator can mend from an outage, which is waited for."""
    if isinstance(error, _FORBIDDEN):
        return ConfigError("Kafka refuses us. Check log.sasl_*, log.tls_* and the rights of that user.", code=REFUSED)
    return RetryLater("The log (Kafka) is not available. Check its brokers.", code="log")


def connection(settings: LogSettings) -> dict[str, Any]:
    """Return what every client of the cluster is made with.

    Raises:
        ConfigError: a certificate or the password cannot be read.
    """
    made: dict[str, Any] = {"bootstrap_servers": settings.url.removeprefix("kafka://"), "client_id": "hisbus"}
    protocol = "PLAINTEXT"
    if settings.tls_ca_file is not None:
        protocol = "SSL"
        made["ssl_context"] = _tls(settings)
    if settings.sasl_mechanism is not None:
        protocol = f"SASL_{protocol}"
        made |= {"sasl_mechanism": settings.sasl_mechanism, "sasl_plain_username": settings.sasl_user}
        made["sasl_plain_password"] = _password(settings)
    return made | {"security_protocol": protocol}


def _tls(settings: LogSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.tls_certificate_file is not None:
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    except OSError as error:  # ssl.SSLError is one, too
        raise ConfigError("log.tls_*: certificate, key or CA cannot be read or do not fit.") from error
    return context


def _password(settings: LogSettings) -> str:
    if settings.sasl_password_file is None:
        raise ConfigError("log.sasl_password_file is missing.")
    try:
        return settings.sasl_password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "log.sasl_password_file: it cannot be read as text. Check its path, its owner and that it is in UTF-8."
        ) from error


class Cluster:
    """One site's view of a cluster."""

    def __init__(self, settings: LogSettings, site: str, agents: Iterable[str] = ()) -> None:
        """Take the site's name and those of its remote agents; nothing is opened yet."""
        self.settings = settings
        self.connection = connection(settings)
        self._site = site
        self._wanted: dict[str, Topic] = {topic_name(site, name): topic for name, topic in TOPICS.items()}
        for agent in agents:
            self._wanted |= {agent_topic(site, agent, side): topic for side, topic in AGENT_TOPICS.items()}
        self._client: AIOKafkaClient | None = None
        self._offsets: AIOKafkaConsumer | None = None
        self._opening = asyncio.Lock()
        self._coordinators: dict[str, int] = {}

    def full(self, topic: Name) -> str:
        """Return a topic's name in the cluster."""
        return topic_name(self._site, topic)

    def partitions(self, topic: Name) -> list[TopicPartition]:
        """Return every partition of a topic. Their number is fixed."""
        return [TopicPartition(self.full(topic), number) for number in range(self.settings.partitions)]

    async def open(self) -> None:
        """Connect.

        Raises:
            RetryLater: no broker answers.
            ConfigError: the brokers refuse us.
        """
        client = AIOKafkaClient(**self.connection, request_timeout_ms=REQUEST_MS)
        offsets = AIOKafkaConsumer(**self.connection, request_timeout_ms=REQUEST_MS, auto_offset_reset="none")
        try:
            await client.bootstrap()
            await offsets.start()
        except (KafkaError, OSError) as error:
            await client.close()
            await offsets.stop()
            raise await self._why(error) from error
        self._client, self._offsets = client, offsets

    async def _why(self, error: KafkaError | TimeoutError | OSError) -> ConfigError | RetryLater:
        """Return the reason for an error. The client only says that it found no broker: ask once more, to be told."""
        how = {name: value for name, value in self.connection.items() if name != "bootstrap_servers"}
        for host, port, _ in collect_hosts(self.connection["bootstrap_servers"]):
            try:
                (await create_conn(host, port, **how, request_timeout_ms=REQUEST_MS)).close()
            except _FORBIDDEN as refused:
                return sorted_error(refused)
            except (KafkaError, TimeoutError, OSError):
                continue
        return sorted_error(error)

    async def close(self) -> None:
        """Disconnect."""
        async with self._opening:
            client, self._client = self._client, None
            offsets, self._offsets = self._offsets, None
        if client is not None:
            await client.close()
        if offsets is not None:
            await offsets.stop()

    # --- offsets

    async def ends(self, topic: Name) -> dict[int, int]:
        """Return the offset after the last record, by partition."""
        try:
            found = await (await self._living())[1].end_offsets(self.partitions(topic))
        except KafkaError as error:
            raise sorted_error(error) from error
        return {at.partition: offset for at, offset in found.items()}

    async def begins(self, topic: Name) -> dict[int, int]:
        """Return the offset of the first record still kept, by partition."""
        try:
            found = await (await self._living())[1].beginning_offsets(self.partitions(topic))
        except KafkaError as error:
            raise sorted_error(error) from error
        return {at.partition: offset for at, offset in found.items()}

    async def committed(self, topic: Name, group: str) -> dict[int, int]:
        """Return a group's committed offsets; a partition without one is absent."""
        request = OffsetFetchRequest(group, [(self.full(topic), list(range(self.settings.partitions)))])
        partitions = await self._ask_coordinator(group, request)
        return {partition: offset for partition, offset, *_ in partitions if offset >= 0}

    async def place(self, topic: Name, group: str, offsets: Mapping[int, int]) -> None:
        """Commit offsets for a group that nobody is a member of; where somebody is, theirs stand."""
        rows = [(partition, offset, "") for partition, offset in sorted(offsets.items())]
        with suppress(UnknownMemberIdError):
            await self._ask_coordinator(group, OffsetCommitRequest(group, -1, "", -1, [(self.full(topic), rows)]))

    async def _ask_coordinator(self, group: str, request: Any) -> list[Any]:
        """Return what a group's coordinator says of the partitions. A new cluster has to find and load it first."""
        deadline = asyncio.get_running_loop().time() + REQUEST_MS / 1000
        while True:
            try:
                return await self._asked(group, request)
            except _MOVING as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise sorted_error(error) from error
                await asyncio.sleep(SPREAD_POLL_S)
            except UnknownMemberIdError:
                raise
            except KafkaError as error:
                raise sorted_error(error) from error

    async def _asked(self, group: str, request: Any) -> list[Any]:
        client, _ = await self._living()
        try:
            if group not in self._coordinators:
                self._coordinators[group] = await client.coordinator_lookup(_GROUP, group)
            response = await client.send(self._coordinators[group], request)
            if (kind := for_code(getattr(response, "error_code", 0))) is not NoError:
                raise kind()  # of a coordinator that has moved: it tells of no topic
            partitions: list[Any] = response.topics[0][1]
            for *_, code in partitions:
                if (kind := for_code(code)) is not NoError:
                    raise kind()
        except KafkaError:
            self._coordinators.pop(group, None)
            raise
        return partitions

    async def _living(self) -> tuple[AIOKafkaClient, AIOKafkaConsumer]:
        """Return both clients, opened anew where one has fallen silent."""
        async with self._opening:
            client, offsets = self._client, self._offsets
            if client is None or offsets is None:
                raise RetryLater("The log is closed.", code="log")
            if fell_silent(client) or fell_silent(offsets):
                LOG.error("kafka_client_fell_silent")
                await self.open()
                await abandon(client, CLOSE_S)
                await abandon(offsets, CLOSE_S)
                client, offsets = self._client, self._offsets
            return client, offsets

    # --- topics

    async def mistakes(self) -> list[str]:
        """Return what is wrong with the topics, one sentence each: missing, unsafe, or not as configured."""
        admin = AIOKafkaAdminClient(**self.connection, request_timeout_ms=REQUEST_MS)
        client = AIOKafkaClient(**self.connection, request_timeout_ms=REQUEST_MS)
        try:
            await admin.start()
            await client.bootstrap()
            there = await _partitions(client, client.get_random_node(), list(self._wanted))
            return await self._compare(admin, there)
        except (KafkaError, OSError) as error:
            raise await self._why(error) from error
        finally:
            await client.close()
            await admin.close()

    async def _compare(self, admin: AIOKafkaAdminClient, there: dict[str, list[dict[str, Any]]]) -> list[str]:
        wanted = {name: self._config(topic) for name, topic in self._wanted.items()}
        missing = [name for name in wanted if not there.get(name)]
        if missing:
            return [f"topics are missing ({', '.join(missing)}). Make them with `hisbus topics apply`."]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        found = {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in await admin.describe_configs(resources)
            for *_, name, entries in answer.resources
        }
        return [
            sentence
            for name, config in wanted.items()
            for sentence in self._wrong(name, there[name], found[name], config)
        ]

    def _wrong(
        self, name: str, partitions: list[dict[str, Any]], found: dict[str, str], wanted: dict[str, str]
    ) -> Iterable[str]:
        if len(partitions) != self.settings.partitions:
            yield (
                f"{name} has {len(partitions)} partitions, log.partitions says {self.settings.partitions}."
                " The number is fixed once records are stored: it decides where a patient's records lie."
            )
        replicas = min(len(partition["replicas"]) for partition in partitions)
        isr = int(found["min.insync.replicas"])
        if not self.settings.single_broker and (replicas < SAFE_REPLICAS or isr < MIN_ISR):
            yield (
                f"{name} has {replicas} replicas and min.insync.replicas {isr}; at least {SAFE_REPLICAS} and {MIN_ISR}"
                ' are needed. Set durability = "single-broker" only where a lost disk may lose messages.'
            )
        if int(found["max.message.bytes"]) < int(wanted["max.message.bytes"]):
            yield f"{name}: max.message.bytes is below {wanted['max.message.bytes']}. Run `hisbus topics apply`."
        if found["message.timestamp.type"] != "LogAppendTime":
            yield f"{name}: message.timestamp.type must be LogAppendTime. Run `hisbus topics apply`."

    def _config(self, topic: Topic) -> dict[str, str]:
        days = next((days for name, days in self.settings.retention_days.items() if name == topic.name), None)
        return {
            "cleanup.policy": "delete",
            "retention.ms": str((days or topic.retention_days) * DAY_MS),
            "max.message.bytes": str(topic.max_bytes + ENVELOPE),
            "min.insync.replicas": "1" if self.settings.single_broker else str(MIN_ISR),
            "message.timestamp.type": "LogAppendTime",
            "unclean.leader.election.enable": "false",
        }

    async def apply(self) -> list[str]:
        """Make the topics that are missing, and give all of them their settings. Return the names of the new ones.

        Raises:
            ConfigError: the cluster refuses, or has fewer brokers than replicas are wanted.
        """
        admin = AIOKafkaAdminClient(**self.connection, request_timeout_ms=REQUEST_MS)
        try:
            await admin.start()
            made = []
            for name, topic in self._wanted.items():
                new = NewTopic(
                    name, self.settings.partitions, self.settings.replicas, topic_configs=self._config(topic)
                )
                answer = await admin.create_topics([new])
                kind = for_code(answer.topic_errors[0][1])
                if kind is NoError:
                    made.append(name)
                elif kind is TopicAlreadyExistsError:
                    resource = ConfigResource(ConfigResourceType.TOPIC, name, self._config(topic))
                    await admin.alter_configs([resource])
                else:
                    raise ConfigError(f"{name} cannot be made: {kind.description or kind.__name__}")
            await self._spread()
            return made
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._why(error) from error
        finally:
            await admin.close()

    async def _spread(self) -> None:
        """Wait until every broker knows of every topic and its leaders; they learn of it one after the other."""
        client = AIOKafkaClient(**self.connection, request_timeout_ms=REQUEST_MS)
        try:
            await client.bootstrap()
            async with asyncio.timeout(REQUEST_MS / 1000):
                behind = [broker.nodeId for broker in client.cluster.brokers()]
                while True:
                    behind = [broker for broker in behind if not await self._knows(client, broker)]
                    if not behind:
                        return
                    await asyncio.sleep(SPREAD_POLL_S)
        finally:
            await client.close()

    async def _knows(self, client: AIOKafkaClient, broker: int) -> bool:
        """Tell whether a broker knows all topics. One that is down learns of them before it serves again."""
        try:
            there = await _partitions(client, broker, list(self._wanted))
        except NodeNotReadyError:
            return True
        return all(
            there.get(name) and all(partition["leader"] >= 0 for partition in there[name]) for name in self._wanted
        )


async def _partitions(client: AIOKafkaClient, broker: int, topics: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return what one broker knows of topics. Asking makes none: by default a broker makes what it is asked for."""
    request = MetadataRequest(topics, allow_auto_topic_creation=False)
    found = (await client.send(broker, request)).to_object()["topics"]
    return {topic["topic"]: topic["partitions"] for topic in found}
