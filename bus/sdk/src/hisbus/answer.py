"""How an agent answers a call, wherever it runs: in a plugin's process, or in a service of its own."""

import asyncio
import hashlib
import sys
from functools import cache
from pathlib import Path

from hisbus.agent import LLM, Agent, Case
from hisbus.errors import ConfigError, NotEvaluated, RetryLater, stack_hash
from hisbus.frames import AgentInfo, Call, Reply, pack
from hisbus_schemas import Assessment


def declared(agent: Agent) -> AgentInfo:
    """Return what an agent declares; what it may leave out has the default of ``AgentInfo``.

    Raises:
        ValidationError: it is not a declaration.
    """
    said = {name: getattr(agent, name) for name in AgentInfo.model_fields if hasattr(agent, name)}
    return AgentInfo.model_validate({"sources": sources(type(agent).__module__)} | said)


@cache
def sources(module: str) -> str:
    """Return the SHA-256 of the files of a module's package: code, rules, prompts. Empty where it has none on disk.

    Whoever changes one of them has made another agent, whatever version it gives itself.
    """
    file = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    if file is None or not Path(file).is_file():
        return ""
    place = Path(file).parent
    whole = place.rglob("*") if Path(file).stem == "__init__" else [Path(file)]
    said = hashlib.sha256()
    for path in sorted(path for path in whole if path.is_file() and "__pycache__" not in path.parts):
        said.update(f"{path.relative_to(place).as_posix()}\0{hash_of(path)}\0".encode())
    return said.hexdigest()


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


async def answer(agent: Agent, call: Call, llm: LLM | None = None) -> Reply:
    """Let the agent judge the call's case, and ask the model where it has one. Whatever it raises becomes a reply.

    Raises:
        MemoryError: what leaked stays; only a new process has room again.
    """
    terms = Path(call.terms) if call.terms else None
    case = Case(
        call.event, call.chart, call.now, llm, call.proposals, call.settings, terms, call.release, call.coverage
    )
    try:
        said: object = await agent.assess(case)
    except MemoryError:
        raise
    except RetryLater:
        return Reply(id=call.id, failure="retry_later")
    except NotEvaluated:
        return Reply(id=call.id, failure="not_evaluated")
    except ConfigError as error:
        return Reply(id=call.id, failure="config", said="" if call.event else str(error)[:500])
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again by the bus, without its words
        return Reply(id=call.id, failure="agent_raised", stack=stack_hash(error))
    if not isinstance(said, Assessment):
        return Reply(id=call.id, failure="bad_answer")
    if max(len(said.proposals), len(said.opinions)) > call.max_proposals:
        return Reply(id=call.id, failure="too_many_proposals")
    return Reply(id=call.id, assessment=said)


def packed(reply: Reply, limit: int) -> bytes:
    """Return the reply's frame, or that of a refusal: the bus takes no frame of more than ``limit`` bytes.

    A model can be made without being checked; whoever hears the frame checks it.
    """
    try:
        frame = pack(reply)
        if len(frame) > limit:
            return pack(Reply(id=reply.id, failure="answer_too_large"))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return pack(Reply(id=reply.id, failure="bad_answer"))
    return frame
