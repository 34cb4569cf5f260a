"""One life of a plugin's process: started once, spoken to over a socket pair, ended once."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter
from pydantic import ValidationError

from hisbus.errors import CallFailed, ConfigError
from hisbus.frames import (
    FROM_CHILD,
    LENGTH,
    AgentInfo,
    Answer,
    Ask,
    Hello,
    Reply,
    Unask,
    Whole,
    framed,
    numbered,
    pack_many,
)
from hisbus.hookspecs import API_VERSION
from hisbus_bus.host.outgoing import Outgoing, Sent
from hisbus_bus.kernel.settings import PluginSettings
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_bus.kernel.topics import MIB, TOPICS
from hisbus_schemas import Contract

START_S = 60.0
"""A plugin that has not said hello by then is ended."""

HELLO_BYTES = MIB
ANSWER_BYTES = TOPICS["assessments"].max_bytes - MIB
"""No answer may be larger, whatever is configured: its record must fit the topic."""

PRINTED = Counter(
    "hisbus_plugin_output_bytes", "Bytes that a plugin printed; they are read by nobody.", ["plugin"], registry=REGISTRY
)

Ended = Callable[[str, Sequence[str]], None]
"""Called once, before any call fails, with the reason and the encounters of the calls in flight."""


Asking = Callable[[Ask], Awaitable[Answer]]
"""Answers a question of a call. It raises nothing that is not a bug."""

GATHERED = MIB
"""Characters of what leaves together: a process that has little memory reads a frame at a time."""


class _ReplyTo(Contract):
    """Of a reply that is none: which call it answers."""

    type: Literal["reply"]
    id: int


MOST_ASKS = 200
"""Questions of one call. An agent that asks more is not judging one case."""


@dataclass(slots=True)
class _Flight:
    encounter: str
    call: Outgoing
    asking: Asking | None
    clock: asyncio.Timeout
    """Stands still while an answer of the model is waited for: that is not the agent's time."""
    reply: asyncio.Future[Reply | None]
    """None: the process ended."""
    left_s: float = 0.0
    """What was left on the clock when it was stopped."""
    asks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    asked: int = 0
    over: bool = False
    whole: bool = False
    """Its chart was asked for whole."""

    def stop_clock(self) -> None:
        when = self.clock.when()
        if when is not None and not self.clock.expired():
            self.left_s = when - asyncio.get_running_loop().time()
            self.clock.reschedule(None)

    def start_clock(self) -> None:
        if self.clock.when() is None and not self.over:
            self.clock.reschedule(asyncio.get_running_loop().time() + self.left_s)


