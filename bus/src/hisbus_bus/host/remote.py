"""Calls one remote agent: an agent that is a service of its own, somewhere else, and answers on Kafka.

A call is asked once. What is not answered by its deadline has failed and comes again from the flow, under a new
number. While the service gives no sign of life nothing is asked: its calls wait, and none is parked for an outage.
"""

import asyncio
import math
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from prometheus_client import Counter
from pydantic import ValidationError

from hisbus.agent import Case
from hisbus.errors import BadMessage, BusError, CallFailed, ConfigError, RetryLater
from hisbus.frames import AgentInfo, Hello, Reply, numbered
from hisbus.hookspecs import API_VERSION
from hisbus_bus.host.agents import CALLS, SECONDS, UNHEARD, State
from hisbus_bus.host.calls import StoredCase, call_of, judged
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.host.past import held_to_the_present
from hisbus_bus.host.registry import Plugin
from hisbus_bus.host.wire import ANSWER, CASE, HELLO, SPOKEN, KafkaWire, Post, Wire
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.settings import NEEDS_KAFKA, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY, logger
from hisbus_bus.kernel.topics import AGENT_TOPICS, MIB
from hisbus_schemas import Assessment

PATIENCE_S = 20.0
"""A call waits so long for a service that is silent, before the step pauses for it."""

IGNORED = Counter(
    "hisbus_remote_ignored", "Records of a remote agent that were not for us.", ["agent", "code"], registry=REGISTRY
)

log = logger()


