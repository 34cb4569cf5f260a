"""What runs in a plugin's process: ``python -P -m hisbus.child PLUGIN SOCKET MEMORY_MB ANSWER_MB``.

It loads the plugin, says hello, and answers calls. Nothing that it prints is read by anybody.
"""

import asyncio
import ctypes
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Collection
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hisbus.agent import Agent
from hisbus.answer import answer, declared, packed
from hisbus.errors import ConfigError, NotEvaluated, RetryLater, reason_code
from hisbus.frames import LENGTH, Answer, Ask, Call, Hello, KeptCall, Unask, Whole, pack, unpack
from hisbus.hookspecs import API_VERSION
from hisbus.kept import KeptCharts
from hisbus.load import load_agents
from hisbus.schema import typed

MIB = 1024 * 1024
EXIT_MEMORY = 70
EXIT_PARENT_GONE = 71
LARGEST_FILE = 64 * MIB
"""An agent has no side effects; what it writes by mistake does not fill the disk."""
GARBAGE = 10_000
"""New objects between two looks for garbage; a chart is some hundreds."""
KEPT_SHARE = 64
"""Of the memory that the process may use, the JSON of the charts that it keeps is one in so many: read it takes a
dozen times as much."""

_PR_SET_PDEATHSIG = 1

T = TypeVar("T", bound=BaseModel)


def confine(memory_mb: int) -> None:
    """Limit this process, for good: memory, core dumps, files; and let it die with its parent."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_mb * MIB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
    ):
        resource.setrlimit(limit, (value, value))
    if sys.platform == "linux":
        # A closed socket is noticed only by a running event loop; this also ends a plugin that hangs.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """Answers the parent's calls with the plugin's agents."""

    def __init__(
        self, agents: dict[str, Agent], writer: asyncio.StreamWriter, answer_bytes: int, charts: KeptCharts
    ) -> None:
        self._agents = agents
        self._grants = {name: frozenset(agent.grants) for name, agent in agents.items()}
        self._charts = charts
        self._writer = writer
        self._answer_bytes = answer_bytes
        self._running: set[asyncio.Task[None]] = set()
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._asks = 0

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer until the parent closes the socket."""
        while True:
            try:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                frames = unpack(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                os._exit(EXIT_PARENT_GONE)
            for frame in frames:
                if isinstance(frame, Answer):
                    self._hear(frame)
                else:
                    self._take(frame)

    def _hear(self, answer: Answer) -> None:
        asked = self._asked.get(answer.id)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def _take(self, call: KeptCall) -> None:
        """Begin to answer a call, whose chart is made at once: what is sent next may rest on it."""
        if call.rows is not None:
            chart = self._charts.chart(self._grants[call.agent], call.chart, call.rows)
            if chart is None:
                self._writer.write(pack(Whole(call=call.id)))
                return
            call = call.model_copy(update={"chart": chart, "rows": None})
        task = asyncio.create_task(self._answer(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ask(self, call: int, system: str, question: str, schema: dict[str, Any], only: Any) -> Answer:
        """Ask the parent; a question that nobody waits for any more is taken back."""
        self._asks += 1
        id = self._asks
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[id] = asked
        ask = Ask(call=call, id=id, system=system, question=question, answer=schema, only=only)
        try:
            self._writer.write(pack(ask))
            await self._writer.drain()
            return await asked
        except asyncio.CancelledError:
            self._writer.write(pack(Unask(call=call, id=id)))
            raise
        finally:
            del self._asked[id]

    async def _answer(self, call: Call) -> None:
        try:
            llm = AskingLLM(self, call.id, call.model) if call.llm else None
            frame = packed(await answer(self._agents[call.agent], call, llm), self._answer_bytes)
        except MemoryError:
            os._exit(EXIT_MEMORY)  # what leaked stays; only a new process has room again
        self._writer.write(frame)
        await self._writer.drain()


class AskingLLM:
    """``case.llm`` of one call: the parent asks for it."""

    def __init__(self, child: Child, call: int, model: str) -> None:
        self._child = child
        self._call = call
        self.model = model

    async def ask(self, *, system: str, question: str, answer: type[T], only: Collection[str] | None = None) -> T:
        """Ask, as ``hisbus.LLM`` says."""
        chosen = None if only is None else frozenset(only)
        said = await self._child.ask(self._call, system, question, answer.model_json_schema(), chosen)
        match said.failure:
            case "":
                return typed(answer, said.value)
            case "retry_later":
                raise RetryLater(code=said.code)
            case "not_evaluated":
                raise NotEvaluated(code=said.code)
            case "config":
                raise ConfigError("The answer's form is not bounded.", code=said.code)


def load(plugin: str) -> tuple[dict[str, Agent], Hello]:
    """Load the plugin and say what came of it."""
    try:
        agents = load_agents(plugin)
        infos = [declared(agent) for agent in agents]
    except ConfigError as error:
        return {}, Hello(api=API_VERSION, failure=reason_code(error))
    except ValidationError:
        return {}, Hello(api=API_VERSION, failure="not_an_agent")
    return {agent.name: agent for agent in agents}, Hello(api=API_VERSION, agents=infos, keeps=True)


async def run(plugin: str, descriptor: int, memory_bytes: int, answer_bytes: int) -> None:
    """Load the plugin and serve it on an inherited socket."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor), limit=MIB)
    agents, hello = load(plugin)
    # What was loaded stays: looking through it for garbage would cost a fifth of every call.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    writer.write(pack(hello))
    await writer.drain()
    await Child(agents, writer, answer_bytes, KeptCharts(memory_bytes // KEPT_SHARE)).serve(reader)


def main() -> None:
    """Run the child."""
    plugin, descriptor, memory_mb, answer_mb = sys.argv[1], *map(int, sys.argv[2:5])
    confine(memory_mb)
    serving = run(plugin, descriptor, memory_mb * MIB, answer_mb * MIB)
    try:
        run_until_done = import_module("uvloop").run
    except ImportError:  # a vendor's interpreter need not have it
        run_until_done = asyncio.run
    run_until_done(serving)


if __name__ == "__main__":
    main()