class AgentProcess:
    """A plugin's process. Whatever goes wrong with it ends it, with every call in flight."""

    def __init__(self, plugin: str, settings: PluginSettings, ended: Ended) -> None:
        self.plugin = plugin
        self.code = ""
        """Why it ended; empty while it lives."""
        self.answered = False
        self._settings = settings
        self._ended = ended
        self._limit = min(settings.answer_mb * MIB, ANSWER_BYTES)
        self._flights: dict[int, _Flight] = {}
        self._next_id = 0
        self._sent: Sent | None = None
        """None: it keeps no charts."""
        self._leaving: list[str] = []
        """What leaves with the next frame, JSON."""
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._receiver: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None before the start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> list[AgentInfo]:
        """Start the process and return the agents that it has.

        Raises:
            ConfigError: it cannot run; ``code`` says why. It is gone then.
        """
        try:
            await self._open()
        except OSError as error:
            raise _refused("interpreter") from error
        try:
            agents = await self._greet()
        except BaseException as error:
            self.end("cancelled" if not isinstance(error, ConfigError) else error.code)
            await self._bury()
            raise
        self._receiver = asyncio.create_task(self._receive())
        return agents

    async def call(self, encounter: str, call: Outgoing, deadline_s: float, asking: Asking | None = None) -> Reply:
        """Send a call and return its reply. Calls that are made in the same turn of the loop leave together.

        Args:
            encounter: whom it is about.
            call: what it is given.
            deadline_s: how much time of its own the agent may take, seconds.
            asking: answers its questions to the model; None: it may not ask.

        Raises:
            CallFailed: the process died; ``deadline`` where this call was the reason.
        """
        if self.code:
            raise CallFailed(code=self.code)
        self._next_id += 1
        id = self._next_id
        clock = asyncio.timeout(deadline_s)
        flight = _Flight(encounter, call, asking, clock, asyncio.get_running_loop().create_future())
        self._flights[id] = flight
        try:
            async with clock:
                self._leave(numbered(id, call.whole()) if self._sent is None else self._sent.frame(id, call))
                reply = await flight.reply
        except TimeoutError:
            self.end("child_killed")
            raise CallFailed(code="deadline") from None
        finally:
            self._flights.pop(id, None)
            await self._withdraw(flight)
        if reply is None:
            raise CallFailed(code=self.code)
        self.answered = True
        return reply

    def end(self, code: str) -> None:
        """End the process with all that it started, and every call in flight. The first reason stands."""
        if self.code:
            return
        self.code = code
        self._ended(code, [flight.encounter for flight in self._flights.values()])
        if self._process is not None:
            # The group's number stays taken while one of its processes lives, also when the first is gone.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for flight in self._flights.values():
            if not flight.reply.done():
                flight.reply.set_result(None)

    async def gone(self) -> None:
        """Wait until the process has ended and nothing of it is left."""
        if self._receiver is not None:
            await asyncio.shield(self._receiver)

    async def _open(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await self._spawn(theirs.fileno())
            except BaseException:
                ours.close()
                raise
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=MIB)
        self._tasks = [
            asyncio.create_task(self._count(stream))
            for stream in (self._process.stdout, self._process.stderr)
            if stream is not None
        ]

    async def _spawn(self, descriptor: int) -> Process:
        settings = self._settings
        arguments = (self.plugin, descriptor, settings.memory_mb, settings.answer_mb)
        return await asyncio.create_subprocess_exec(
            str(settings.python.absolute() if settings.python else sys.executable),
            *("-P", "-m", "hisbus.child", *map(str, arguments)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd="/",
            env=_environment(),
            pass_fds=(descriptor,),
            start_new_session=True,
        )

    async def _greet(self) -> list[AgentInfo]:
        try:
            async with asyncio.timeout(START_S):
                hello = Hello.model_validate_json(await self._frame(HELLO_BYTES))
        except TimeoutError as error:
            raise _refused("start_timeout") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _refused("died_at_start") from error
        except ValidationError as error:
            raise _refused("bad_hello") from error
        if hello.failure:
            raise _refused(hello.failure)
        if hello.api.split(".")[0] != API_VERSION.split(".")[0]:
            raise _refused("api")
        names = [agent.name for agent in hello.agents]
        if names[:1] != [self.plugin] or len(set(names)) != len(names):
            raise _refused("name")
        self._sent = Sent() if hello.keeps else None
        return hello.agents

    async def _receive(self) -> None:
        try:
            while True:
                match _heard(await self._frame(self._limit)):
                    case Reply() as reply:
                        flight = self._flights.get(reply.id)
                        if flight is not None and not flight.reply.done():
                            flight.reply.set_result(reply)
                    case Whole() as lost:
                        self._send_whole(lost.call)
                    case Ask() as ask:
                        self._ask(ask)
                    case Unask() as back:
                        flight = self._flights.get(back.call)
                        if flight is not None and back.id in flight.asks:
                            flight.asks[back.id].cancel()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it died
        except ValidationError:
            self.end("bad_answer")
        except ConfigError as error:
            self.end(error.code)
        finally:
            self.end("crashed")
            await self._bury()

    # --- the model ----------------------------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        flight = self._flights.get(ask.call)
        if flight is None or flight.reply.done():
            self._write(_withdrawn(ask.id))  # its call has ended here, and goes on there
        elif flight.asking is None or ask.id in flight.asks:
            self.end("bad_answer")
        elif flight.asked >= MOST_ASKS:
            self._write(Answer(id=ask.id, failure="not_evaluated", code="too_many_questions"))
        else:
            flight.asked += 1
            flight.stop_clock()
            task = flight.asks[ask.id] = asyncio.create_task(self._answer(flight, flight.asking, ask))
            task.add_done_callback(lambda _: _answered(flight, ask.id))

    async def _answer(self, flight: _Flight, asking: Asking, ask: Ask) -> None:
        try:
            self._write(await asking(ask))
        except Exception as error:  # noqa: BLE001 - a bug of ours is not left to the agent: its call fails with it
            if not flight.reply.done():
                flight.reply.set_exception(error)

    async def _withdraw(self, flight: _Flight) -> None:
        """End the questions of a call that is over; whoever still waits for them in the plugin is told."""
        flight.over = True
        asks = dict(flight.asks)
        for id, task in asks.items():
            task.cancel()
            self._write(_withdrawn(id))
        await asyncio.gather(*asks.values(), return_exceptions=True)

    def _write(self, answer: Answer) -> None:
        self._leave(answer.model_dump_json())

    # --- frames -------------------------------------------------------------------------------------------------------

    def _leave(self, frame: str) -> None:
        """Send what is JSON already, together with all that is to leave in this turn of the loop, in order."""
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._flush)
        self._leaving.append(frame)

    def _flush(self) -> None:
        leaving, self._leaving = self._leaving, []
        if self.code or self._writer.is_closing():
            return  # it has ended, and its calls are told
        frames = map(framed, leaving) if self._sent is None else map(pack_many, _gathered(leaving))
        for frame in frames:
            self._writer.write(frame)

    def _send_whole(self, id: int) -> None:
        """Send a call again, whole, to a process that has lost what its chart was to be laid over."""
        flight = self._flights.get(id)
        if flight is None:
            return  # nobody waits for it
        if flight.whole or self._sent is None:
            self.end("bad_answer")
            return
        flight.whole = True
        self._sent.lost(flight.call)
        self._leave(numbered(id, flight.call.whole()))

    async def _frame(self, limit: int) -> bytes:
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if length > limit:
            raise _refused("answer_too_large")
        return await self._reader.readexactly(length)

    async def _count(self, stream: asyncio.StreamReader) -> None:
        # A pipe that nobody reads would stop the plugin; what it prints may be a patient's, so it is not kept.
        while chunk := await stream.read(65536):
            PRINTED.labels(self.plugin).inc(len(chunk))

    async def _bury(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        if self._process is not None:
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _environment() -> dict[str, str]:
    """Return what a plugin sees of our environment: nothing of the configuration, no secret, no clock of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "TZ": "UTC", "PYTHONHASHSEED": "0"}


def _heard(frame: bytes) -> Reply | Ask | Unask | Whole:
    """Return what a process says. An answer that is none fails its call alone.

    Raises:
        ValidationError: it is no frame.
    """
    try:
        return FROM_CHILD.validate_json(frame)
    except ValidationError:
        return Reply(id=_ReplyTo.model_validate_json(frame).id, failure="bad_answer")


def _gathered(leaving: Sequence[str]) -> Iterator[list[str]]:
    """Yield what leaves, in portions: one of several is no larger than ``GATHERED``."""
    portion, size = list[str](), 0
    for frame in leaving:
        if portion and size + len(frame) > GATHERED:
            yield portion
            portion, size = [], 0
        portion.append(frame)
        size += len(frame)
    if portion:
        yield portion


def _answered(flight: _Flight, id: int) -> None:
    del flight.asks[id]
    if not flight.asks:
        flight.start_clock()


def _withdrawn(id: int) -> Answer:
    return Answer(id=id, failure="retry_later", code="withdrawn")


def _refused(code: str) -> ConfigError:
    return ConfigError("The plugin cannot run. Look its code up in plugins/README.md.", code=code)
