"""Runs one agent over cases, in this process, as the host would call it: it sees what it was granted, nothing else."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hisbus.agent import Agent, Case
from hisbus.answer import answer, declared
from hisbus.errors import BusError, ConfigError, RetryLater
from hisbus.frames import Call, Reply
from hisbus.grants import project
from hisbus.load import load_agents
from hisbus_bus.host.calls import Questions, judged
from hisbus_bus.host.llm.case import CaseLLM
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.host.registry import Plugin, plugins
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.lab.evaluate.sample import Sample
from hisbus_schemas import Asked, Assessment

AHEAD = 2
"""Cases under way for each question that may be at the model's server: while one asks, another is prepared."""

Progress = Callable[[int, int], None]
"""Called with how many cases are done, of how many."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case."""

    sample: Sample
    assessment: Assessment | None
    """None: the call failed."""
    failed: str = ""
    """Why it failed: a stable code."""
    seconds: float = 0.0
    """From the call to its answer, with every wait for the model; of the last attempt."""
    asked: Sequence[Asked] = ()
    """What the model was asked, also by a call that failed."""


def agent_of(settings: Settings, name: str) -> tuple[Plugin, Agent]:
    """Import the plugin of an agent and return both.

    Raises:
        ConfigError: no plugin that this interpreter has installed has such an agent, or its plugin cannot be used.
    """
    known: dict[str, tuple[Plugin, Agent]] = {}
    broken: list[str] = []
    found = plugins()
    for plugin in sorted(found, key=lambda one: one.name != name):
        try:
            known |= {agent.name: (plugin, agent) for agent in load_agents(plugin.name)}
        except ConfigError as error:
            broken.append(str(error))
        if name in known:
            return known[name]
    elsewhere = sorted({plugin.name for plugin in plugins(settings)} - {plugin.name for plugin in found})
    lines = [f"There is no agent {name!r} here. Choose one of: {', '.join(sorted(known)) or 'none'}.", *broken]
    if elsewhere:
        lines.append(f"In interpreters of their own, where it must be run from: {', '.join(elsewhere)}.")
    raise ConfigError("\n".join(lines))


@asynccontextmanager
async def model(settings: Settings) -> AsyncIterator[Client | None]:
    """Give the way to the model while the block lasts; None where none is configured.

    The server remembers nothing of it that the site asks, and nothing of an earlier evaluation: runs begin alike.
    """
    if not settings.llm.url:
        yield None
        return
    client = Client(settings.llm, secrets.token_hex(16))
    try:
        yield client
    finally:
        await client.close()


async def run(
    agent: Agent, samples: Sequence[Sample], settings: Settings, client: Client | None, progress: Progress
) -> list[Result]:
    """Call the agent on every case; return what came of them in the order of the cases.

    Raises:
        ConfigError: the agent refuses its settings.
    """
    places = asyncio.Semaphore(AHEAD * settings.llm.concurrency if client is not None else 1)
    done = 0

    async def one(sample: Sample) -> Result:
        nonlocal done
        async with places:
            result = await _called(agent, sample, settings, client)
            done += 1
            progress(done, len(samples))
            return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(sample)) for sample in samples]
    except* ConfigError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _called(agent: Agent, sample: Sample, settings: Settings, client: Client | None) -> Result:
    """Call the agent until it need not be called later, as often as the bus would."""
    asked: list[Asked] = []
    for attempt in range(1, settings.retry.attempts + 1):
        questions = _questions(agent, sample, settings, client)
        begun = time.perf_counter()
        said, failed, later = await _answered(agent, sample, settings, questions)
        seconds = time.perf_counter() - begun
        asked += questions.llm.asked if questions is not None else []
        if not later or attempt == settings.retry.attempts:
            return Result(sample, said, failed, seconds, asked)
        await asyncio.sleep(settings.retry.wait_s(attempt))
    raise AssertionError("a call is attempted once at least")


async def _answered(
    agent: Agent, sample: Sample, settings: Settings, questions: Questions | None
) -> tuple[Assessment | None, str, bool]:
    """Return the answer, why there is none, and whether the agent asks to be called later."""
    reply = await answer(agent, _call(agent, sample, settings, questions), questions.llm if questions else None)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError  # the answer took it for the agent's own failure
    try:
        checked = Reply.model_validate_json(reply.model_dump_json())
        most = settings.agent(agent.name).max_proposals
        return judged(declared(agent), checked, most, sample.chart, sample.coverage, questions), "", False
    except ConfigError as error:
        raise ConfigError(f"agents.{agent.name}.settings: {error}", code=error.code) from None
    except RetryLater as error:
        return None, error.code, True
    except BusError as error:
        return None, error.code, False
    except ValueError:  # models can be made without being checked
        return None, "bad_answer", False


def _call(agent: Agent, sample: Sample, settings: Settings, questions: Questions | None) -> Call:
    its = settings.agent(agent.name)
    seen = project(Case(None, sample.chart, sample.chart.now), agent.grants)
    return Call(
        id=0,
        agent=agent.name,
        event=None,
        chart=seen.chart,
        now=seen.now,
        settings=its.settings,
        terms=str(settings.terms_file.absolute()),
        max_proposals=its.max_proposals,
        llm=questions is not None,
        coverage=sample.coverage,
    )


def _questions(agent: Agent, sample: Sample, settings: Settings, client: Client | None) -> Questions | None:
    if client is None:
        return None
    chart = sample.chart.project(agent.grants)
    its = settings.agent(agent.name)
    return Questions(
        CaseLLM(client, agent.name, lambda: chart, sample.chart.now, model=its.model, priority=Priority.BACKFILL)
    )