class RemoteHost:
    """One remote agent, as dispatch sees it: see ``agent_host.Host``."""

    def __init__(self, name: str, settings: Settings, keyid: str, wire: Wire) -> None:
        """Take the agent's name in the configuration, and our end of the wire."""
        self.plugin = Plugin(name)
        self.state: State = "starting"
        self.reason = ""
        self._its = settings.remote[name]
        self.agents = [AgentInfo(name=name, version=UNHEARD, kinds=self._its.kinds, grants=self._its.grants)]
        self._settings = settings
        self._keyid = keyid
        self._wire = wire
        self._flights: dict[int, asyncio.Future[Reply]] = {}
        self._heard = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._turned = asyncio.Event()

    async def start(self) -> None:
        """Listen. The service may come at any time.

        Raises:
            RetryLater: Kafka is away.
            ConfigError: Kafka refuses us.
        """
        await self._wire.open(self._take)

    async def assess(
        self, agent: str, case: Case | StoredCase, deadline_s: float, priority: Priority | None = Priority.LIVE
    ) -> Assessment:
        """Let the service judge a case, of which it sees what it asks for and was granted.

        The site's model is not lent to it, so ``priority`` changes nothing.

        Raises:
            CallFailed: the call failed; ``code`` says how.
            RetryLater: the service is silent or cannot be used now, or asks to be called later.
            ConfigError: the agent refuses its settings.
            BadMessage: the case is larger than the topic takes.
        """
        await self._until_heard()
        info = self.agents[0]
        call = call_of(case, info, self._settings).whole()
        now = case.now if isinstance(case, Case) else case.chart.now
        try:
            with SECONDS.labels(agent).time():
                reply = await self._ask(case.chart.encounter, now, call, deadline_s)
            most = self._settings.agent(agent).max_proposals
            known = judged(info, reply, most, case.chart, case.coverage)
            assessment = held_to_the_present(known, case.chart)
        except BusError as error:
            CALLS.labels(agent, error.code).inc()
            raise
        CALLS.labels(agent, "ok").inc()
        return assessment

    async def close(self) -> None:
        """Stop listening."""
        self._turn("closed")
        if self._silence is not None:
            self._silence.cancel()
        await self._wire.close()

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _until_heard(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.state in {"starting", "silent"}:
                    await self._turned.wait()
        except TimeoutError:
            raise RetryLater(code="silent") from None
        if self.state != "running":
            raise RetryLater(code="plugin_failed")

    async def _ask(self, encounter: str, now: datetime, call: str, deadline_s: float) -> Reply:
        id = secrets.randbits(53)  # what every language's JSON can hold, and nobody guesses
        body = numbered(id, call).encode()
        if len(body) > AGENT_TOPICS["cases"].max_bytes:
            raise BadMessage("A case is larger than its topic allows (topics.py).", code="too_large")
        loop = asyncio.get_running_loop()
        asked = loop.time()
        flight: asyncio.Future[Reply] = loop.create_future()
        self._flights[id] = flight
        try:
            await self._wire.send(Post(encounter, body, self._headers(id, encounter, now, deadline_s)))
            async with asyncio.timeout(deadline_s):
                return await flight
        except TimeoutError:
            if self._heard < asked:
                self._turn("silent", "deadline")
            raise CallFailed(code="deadline") from None
        finally:
            del self._flights[id]

    def _headers(self, id: int, encounter: str, now: datetime, deadline_s: float) -> dict[str, str]:
        return topics.headers(
            id=str(id),
            type=CASE,
            site=self._settings.site,
            keyid=self._keyid,
            source=f"dispatch.{self.plugin.name}",
            time=now,
            recorded=datetime.now(UTC),
            correlation=encounter,
            deadline=str(math.ceil(deadline_s * 1000)),
        )

    # --- hearing ------------------------------------------------------------------------------------------------------

    async def _take(self, post: Post) -> None:
        kind = post.headers.get("ce_type")
        if kind == SPOKEN[HELLO]:
            self._greet(post)
        elif kind == SPOKEN[ANSWER]:
            self._answered(post)
        else:
            self._ignore("type")

    def _greet(self, post: Post) -> None:
        try:
            hello = Hello.model_validate_json(post.value)
            self.agents = [self._granted(hello)]
        except ValidationError:
            self._turn("failed", "bad_hello")
        except ConfigError as error:
            self._turn("failed", error.code)
        else:
            self._turn("running")
            self._note_life()

    def _granted(self, hello: Hello) -> AgentInfo:
        """Return the agent as it said it is, with no more than it was granted."""
        if hello.api.split(".")[0] != API_VERSION.split(".")[0]:
            raise ConfigError(code="api")
        if [agent.name for agent in hello.agents] != [self.plugin.name]:
            raise ConfigError(code="name")
        said, its = hello.agents[0], self._its
        return said.model_copy(update={"kinds": its.kinds, "grants": said.grants & its.grants})

    def _answered(self, post: Post) -> None:
        cause = post.headers.get("ce_causationid", "")
        id = int(cause) if cause.isdecimal() and len(cause) < 20 else -1
        flight = self._flights.get(id)
        if flight is None or flight.done():
            self._ignore("nobody_waits")
            return
        self._note_life()
        flight.set_result(self._read(id, post.value))

    def _read(self, id: int, value: bytes) -> Reply:
        if len(value) > self._its.answer_mb * MIB:
            return Reply(id=id, failure="answer_too_large")
        try:
            reply = Reply.model_validate_json(value)
        except ValidationError:
            return Reply(id=id, failure="bad_answer")
        return reply if reply.id == id else Reply(id=id, failure="bad_answer")

    def _ignore(self, code: str) -> None:
        IGNORED.labels(self.plugin.name, code).inc()

    def _note_life(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        if self._silence is not None:
            self._silence.cancel()
        self._silence = loop.call_later(self._its.silence_s, self._turn, "silent", "unheard")

    def _turn(self, state: State, reason: str = "") -> None:
        if self.state == "closed":
            return
        if state != self.state:
            log.info("plugin.state", plugin=self.plugin.name, status=state, code=reason)
        self.state, self.reason = state, reason
        self._turned.set()
        self._turned = asyncio.Event()


async def start_remotes(site: Site, stack: AsyncExitStack) -> list[RemoteHost]:
    """Listen for every remote agent of the configuration, until the stack is closed.

    Raises:
        ConfigError: the site has no Kafka, or Kafka refuses us.
        RetryLater: Kafka is away.
    """
    settings = site.settings
    if settings.remote and not settings.log.url.startswith("kafka:"):
        raise ConfigError(NEEDS_KAFKA)
    hosts = [RemoteHost(name, settings, site.keys.id, _wire(settings, name)) for name in sorted(settings.remote)]
    for host in hosts:
        stack.push_async_callback(host.close)
        await host.start()
    return hosts


def _wire(settings: Settings, agent: str) -> KafkaWire:
    reads, writes = (topics.agent_topic(settings.site, agent, side) for side in ("answers", "cases"))
    return KafkaWire(settings.log, reads=reads, writes=writes, group=None)
