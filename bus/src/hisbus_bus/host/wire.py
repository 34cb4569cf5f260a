"""The wire between the bus and a remote agent's service: two topics on Kafka, read and written with FastStream.

Nothing that matters lies on it: what is not answered in time is asked again from the flow. So a record is done with
when it was read, and one that is stored twice is answered twice and heard once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log.kafka_cluster import ENVELOPE, REQUEST_MS, connection, sorted_error
from hisbus_bus.kernel.settings import LogSettings
from hisbus_bus.kernel.topics import AGENT_TOPICS

try:
    from faststream import AckPolicy
    from faststream.kafka import KafkaBroker, KafkaMessage
    from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
except ModuleNotFoundError as error:
    raise ConfigError("remote: remote agents need FastStream: pip install 'hisbus-bus[remote]'.") from error

CASE, ANSWER, HELLO = "agent.called", "agent.answered", "agent.heard"
"""Types of what passes, as ``topics.headers`` takes them."""

SPOKEN = {kind: f"hisbus.{kind}.v1" for kind in (CASE, ANSWER, HELLO)}
"""The ``ce_type`` of each. A party takes these alone: what is breaking has another number, and is not for it."""

_SASL: dict[str, type[SASLPlaintext | SASLScram256 | SASLScram512]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}


@dataclass(frozen=True, slots=True)
class Post:
    """One record on the wire."""

    key: str
    value: bytes
    headers: Mapping[str, str]


Take = Callable[[Post], Awaitable[None]]


class Wire(Protocol):
    """One end of the wire."""

    async def open(self, take: Take) -> None:
        """Connect, and hand every record that comes to ``take``, which raises nothing.

        Raises:
            RetryLater: nobody answers.
            ConfigError: the brokers refuse us.
        """
        ...

    async def send(self, post: Post) -> None:
        """Hand a record to the other end.

        Raises:
            RetryLater: it was not confirmed; it may arrive all the same.
        """
        ...

    async def close(self) -> None:
        """Let what was taken finish, and disconnect."""
        ...


class KafkaWire:
    """One end of the wire on Kafka."""

    def __init__(self, log: LogSettings, *, reads: str, writes: str, group: str | None, at_once: int = 1) -> None:
        """Take the connection and the full names of both topics.

        Args:
            log: how Kafka is reached: ``url``, ``tls_*``, ``sasl_*`` and ``append_deadline_s``.
            reads: the topic that is read,
            writes: and the one that is written.
            group: members of a group share what comes; without one, everything that comes from now on is heard.
            at_once: records taken at a time.
        """
        self._writes = writes
        self._deadline_s = log.append_deadline_s
        made = connection(log)
        self.broker = KafkaBroker(
            made["bootstrap_servers"].split(","),
            client_id=made["client_id"],
            security=_security(made),
            request_timeout_ms=REQUEST_MS,
            acks="all",
            max_request_size=max(topic.max_bytes for topic in AGENT_TOPICS.values()) + ENVELOPE,
            allow_auto_create_topics=False,
            apply_types=False,
            logger=None,  # its lines would carry what it was given
        )
        self._take: Take | None = None
        subscriber = self.broker.subscriber(
            reads,
            group_id=group,
            auto_offset_reset="latest" if group is None else "earliest",
            ack_policy=AckPolicy.ACK_FIRST,
            max_workers=at_once,
            decoder=_untouched,
            no_reply=True,
        )
        subscriber(self._taken)

    async def open(self, take: Take) -> None:
        """Connect, and read from here on."""
        self._take = take
        try:
            await self.broker.start()
        except (KafkaError, OSError) as error:
            await self.broker.stop()
            raise sorted_error(error) from error

    async def send(self, post: Post) -> None:
        """Write a record, and wait until all replicas have it."""
        correlation = post.headers.get("ce_correlationid", post.key)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.broker.publish(
                    post.value,
                    self._writes,
                    key=post.key.encode(),
                    headers=dict(post.headers),
                    correlation_id=correlation,
                )
        except KafkaError as error:
            raise sorted_error(error) from error
        except TimeoutError as error:
            raise RetryLater("The log (Kafka) takes too long to confirm. Check its brokers.", code="log") from error

    async def close(self) -> None:
        """Let what was taken finish, and disconnect."""
        await self.broker.stop()

    async def _taken(self, message: KafkaMessage) -> None:
        record = message.raw_message
        if self._take is not None and not isinstance(record, tuple):
            await self._take(Post((record.key or b"").decode(), record.value or b"", message.headers))


async def _untouched(message: KafkaMessage) -> KafkaMessage:
    """Leave reading to whoever knows what it is: the library's own decoder prints what it cannot read."""
    return message


def _security(made: Mapping[str, Any]) -> BaseSecurity:
    """Return in the library's words how the connection is secured."""
    context = made.get("ssl_context")
    mechanism = made.get("sasl_mechanism")
    if mechanism is None:
        return BaseSecurity(ssl_context=context)
    return _SASL[mechanism](made["sasl_plain_username"], made["sasl_plain_password"], ssl_context=context)
