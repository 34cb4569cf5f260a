"""Joins the steps into a process: opens the site, starts what was asked for, stops it in order.

A task that ends by itself ends the process: a supervisor starts it again, and every step goes on where its offset is.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import uvicorn
from sqlalchemy import func, select

from hisbus.addresses import bind
from hisbus.connector import Connector
from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.desk import create_app
from hisbus_bus.desk.process import ELSEWHERE, AgentState, ModelState
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.flow.intake import Intake
from hisbus_bus.flow.review import Review, take_over
from hisbus_bus.flow.timers import Timers
from hisbus_bus.flow.translate import Translate
from hisbus_bus.flow.writeback import Sender, WriteBackStep
from hisbus_bus.host import registry
from hisbus_bus.host.agents import Host, start_all, tell
from hisbus_bus.host.llm.client import Client, model
from hisbus_bus.host.trial import tried
from hisbus_bus.kernel import clashes, coverage, migrations, rules, tables, telemetry
from hisbus_bus.kernel.consumer import BATCH_SIZE, Consumer, Step
from hisbus_bus.kernel.controls import Part, Watcher
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.outbox import Relay
from hisbus_bus.kernel.reading import Reading
from hisbus_bus.kernel.seals import Sealer
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.signals import Signals
from hisbus_bus.kernel.site import Site, load_secret, open_database, open_log
from hisbus_bus.kernel.topics import STEPS, Keys
from hisbus_bus.lab.answered import Answered

CALLING = 2
"""Batches of one agent at a time: while its process works on one, the next is read and the last is sent on."""
AWAY_S = 2.0
"""Between two tries to reach a database that is away."""
GARBAGE = 20_000
"""Objects made since the garbage collector's last round that begin the next: a batch makes thousands that live on."""

log = telemetry.logger()


