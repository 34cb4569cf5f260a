"""Runs one plugin's agents in a process of their own, and keeps that process running."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Histogram
from pydantic_core import to_json

from hisbus.agent import Case
from hisbus.agent_process import AgentProcess
from hisbus.charts import StoredChart
from hisbus.errors import BusError, CallFailed, ConfigError, RetryLater
from hisbus.frames import AgentInfo, Call, Reply
from hisbus.projection import project, project_event
from hisbus.registry import Plugin
from hisbus.settings import Settings
from hisbus.telemetry import REGISTRY, logger
from hisbus_schemas import Assessment

log = logger()

State = Literal["starting", "running", "failed", "restarting", "quarantined", "closed"]

CALLS = Counter("hisbus_agent_calls", "Calls by outcome.", ["agent", "outcome"], registry=REGISTRY)
SECONDS = Histogram("hisbus_agent_call_seconds", "Duration of a call.", ["agent"], registry=REGISTRY)
ENDS = Counter("hisbus_plugin_ends", "Ends of a plugin's process, by reason.", ["plugin", "code"], registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case as it is stored, JSON. It is sent on without being read: that is left to the plugin's own process."""

    event: str | None
    chart: StoredChart


@dataclass(frozen=True, slots=True)
class Policy:
    """How a process that ends is treated; seconds."""

    first_s: float = 0.1
    """Wait before the first restart; each further wait is twice as long, until a call succeeds."""
    longest_s: float = 30.0
    crashes: int = 3
    """Different encounters whose calls ended the process, each alone in flight, before the plugin is quarantined."""
    window_s: float = 600.0
    quarantine_s: float = 600.0
    careful_s: float = 60.0
    """After several calls fell together, calls go one at a time for so long: the guilty one then falls alone."""


