"""What runs in a plugin's process: ``python -P -m hisbus.agent_child PLUGIN SOCKET MEMORY_MB ANSWER_MB``.

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
from pathlib import Path

from pydantic import ValidationError

from hisbus.agent import Agent, Case
from hisbus.errors import ConfigError, RetryLater, reason_code, stack_hash
from hisbus.frames import LENGTH, AgentInfo, Call, Hello, Reply, pack
from hisbus.hookspecs import API_VERSION
from hisbus.registry import load_agents
from hisbus_schemas import Assessment

MIB = 1024 * 1024
EXIT_MEMORY = 70
EXIT_PARENT_GONE = 71
LARGEST_FILE = 64 * MIB
"""An agent has no side effects; what it writes by mistake does not fill the disk."""
GARBAGE = 10_000
"""New objects between two looks for garbage; a chart is some hundreds."""

_PR_SET_PDEATHSIG = 1


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

    def __init__(self, agents: dict[str, Agent], writer: asyncio.StreamWriter, answer_bytes: int) -> None:
        self._agents = agents
        self._writer = writer
        self._answer_bytes = answer_bytes
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer until the parent closes the socket."""
        while True:
            try:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                call = Call.model_validate_json(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                os._exit(EXIT_PARENT_GONE)
            task = asyncio.create_task(self._answer(call))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, call: Call) -> None:
        try:
            frame = self._pack(await self._assess(call))
        except MemoryError:
            os._exit(EXIT_MEMORY)  # what leaked stays; only a new process has room again
        self._writer.write(frame)
        await self._writer.drain()

    async def _assess(self, call: Call) -> Reply:
        case = Case(call.event, call.chart, call.now, None, call.proposals, call.settings, _path(call.terms))
        try:
            answer: object = await self._agents[call.agent].assess(case)
        except MemoryError:
            raise
        except RetryLater:
            return Reply(id=call.id, failure="retry_later")
        except ConfigError as error:
            return Reply(id=call.id, failure="config", said="" if call.event else str(error)[:500])
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again by the parent, without its words
            return Reply(id=call.id, failure="agent_raised", stack=stack_hash(error))
        if not isinstance(answer, Assessment):
            return Reply(id=call.id, failure="bad_answer")
        if len(answer.proposals) > call.max_proposals:
            return Reply(id=call.id, failure="too_many_proposals")
        return Reply(id=call.id, assessment=answer)

    def _pack(self, reply: Reply) -> bytes:
        """Return the reply's frame, or that of a refusal: the parent ends a process whose frame it cannot take."""
        try:
            frame = pack(reply)
            if len(frame) > self._answer_bytes:
                return pack(Reply(id=reply.id, failure="answer_too_large"))
            Reply.model_validate_json(frame[LENGTH.size :])  # models can be made without being checked
        except (ValueError, TypeError, AttributeError, RecursionError):
            return pack(Reply(id=reply.id, failure="bad_answer"))
        return frame


def _path(terms: str) -> Path | None:
    return Path(terms) if terms else None


def load(plugin: str) -> tuple[dict[str, Agent], Hello]:
    """Load the plugin and say what came of it."""
    try:
        agents = load_agents(plugin)
        infos = [AgentInfo(name=a.name, version=a.version, kinds=a.kinds, grants=a.grants) for a in agents]
    except ConfigError as error:
        return {}, Hello(api=API_VERSION, failure=reason_code(error))
    except ValidationError:
        return {}, Hello(api=API_VERSION, failure="not_an_agent")
    return {agent.name: agent for agent in agents}, Hello(api=API_VERSION, agents=infos)


async def run(plugin: str, descriptor: int, answer_bytes: int) -> None:
    """Load the plugin and serve it on an inherited socket."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor), limit=MIB)
    agents, hello = load(plugin)
    # What was loaded stays: looking through it for garbage would cost a fifth of every call.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    writer.write(pack(hello))
    await writer.drain()
    await Child(agents, writer, answer_bytes).serve(reader)


def main() -> None:
    """Run the child."""
    plugin, descriptor, memory_mb, answer_mb = sys.argv[1], *map(int, sys.argv[2:5])
    confine(memory_mb)
    serving = run(plugin, descriptor, answer_mb * MIB)
    try:
        import uvloop
    except ImportError:  # a vendor's interpreter need not have it
        asyncio.run(serving)
    else:
        uvloop.run(serving)


if __name__ == "__main__":
    main()
