"""Joins the steps into a process: opens the site, starts what was asked for, stops it in order.

A task that ends by itself ends the process: a supervisor starts it again, and every step goes on where its offset is.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

import uvicorn

from hisbus import migrations, registry, telemetry
from hisbus.agent_host import AgentHost
from hisbus.audit import Sealer
from hisbus.chart import ChartStep
from hisbus.connector import Connector
from hisbus.consumer import Consumer, Step
from hisbus.dispatch import Dispatch
from hisbus.errors import ConfigError
from hisbus.intake import Intake
from hisbus.log.sqlite import SqliteLog
from hisbus.outbox import Relay
from hisbus.review import Review, take_over
from hisbus.settings import Settings
from hisbus.site import Site, embedded_log, load_secret, open_database
from hisbus.timers import Timers
from hisbus.topics import Keys
from hisbus.translate import Translate
from hisbus.web import create_app
from hisbus.web.process import AgentState
from hisbus.writeback import Sender, WriteBackStep

STEPS = ("intake", "translate", "chart", "dispatch", "timers", "review", "writeback", "web")

GRACE_S = 10.0
"""How long steps may finish what they have begun when the process is asked to stop, seconds."""

log = telemetry.logger()


class App:
    """One process of a site."""

    def __init__(self, settings: Settings, steps: Sequence[str] = STEPS) -> None:
        """Take the configuration and the names of the steps to run; nothing is opened yet."""
        self.settings = settings
        self.steps = frozenset(steps)
        self.site: Site
        self.connectors: list[Connector] = []
        self.hosts: list[AgentHost] = []
        self.web_address: tuple[str, int] = ("", 0)
        self._tasks: asyncio.TaskGroup
        self._consumers: list[Consumer] = []

    @property
    def agents(self) -> Sequence[AgentState]:
        """How each agent of this process is doing, for the page."""
        return [
            AgentState(agent.name, host.state, host.plugin, agent.version)
            for host in self.hosts
            for agent in host.agents
        ]

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT, then finish what has begun."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        async with self.running():
            await asked.wait()
            log.info("stopping", site=self.settings.site)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        """Run while the block lasts.

        Raises:
            ConfigError: something that only an operator can mend.
        """
        async with AsyncExitStack() as stack:
            self.connectors = registry.connectors(self.settings)
            await self._open(stack)
            try:
                async with asyncio.TaskGroup() as self._tasks:
                    background: list[asyncio.Task[None]] = []
                    await self._start(background)
                    log.info("started", site=self.site.name)
                    yield self
                    await self._stop(background)
            except BaseExceptionGroup as group:
                raise _first(group) from group

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        path = embedded_log(settings)
        secret = load_secret(settings)
        opened = await SqliteLog.open(
            path, max_mb=settings.log.max_mb, append_deadline_s=settings.log.append_deadline_s
        )
        stack.push_async_callback(opened.close)
        database = open_database(settings)
        stack.push_async_callback(database.close)
        await migrations.upgrade(database)
        self.site = Site(settings, Keys(secret), opened, database)
        if "dispatch" in self.steps:
            for plugin in registry.plugins(settings):
                host = AgentHost(plugin.name, settings)
                stack.push_async_callback(host.close)
                await host.start()
                self.hosts.append(host)

    async def _start(self, background: list[asyncio.Task[None]]) -> None:
        """Start from the end of the flow, so that nothing is taken in before all of it runs."""
        site = self.site

        def run(name: str, work: Coroutine[Any, Any, None]) -> None:
            background.append(self._tasks.create_task(work, name=name))

        run("relay", Relay(site).run())
        run("sealer", Sealer(site).run())
        if "writeback" in self.steps:
            sender = Sender(site, self.connectors)
            run("sender", sender.run())
            self._consume(WriteBackStep(site, self.connectors, sender))
        if "review" in self.steps:
            await take_over(site)
            self._consume(Review(site))
        if "timers" in self.steps:
            timers = Timers(site, {connector.name: connector.clock for connector in self.connectors})
            run("timers", timers.run())
            self._consume(timers)
        if "dispatch" in self.steps:
            await self._start_dispatch()
        if "chart" in self.steps:
            self._consume(ChartStep(site))
        if "translate" in self.steps:
            self._consume(Translate(site, self.connectors))
        if "web" in self.steps:
            self._start_web(run)
        if "intake" in self.steps:
            for connector in self.connectors:
                run(f"intake.{connector.name}", Intake(site, connector).run())

    async def _start_dispatch(self) -> None:
        for host in self.hosts:
            for agent in host.agents:
                if self.settings.agent(agent.name).enabled:
                    dispatch = Dispatch(self.site, host, agent)
                    await dispatch.first_look()
                    self._consume(dispatch)

    def _consume(self, step: Step) -> None:
        consumer = Consumer(self.site, step)
        self._consumers.append(consumer)
        self._tasks.create_task(consumer.run(), name=step.name)

    def _start_web(self, run: Callable[[str, Coroutine[Any, Any, None]], None]) -> None:
        host, _, port = self.settings.web.listen.rpartition(":")
        try:
            listening = socket.create_server((host, int(port)))
        except (OSError, ValueError) as error:
            raise ConfigError(f"web.listen: {self.settings.web.listen} cannot be used. Is it taken?") from error
        self.web_address = listening.getsockname()[:2]
        page = create_app(self.site, connectors=self.connectors, process=self)
        run("web", _Server(uvicorn.Config(page, log_config=None, access_log=False, lifespan="off")).serve([listening]))

    async def _stop(self, background: list[asyncio.Task[None]]) -> None:
        """Stop taking in, let the steps finish what they have begun, then end the rest."""
        for task in background:
            if task.get_name().startswith("intake."):
                task.cancel()
        await asyncio.gather(*(consumer.stop(GRACE_S) for consumer in self._consumers))
        for task in background:
            task.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process stops in our order."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended the process; what it dragged along is in its cause."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    return group