class AgentHost:
    """One plugin. Its process ends and comes back; the host stays.

    ``state`` and ``reason`` (a stable code) are for the page.
    """

    def __init__(self, plugin: Plugin, settings: Settings, policy: Policy | None = None) -> None:
        self.plugin = plugin
        self.agents: list[AgentInfo] = []
        self.state: State = "starting"
        self.reason = ""
        self._settings = settings
        self._terms = str(settings.terms_file.absolute())
        self._policy = policy or Policy()
        self._process: AgentProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._turned = asyncio.Event()
        self._hurry = asyncio.Event()
        self._alone = asyncio.Lock()
        self._careful_until = 0.0
        self._crashes: dict[str, float] = {}

    @property
    def pid(self) -> int | None:
        """Process id of the running process, else None."""
        return self._process.pid if self._process is not None and not self._process.code else None

    async def start(self) -> None:
        """Start the process. A plugin that cannot run stops nobody: its state is ``failed`` then."""
        try:
            self.agents = await self._launch()
        except ConfigError as error:
            self.fail(error.code)
            return
        self._turn("running")
        self._keeper = asyncio.create_task(self._keep())

    def fail(self, code: str) -> None:
        """Show the plugin as failed."""
        self._turn("failed", code)

    async def assess(self, agent: str, case: Case | StoredCase, deadline_s: float) -> Assessment:
        """Let an agent judge a case, of which it sees what it was granted.

        Raises:
            CallFailed: the call failed; ``code`` says how.
            RetryLater: the plugin does not run now, or the agent itself asks to be called later.
            ConfigError: the agent refuses its settings.
        """
        info = next(info for info in self.agents if info.name == agent)
        most = self._settings.agent(agent).max_proposals
        call = self._stored(case, info, most) if isinstance(case, StoredCase) else _made(case, info, most, self._terms)
        try:
            async with self._turn_to_call() as process:
                with SECONDS.labels(agent).time():
                    reply = await process.call(case.chart.encounter, call, deadline_s)
            assessment = self._judge(agent, reply, most)
        except BusError as error:
            CALLS.labels(agent, error.code).inc()
            raise
        CALLS.labels(agent, "ok").inc()
        return assessment

    def _stored(self, case: StoredCase, info: AgentInfo, most: int) -> str:
        its = {"agent": info.name, "now": case.chart.now, "max_proposals": most, "terms": self._terms}
        text = to_json(its | {"settings": self._settings.agent(info.name).settings}).decode()
        event = "null" if case.event is None else project_event(case.event, info.grants)
        return f'{text[:-1]},"event":{event},"chart":{case.chart.json(info.grants)}}}'

    async def restart(self) -> None:
        """Forgive all crashes and start the process again, at once: the operator has mended something."""
        self._crashes.clear()
        self._hurry.set()
        if self._process is not None and self._keeper is not None:
            self._process.end("restarted")
        elif self.state != "closed":
            await self.start()

    async def close(self) -> None:
        """End the process for good."""
        self._turn("closed")
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._process is not None:
            self._process.end("closed")
            await self._process.gone()

    # --- calling ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn_to_call(self) -> AsyncIterator[AgentProcess]:
        """Wait for a running process, and while care is due for every other call to end."""
        async with AsyncExitStack() as held:
            if self.state != "running" or asyncio.get_running_loop().time() < self._careful_until:
                await self._wait(held)
            if self.state != "running" or self._process is None:
                raise RetryLater(code="quarantined" if self.state == "quarantined" else "plugin_failed")
            yield self._process

    async def _wait(self, held: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self._policy.careful_s):
                if asyncio.get_running_loop().time() < self._careful_until:
                    await held.enter_async_context(self._alone)
                while self.state in {"starting", "restarting"}:
                    await self._turned.wait()
        except TimeoutError:
            raise RetryLater(code="restarting") from None

    def _judge(self, agent: str, reply: Reply, most: int) -> Assessment:
        if reply.failure == "retry_later":
            raise RetryLater
        if reply.failure == "config":
            raise ConfigError(reply.said)
        if reply.failure:
            log.warning("agent.failed", agent=agent, code=reply.failure, stack=reply.stack)
            raise CallFailed(code=reply.failure)
        answer = reply.assessment
        if answer is None:
            raise CallFailed(code="bad_answer")
        if len(answer.proposals) > most:
            raise CallFailed(code="too_many_proposals")
        if len(answer.wakes) > most:
            raise CallFailed(code="too_many_wakes")
        if len({proposal.key for proposal in answer.proposals}) != len(answer.proposals):
            raise CallFailed(code="duplicate_key")
        return answer

    # --- keeping it running -------------------------------------------------------------------------------------------

    async def _launch(self) -> list[AgentInfo]:
        self._process = AgentProcess(self.plugin.name, self._settings.plugin(self.plugin.name), self._ended)
        agents = await self._process.start()
        if self.agents and agents != self.agents:
            # Groups, kinds and grants were taken from the first hello; another set needs a new start of the bus.
            self._process.end("changed")
            await self._process.gone()
            raise ConfigError(code="changed")
        return agents

    def _ended(self, code: str, encounters: Sequence[str]) -> None:
        """Draw the lesson from an end before any of the calls that fell with it is repeated."""
        ENDS.labels(self.plugin.name, code).inc()
        if self.state != "running":
            return
        now = asyncio.get_running_loop().time()
        if len(encounters) > 1:
            self._careful_until = now + self._policy.careful_s
        elif encounters and code != "restarted":
            self._crashes[encounters[0]] = now
        self._crashes = {who: when for who, when in self._crashes.items() if now - when < self._policy.window_s}
        self._turn("quarantined" if len(self._crashes) >= self._policy.crashes else "restarting", code)

    async def _keep(self) -> None:
        wait_s = self._policy.first_s
        while self._process is not None:
            await self._process.gone()
            if self._process.answered:
                wait_s = self._policy.first_s
            if self.state == "quarantined":
                await self._pause(self._policy.quarantine_s)
                self._crashes.clear()
            else:
                await self._pause(wait_s)
                wait_s = min(wait_s * 2, self._policy.longest_s)
            try:
                await self._launch()
            except ConfigError as error:
                self.fail(error.code)
            else:
                self._turn("running")

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)
        self._hurry.clear()

    def _turn(self, state: State, reason: str = "") -> None:
        if state != self.state:
            log.info("plugin.state", plugin=self.plugin.name, status=state, code=reason)
        self.state, self.reason = state, reason
        self._turned.set()
        self._turned = asyncio.Event()


def _made(case: Case, info: AgentInfo, most: int, terms: str) -> str:
    seen = project(case, info.grants)
    call = Call(
        id=0,
        agent=info.name,
        event=seen.event,
        chart=seen.chart,
        now=seen.now,
        proposals=list(seen.proposals),
        settings=seen.settings,
        terms=str(seen.terms or terms),
        max_proposals=most,
    )
    return call.model_dump_json(exclude={"id"})


async def start_all(plugins: Sequence[Plugin], settings: Settings) -> list[AgentHost]:
    """Start every plugin, side by side. A plugin whose agent's name is taken is shown as failed and has no agents."""
    hosts = [AgentHost(plugin, settings) for plugin in plugins]
    await asyncio.gather(*(host.start() for host in hosts))
    taken: set[str] = set()
    for host in hosts:
        names = {agent.name for agent in host.agents}
        if names & taken:
            await host.close()
            host.agents = []
            host.fail("agent_name_taken")
        else:
            taken |= names
    return hosts
