"""Runs one plugin's agents in a process of their own, and keeps that process running."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import Counter, Histogram

from hisbus.agent import Case
from hisbus.errors import BusError, ConfigError, RetryLater
from hisbus.frames import AgentInfo
from hisbus_bus.host.calls import StoredCase, call_of, judged, questions_of
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.host.past import held_to_the_present
from hisbus_bus.host.process import AgentProcess
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.signals import Signals
from hisbus_bus.kernel.telemetry import REGISTRY, logger
from hisbus_schemas import Assessment

log = logger()

State = Literal["starting", "running", "failed", "restarting", "quarantined", "silent", "closed"]
"""``silent`` is a remote agent's service that gives no sign of life."""
DOWN: frozenset[State] = frozenset({"failed", "quarantined", "silent"})
"""What does not pass in a moment."""
LOOK_S = 2.0
"""How often the state of hosts is looked at for signals: what is mended sooner is not told."""
UNHEARD = "unheard"
"""The version of a remote agent that was not heard yet."""

CALLS = Counter("hisbus_agent_calls", "Calls by outcome.", ["agent", "outcome"], registry=REGISTRY)
SECONDS = Histogram("hisbus_agent_call_seconds", "Duration of a call.", ["agent"], registry=REGISTRY)
UNVERIFIED = Counter(
    "hisbus_agent_unverified", "Items left out because their words are not in the record.", ["agent"], registry=REGISTRY
)
ENDS = Counter("hisbus_plugin_ends", "Ends of a plugin's process, by reason.", ["plugin", "code"], registry=REGISTRY)


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


class Host(Protocol):
    """Whoever calls agents: a plugin's process, or a remote agent's service."""

    plugin: Plugin
    agents: list[AgentInfo]
    state: State
    reason: str

    async def assess(
        self, agent: str, case: Case | StoredCase, deadline_s: float, priority: Priority | None = Priority.LIVE
    ) -> Assessment:
        """Let an agent judge a case; see ``AgentHost.assess``."""
        ...

    async def close(self) -> None:
        """End it for good."""
        ...


class AgentHost:
    """One plugin. Its process ends and comes back; the host stays.

    ``state`` and ``reason`` (a stable code) are for the page.
    """

    def __init__(
        self, plugin: Plugin, settings: Settings, policy: Policy | None = None, llm: Client | None = None
    ) -> None:
        self.plugin = plugin
        self._llm = llm
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

    async def assess(
        self, agent: str, case: Case | StoredCase, deadline_s: float, priority: Priority | None = Priority.LIVE
    ) -> Assessment:
        """Let an agent judge a case, of which it sees what it was granted.

        Args:
            agent: its name.
            case: what it judges.
            deadline_s: how long it may take, seconds; while it waits for the model the time stands still.
            priority: of its questions to the model; None: it gets no model.

        Raises:
            CallFailed: the call failed; ``code`` says how.
            RetryLater: the plugin does not run now, or the agent itself asks to be called later.
            ConfigError: the agent refuses its settings.
        """
        info = next(info for info in self.agents if info.name == agent)
        most = self._settings.agent(agent).max_proposals
        questions = None
        if self._llm is not None and priority is not None:
            questions = questions_of(case, info, self._settings, self._llm, priority)
        name = questions.llm.model if questions is not None else ""
        call = call_of(case, info, self._settings, llm=name, terms=self._terms)
        try:
            async with self._turn_to_call() as process:
                with SECONDS.labels(agent).time():
                    reply = await process.call(case.chart.encounter, call, deadline_s, questions)
            known = judged(info, reply, most, case.chart, case.coverage, questions)
            assessment = held_to_the_present(known, case.chart)
        except BusError as error:
            CALLS.labels(agent, error.code.partition(".")[0]).inc()
            raise
        CALLS.labels(agent, "ok").inc()
        UNVERIFIED.labels(agent).inc(assessment.unverified)
        return assessment

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

    # --- keeping it running -------------------------------------------------------------------------------------------

    async def _launch(self) -> list[AgentInfo]:
        self._process = AgentProcess(self.plugin.name, self._settings.plugin(self.plugin.name), self._ended)
        agents = await self._process.start()
        if self.agents and _declared(agents) != _declared(self.agents):
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
                self.agents = await self._launch()
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


async def tell(hosts: Sequence[Host], signals: Signals) -> None:
    """Say which agents are down, and which are up again, until cancelled. A plugin without agents has its own name."""
    while True:
        for host in hosts:
            for name in [agent.name for agent in host.agents] or [host.plugin.name]:
                if host.state in DOWN:
                    signals.begins(f"agent:{name}", "down", host.reason or host.state)
                elif host.state == "running":
                    signals.ends(f"agent:{name}", "down")
        await asyncio.sleep(LOOK_S)


def _declared(agents: Sequence[AgentInfo]) -> list[AgentInfo]:
    """Return what agents declare, whatever their code is by now."""
    return [agent.model_copy(update={"sources": ""}) for agent in agents]


async def start_all(plugins: Sequence[Plugin], settings: Settings, llm: Client | None = None) -> list[AgentHost]:
    """Start every plugin, side by side. A plugin whose agent's name is taken is shown as failed and has no agents."""
    hosts = [AgentHost(plugin, settings, llm=llm) for plugin in plugins]
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