class App:
    """One process of a site."""

    def __init__(
        self,
        settings: Settings,
        steps: Sequence[str] = STEPS,
        *,
        site: Site | None = None,
        connectors: Sequence[Connector] | None = None,
        hosts: Sequence[Host] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take the configuration and the names of the steps to run; nothing is opened yet.

        Args:
            settings: the configuration.
            steps: of ``STEPS``.
            site: log, database with all its tables, and keys; closing them is the caller's. None: the configured.
            connectors: None: the configured.
            hosts: whoever calls the agents, started; closing them is the caller's. None: the configured.
            now: the wall clock, UTC, with which wakes are compared.
        """
        self.settings = settings
        self.steps = frozenset(steps)
        self.site: Site
        self._given_site = site
        self._given_connectors = connectors
        self._given_hosts = hosts
        self._now = now
        self._elsewhere: list[AgentState] = []
        self._llm: Client | None = None
        self._rules: Mapping[str, Collection[str]] = {}
        self._calling: dict[str, Consumer] = {}
        self._sealer: Sealer
        self._signals: Signals
        self._controls: Watcher
        self.connectors: Sequence[Connector] = []
        self.hosts: Sequence[Host] = []
        self.mappings = Live([])
        self.web_address: tuple[str, int] = ("", 0)
        self._tasks: asyncio.TaskGroup
        self._intakes: list[asyncio.Task[None]] = []
        self._consumers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    @property
    def _intake_only(self) -> bool:
        return self.steps == {"intake"}

    @property
    def agents(self) -> Sequence[AgentState]:
        """How each agent is doing, for the page; of one that another process calls, no more than its name."""
        if "dispatch" not in self.steps:
            return self._elsewhere
        return [
            AgentState(
                agent.name,
                host.state,
                host.plugin.name,
                agent.version,
                host.reason,
                self._calling[agent.name].waits_for if agent.name in self._calling else "",
                agent.asks,
            )
            for host in self.hosts
            for agent in host.agents
        ]

    @property
    def model(self) -> ModelState:
        """How the model is doing, for the page."""
        its = self.settings.llm
        if not its.url:
            return ModelState("none")
        if self._llm is None:
            return ModelState(ELSEWHERE, its.model)
        return ModelState("down" if self._llm.down else "up", its.model, self._llm.down)

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT, then finish what has begun."""
        asked = asyncio.Event()
        loop, starting = asyncio.get_running_loop(), asyncio.current_task()

        def ask() -> None:
            asked.set()
            if starting is not None:
                starting.cancel()  # an agent on trial, brokers that come up: it may wait for long

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        try:
            async with self.running():
                starting = None
                _settle_memory()
                await asked.wait()
                log.info("stopping", site=self.settings.site)
        except asyncio.CancelledError:
            if not asked.is_set():
                raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        """Run while the block lasts.

        Raises:
            ConfigError: something that only an operator can mend.
        """
        async with AsyncExitStack() as stack:
            if found := [*clashes.stored(self.settings), *clashes.listening(self.settings, web="web" in self.steps)]:
                raise ConfigError("\n".join(found))
            given = self._given_connectors
            self.connectors = registry.connectors(self.settings) if given is None else given
            self.mappings = Live(registry.mappings(self.connectors))
            await self._open(stack)
            try:
                async with asyncio.TaskGroup() as self._tasks:
                    await self._start()
                    log.info("started", site=self.site.name)
                    yield self
                    await self._stop()
            except BaseExceptionGroup as group:
                raise _first(group) from group

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        self.site = self._given_site or await self._open_site(stack)
        self._signals = Signals(self.site.database)
        self._controls = Watcher(self.site.database, self._signals)
        if self._intake_only:
            return  # it needs the log alone, and goes on taking messages while the database is away
        if self._given_site is None:
            await migrations.upgrade(self.site.database)
        await _refuse_another_database(self.site)
        async with self.site.database.write() as connection:
            await coverage.configure(connection, self.site.headers, settings.coverage)
        self._sealer = Sealer(self.site)
        if "dispatch" in self.steps:
            given = self._given_hosts
            self.hosts = await self._start_agents(stack) if given is None else given
        else:
            names = [*(plugin.name for plugin in registry.plugins(settings)), *settings.remote]
            self._elsewhere = [AgentState(name, ELSEWHERE, name) for name in names]

    async def _open_site(self, stack: AsyncExitStack) -> Site:
        """Open the configured log and database."""
        settings = self.settings
        secret = load_secret(settings)
        database = open_database(settings)
        stack.push_async_callback(database.close)
        if database.sqlite and settings.log.url.startswith("kafka:") and self.steps != frozenset(STEPS):
            raise ConfigError("database.url: steps in processes of their own need PostgreSQL.")
        opened = await open_log(settings)
        stack.push_async_callback(opened.close)
        return Site(settings, Keys(secret), opened, database)

    async def _start_agents(self, stack: AsyncExitStack) -> list[Host]:
        """Start the configured plugins and remote agents."""
        settings = self.settings
        self._llm = await stack.enter_async_context(model(settings))
        own = await start_all(registry.plugins(settings), settings, self._llm)
        for host in own:
            stack.push_async_callback(host.close)
        taken = {agent.name for host in own for agent in host.agents}
        refused = [f"remote.{name}: a plugin has this agent." for name in settings.remote if name in taken]
        trial = await tried(own, settings)
        if refused := refused + trial.refused:
            raise ConfigError("\n".join(refused))
        self._rules = trial.rules
        for sentence in trial.left_out:
            log.warning("not evaluated", reason=sentence)
        if not settings.remote:
            return [*own]
        from hisbus_bus.host.remote import start_remotes  # with a library that most sites do without

        return [*own, *await start_remotes(self.site, stack)]

    async def _start(self) -> None:
        """Start from the end of the flow, so that nothing is taken in before all of it runs."""
        site = self.site
        self._others.append(self._run("signals", self._signals.run()))
        self._others.append(self._run("controls", self._controls.run()))
        self._others.append(self._run("profiles", self.mappings.run(site.database)))
        await self._controls.first_look()
        if not self._intake_only:
            self._others.append(self._run("relay", Relay(site).run()))
            self._others.append(self._run("sealer", self._sealer.run()))
        if "writeback" in self.steps:
            step = WriteBackStep(site, self.connectors)
            speaks = "intake" in self.steps  # else intake does, in a process of its own
            ways_out = {
                connector.name: self._controls.part(f"connector:{connector.name}", "step:writeback", speaks=speaks)
                for connector in self.connectors
            }
            sender = Sender(site, self.connectors, step.inserted, ways_out, self.mappings)
            self._others.append(self._run("sender", sender.run()))
            self._consume(step)
        if "review" in self.steps:
            await take_over(site)
            self._consume(Review(site))
        if "timers" in self.steps:
            part = self._controls.part("step:timers")
            clocks = {connector.name: connector.clock for connector in self.connectors}
            timers = Timers(site, clocks, self._now, part)
            self._others.append(self._run("timers.clock", timers.run()))
            self._consume(timers, part)
        if "dispatch" in self.steps:
            await self._start_dispatch()
        if "chart" in self.steps:
            self._consume(ChartStep(site))
        if "translate" in self.steps:
            self._others.append(self._run("answered", Answered(site, self.mappings).run()))
            await self.mappings.put_in(site.database)
            self._consume(Translate(site, self.mappings))
        if "web" in self.steps:
            self._start_web()
        if "intake" in self.steps:
            for connector in self.connectors:
                self._intakes.append(self._run(f"intake.{connector.name}", self._take_in(connector)))

    async def _take_in(self, connector: Connector) -> None:
        if connector.polls and self._intake_only:
            await _migrated(self.site.database)
        part = self._controls.part(f"connector:{connector.name}", "step:intake")
        await Intake(self.site, connector.name, self.mappings, part).run()

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(work, name=name)

    async def _start_dispatch(self) -> None:
        called = [
            (host, agent) for host in self.hosts for agent in host.agents if self.settings.agent(agent.name).enabled
        ]
        everybody = [agent for _, agent in called]
        async with self.site.database.write() as connection:
            await rules.forget(connection, [agent.name for agent in everybody])
        reading = Reading(self.site.database)
        for host, agent in called:
            dispatch = Dispatch(self.site, host, agent, everybody, self._rules.get(agent.name, ()), reading)
            await dispatch.first_look()
            part = self._controls.part(f"agent:{agent.name}", "step:dispatch")
            self._calling[agent.name] = self._consume(
                dispatch, part, concurrency=CALLING, batch_size=dispatch.batch_size
            )
        self._others.append(self._run("agents", tell(self.hosts, self._signals)))

    def _consume(
        self, step: Step, part: Part | None = None, *, concurrency: int = 1, batch_size: int = BATCH_SIZE
    ) -> Consumer:
        part = part or self._controls.part(f"step:{step.name}")
        consumer = Consumer(self.site, step, concurrency=concurrency, batch_size=batch_size, part=part)
        self._consumers.append(self._run(step.name, consumer.run()))
        return consumer

    def _start_web(self) -> None:
        try:
            listening = bind(self.settings.web.listen)
        except ConfigError as error:
            raise ConfigError(f"web.listen: {error}") from error
        self.web_address = listening.getsockname()[:2]
        page = create_app(self.site, connectors=self.connectors, mappings=self.mappings, process=self)
        self._others.append(self._run("web", _serve(page, listening)))

    async def _stop(self) -> None:
        """Stop taking in, let the steps finish what they have begun, then end the rest."""
        for phase in (self._intakes, self._consumers, self._others):
            for task in phase:
                task.cancel()
            await asyncio.wait(phase) if phase else None
        if self._intake_only:
            return
        try:
            await self._signals.write()
            await self._sealer.seal()
        except RetryLater as error:
            log.warning("stopped with unsealed audit rows", code=error.code)  # the next process seals them


def _settle_memory() -> None:
    """Take what was loaded for good out of the garbage collector's rounds, and let it come round less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


async def _migrated(database: Database) -> None:
    """Wait for the database, and bring its schema to the newest revision."""
    while True:
        try:
            return await migrations.upgrade(database)
        except RetryLater as error:
            log.warning("polling waits", code=error.code)
            await asyncio.sleep(AWAY_S)


async def _refuse_another_database(site: Site) -> None:
    """Refuse a database that knows nothing of what the log says was worked on: charts would begin in the middle."""
    done = await site.log.committed("raw", site.group("translate"))
    async with site.database.read() as connection:
        known = await connection.scalar(select(func.count()).select_from(tables.offsets))
    if any(done.values()) and not known:
        raise ConfigError("database.url: this database is empty, and the log was worked on with another. Restore it.")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process stops in our order."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def _serve(page: Any, listening: socket.socket) -> None:
    """Answer requests until cancelled; then finish those that have begun."""
    config = uvicorn.Config(page, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve([listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listening.close()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended the process; what it dragged along is in its cause."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    return group
