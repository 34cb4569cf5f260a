"""A remote agent: the same agent, as a service of its own, that the bus asks over Kafka::

    asyncio.run(serve(Agent(), site="north", log=LogSettings(url="kafka://broker:9092")))

It reads ``<site>.agent.<name>.cases.v1`` as group ``<site>.agent.<name>``, writes ``<site>.agent.<name>.answers.v1``,
and needs no other right. Start it as often as the load asks for: the services of one agent share its cases.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from prometheus_client import Counter
from pydantic import ValidationError

from hisbus.agent import Agent
from hisbus.answer import answer, declared, packed
from hisbus.errors import RetryLater
from hisbus.frames import LENGTH, Call, Hello, Reply
from hisbus.hookspecs import API_VERSION
from hisbus_bus.host.wire import ANSWER, CASE, HELLO, SPOKEN, KafkaWire, Post, Wire
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.settings import LogSettings
from hisbus_bus.kernel.telemetry import REGISTRY, logger
from hisbus_bus.kernel.topics import AGENT_TOPICS, MIB

__all__ = ["LogSettings", "Service", "serve"]

HELLO_S = 3.0
"""Seconds between two signs of life."""
ANSWER_BYTES = AGENT_TOPICS["answers"].max_bytes - MIB

SERVED = Counter("hisbus_service_cases", "Cases by outcome, at the agent's end.", ["agent", "code"], registry=REGISTRY)

log = logger()


async def serve(agent: Agent, *, site: str, log: LogSettings, at_once: int = 8) -> None:
    """Answer the cases of one agent until cancelled.

    Args:
        agent: declared under its name in the site's table ``[remote.NAME]``.
        site: the site's name; it names the topics.
        log: how Kafka is reached: ``url``, and where it asks for them ``tls_*`` and ``sasl_*``.
        at_once: cases in hand at a time.

    Raises:
        RetryLater: Kafka is away; start again.
        ConfigError: Kafka refuses us.
    """
    reads, writes = (topics.agent_topic(site, agent.name, side) for side in ("cases", "answers"))
    group = topics.agent_group(site, agent.name)
    await Service(agent, site, KafkaWire(log, reads=reads, writes=writes, group=group, at_once=at_once)).run()


class Service:
    """One agent at its end of a wire."""

    def __init__(self, agent: Agent, site: str, wire: Wire) -> None:
        """Take the agent, the site's name, and the wire's end."""
        self._agent = agent
        self._info = declared(agent)
        self._site = site
        self._wire = wire
        self._broken: asyncio.Future[None]

    async def run(self) -> None:
        """Say hello, again and again, and answer meanwhile.

        Raises:
            MemoryError: the agent has none left; only a new process has room again.
        """
        self._broken = asyncio.get_running_loop().create_future()
        await self._wire.open(self._take)
        try:
            while not self._broken.done():
                await self._greet()
                await asyncio.wait((self._broken,), timeout=HELLO_S)
            self._broken.result()
        finally:
            await self._wire.close()

    async def _greet(self) -> None:
        hello = Hello(api=API_VERSION, agents=[self._info])
        with suppress(RetryLater):  # the next one follows
            await self._send(HELLO, self._info.name, hello.model_dump_json().encode())

    async def _take(self, post: Post) -> None:
        """Answer one case. Another major version of it is not for us: the agent never sees it."""
        id, deadline = post.headers.get("ce_id", ""), post.headers.get("deadline", "")
        if post.headers.get("ce_type") != SPOKEN[CASE] or not (id.isdecimal() and deadline.isdecimal()):
            self._note("ignored")
            return
        judging = asyncio.ensure_future(self._judge(int(id), post.value))
        try:
            await asyncio.wait((judging,), timeout=int(deadline) / 1000)
            if not judging.done():
                self._note("deadline")  # the bus has given it up
                return
            reply = judging.result()
        except MemoryError as error:
            if not self._broken.done():
                self._broken.set_exception(error)
            return
        finally:
            judging.cancel()
        self._note(reply.failure or "ok")
        value = packed(reply, ANSWER_BYTES)[LENGTH.size :]
        with suppress(RetryLater):  # the bus asks again
            await self._send(
                ANSWER, post.key, value, causation=id, correlation=post.key, keyid=post.headers.get("keyid", "")
            )

    async def _judge(self, id: int, value: bytes) -> Reply:
        try:
            call = Call.model_validate_json(value)
        except ValidationError:
            return Reply(id=id, failure="unreadable")
        if (call.id, call.agent) != (id, self._agent.name):
            return Reply(id=id, failure="unreadable")
        return await answer(self._agent, call)

    async def _send(self, kind: str, key: str, value: bytes, *, keyid: str = "", **more: str) -> None:
        now = datetime.now(UTC)
        headers = topics.headers(
            id=topics.digest(kind, key, now, more.get("causation")),
            type=kind,
            site=self._site,
            keyid=keyid,
            source=f"agent.{self._info.name}",
            time=now,
            recorded=now,
            **more,
        )
        await self._wire.send(Post(key, value, headers))

    def _note(self, code: str) -> None:
        SERVED.labels(self._info.name, code).inc()
        if code != "ok":
            log.warning("case", agent=self._info.name, code=code)
