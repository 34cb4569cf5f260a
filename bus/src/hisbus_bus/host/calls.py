"""What goes to an agent and what comes back, wherever it runs: the call, its questions to the model, its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import to_json

from hisbus.agent import Case
from hisbus.errors import BusError, CallFailed, ConfigError, NotEvaluated, RetryLater
from hisbus.frames import AgentInfo, Answer, Ask, Call, Reply
from hisbus.grants import project, project_event
from hisbus_bus.host.connected import judged_by_what_comes
from hisbus_bus.host.llm.case import CaseLLM
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.host.needs import judged_by_what_is_known
from hisbus_bus.host.outgoing import Outgoing
from hisbus_bus.kernel.settings import AgentSettings, Settings
from hisbus_bus.kernel.stored import StoredChart
from hisbus_bus.kernel.telemetry import logger
from hisbus_schemas import Assessment, Chart, ChartUnknown, Coverage

log = logger()

EVERYTHING = Coverage()
"""Where nobody says what the feeds bring."""


class Stay(Protocol):
    """What is asked of a chart."""

    @property
    def department(self) -> str:
        """Where the patient lies, or lay last."""
        ...

    @property
    def unknown(self) -> Sequence[ChartUnknown]:
        """The codes that nobody has answered yet."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case as it is stored, JSON. It is sent on without being read: that is left to the plugin's own process."""

    event: str | None
    chart: StoredChart
    proposals: Sequence[Mapping[str, Any]] = ()
    """Those that other agents have open."""
    release: str = ""
    """That the agent goes by."""
    coverage: Coverage = EVERYTHING
    """What the site's feeds bring."""


class Questions:
    """Answers what one call asks the model."""

    def __init__(self, llm: CaseLLM) -> None:
        self.llm = llm
        self.refused: BusError | None = None
        """Why the last question that failed did. The agent passes on the kind alone; the words are ours."""

    async def __call__(self, ask: Ask) -> Answer:
        """Return the answer, or why there is none."""
        try:
            value = await self.llm.value(system=ask.system, question=ask.question, schema=ask.answer, only=ask.only)
            return Answer(id=ask.id, value=value)
        except RetryLater as error:
            self.refused = error
            return Answer(id=ask.id, failure="retry_later", code=error.code)
        except NotEvaluated as error:
            self.refused = error
            return Answer(id=ask.id, failure="not_evaluated", code=error.code)
        except ConfigError as error:
            self.refused = error
            return Answer(id=ask.id, failure="config", code=error.code)


def questions_of(
    case: Case | StoredCase, info: AgentInfo, settings: Settings, client: Client, priority: Priority
) -> Questions:
    """Return what answers the questions of a call: about what the agent may see of its chart, and nothing else."""
    stored, grants = case.chart, info.grants

    def seen() -> Chart:
        return (stored if isinstance(stored, Chart) else stored.chart()).project(grants)

    now = case.now if isinstance(case, Case) else case.chart.now
    model = settings.agent(info.name).model
    return Questions(CaseLLM(client, info.name, seen, now, model=model, priority=priority))


def call_of(
    case: Case | StoredCase, info: AgentInfo, settings: Settings, *, llm: str = "", terms: str = ""
) -> Outgoing:
    """Return the call of a case: what the agent was granted, and nothing beside it.

    Args:
        case: what it is about.
        info: the agent.
        settings: the site's.
        llm: name of the model that it may ask; empty: there is none.
        terms: path of the site's file of terminologies, where the agent can open it.
    """
    its = settings.agent(info.name)
    beside = {"agent": info.name, "max_proposals": its.max_proposals, "llm": bool(llm), "model": llm, "terms": terms}
    beside["release"] = case.release
    if case.coverage != EVERYTHING:
        beside["coverage"] = case.coverage
    return _stored(case, info, its, beside) if isinstance(case, StoredCase) else _made(case, info, beside)


def judged(
    info: AgentInfo,
    reply: Reply,
    most: int,
    chart: Stay,
    coverage: Coverage = EVERYTHING,
    questions: Questions | None = None,
) -> Assessment:
    """Return what an agent answered, when it is an answer that may go on, without the rules that it could not judge.

    Args:
        info: the agent.
        reply: its answer.
        most: proposals, opinions and wakes that it may have.
        chart: that it was shown: what is unknown of it, and its department.
        coverage: that it was shown: what the feeds bring.
        questions: what the call asked the model.

    Raises:
        CallFailed: it is not; ``code`` says why.
        RetryLater: the agent asks to be called later.
        ConfigError: it refuses its settings.
    """
    refused = questions.refused if questions is not None else None
    if reply.failure == "retry_later":
        raise refused if isinstance(refused, RetryLater) else RetryLater
    if reply.failure == "config":
        raise refused if isinstance(refused, ConfigError) else ConfigError(reply.said)
    if reply.failure:
        log.warning("agent.failed", agent=info.name, code=reply.failure, stack=reply.stack)
        raise CallFailed(code=reply.failure)
    answer = reply.assessment
    if answer is None:
        raise CallFailed(code="bad_answer")
    if max(len(answer.proposals), len(answer.opinions)) > most:
        raise CallFailed(code="too_many_proposals")
    if len(answer.wakes) > most:
        raise CallFailed(code="too_many_wakes")
    if len({proposal.key for proposal in answer.proposals}) != len(answer.proposals):
        raise CallFailed(code="duplicate_key")
    connected = judged_by_what_comes(answer, info, coverage, chart.department)
    known = judged_by_what_is_known(connected, info, chart.unknown)
    return known.model_copy(update={"asked": questions.llm.asked if questions else []})


def _stored(case: StoredCase, info: AgentInfo, its: AgentSettings, beside: dict[str, Any]) -> Outgoing:
    head = beside | {"now": case.chart.now, "settings": its.settings}
    event = "null" if case.event is None else project_event(case.event, info.grants)
    shown = to_json([one for one in case.proposals if f"{one['kind']}s" in info.grants]).decode()
    rest = f'{to_json(head).decode()[:-1]},"event":{event},"proposals":{shown}}}'
    return Outgoing(rest, case.chart, info.grants)


def _made(case: Case, info: AgentInfo, beside: dict[str, Any]) -> Outgoing:
    seen = project(case, info.grants)
    call = Call(
        id=0,
        event=seen.event,
        chart=seen.chart,
        now=seen.now,
        proposals=list(seen.proposals),
        settings=seen.settings,
        **beside,
    )
    rest = call.model_dump_json(exclude={"type", "id", "chart"})
    return Outgoing(rest, seen.chart.model_dump_json(), info.grants)
