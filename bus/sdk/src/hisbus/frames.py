"""What passes between a plugin's process and the bus: frames of four bytes of length (big endian) and JSON.

The child speaks first (``Hello``); then every ``Call`` gets one ``Reply``, in any order. While a call lasts the child
may ask the model: every ``Ask`` gets one ``Answer``, in any order, unless the child takes it back (``Unask``). A call
that says ``llm: false`` must not ask, so a bus that knows no ``Ask`` never gets one. A remote agent's service says and
hears the same JSON in Kafka records; it has no model to ask.

A child that says that it ``keeps`` charts hears lists of frames, and of a chart that it was sent before no more than
what changed (``Rows``). Where it has lost that, it asks for the ``Whole`` of the call's chart.
"""

import struct
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter

from hisbus.names import Grants, Kind, Rule, Version, Word
from hisbus_schemas import (
    EVERY_OTHER,
    Assessment,
    Chart,
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartMove,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    ChartUnknown,
    Contract,
    Coverage,
    Entry,
    Event,
    Instant,
    Need,
    Proposal,
    RuleInfo,
)

LENGTH = struct.Struct(">I")

E = TypeVar("E", bound=Entry)
Changed = list[tuple[str, str, int, list[E]]]
"""Of each stored entry that changed: its id, its place in the list, its digest, and what it shows there now."""


class AgentInfo(Contract):
    """What an agent declares. Its words name groups, metrics and addresses, so they are checked here again."""

    name: Word
    version: Version
    kinds: Annotated[frozenset[Kind], Field(max_length=1000)]
    grants: Grants
    latest_only: bool = False
    """When several events of a stay wait, one call with the newest chart will do."""
    asks: bool = False
    """It asks the model."""
    needs: Annotated[dict[Rule, tuple[Need, ...]], Field(max_length=10_000)] = {}
    """What each rule needs of the record, by rule; ``EVERY_OTHER`` is any that is not named."""
    rules: Annotated[dict[Rule, RuleInfo], Field(max_length=10_000)] = {}
    """What the page of rules calls each, and its source; one that is not named is shown by its name."""
    sources: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the files that it goes by: its package's code, rules and prompts. Empty: not known."""

    def needs_of(self, rule: str) -> tuple[Need, ...]:
        """Return what a rule needs."""
        return self.needs.get(rule, self.needs.get(EVERY_OTHER, ()))


class Hello(Contract):
    """The first frame of a child: its agents, or why there are none."""

    type: Literal["hello"] = "hello"
    api: Annotated[str, Field(pattern=r"^\d{1,4}\.\d{1,4}$")]
    """The API's version where the plugin is installed."""
    agents: Annotated[list[AgentInfo], Field(max_length=100)] = []
    failure: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""
    keeps: bool = False
    """It keeps the charts that it was sent."""


class Call(Contract):
    """One case for one agent."""

    type: Literal["call"] = "call"
    id: int
    agent: str
    event: Event | None
    chart: Chart
    now: Instant
    proposals: list[Proposal] = []
    settings: dict[str, Any] = {}
    terms: str = ""
    """Path of the site's file of terminologies."""
    max_proposals: int
    release: str = ""
    """The release that the agent goes by in this call."""
    coverage: Coverage = Coverage()
    """What the site's feeds bring."""
    llm: bool = False
    """Whether there is a model to ask."""
    model: str = ""
    """Its name."""


class Rows(Contract):
    """The lists of a chart, as far as they were granted: what changed since the version that was sent last."""

    base: int | None
    """That version; None: this is all of it."""
    digest: int
    """Of all rows once these are taken in: their own, joined by exclusive or."""
    size: int
    """About how many bytes all of them are."""
    documents: Changed[ChartDocument] = []
    diagnoses: Changed[ChartDiagnosis] = []
    procedures: Changed[ChartProcedure] = []
    orders: Changed[ChartOrder] = []
    results: Changed[ChartReading] = []
    vitals: Changed[ChartReading] = []
    charges: Changed[ChartCharge] = []
    allergies: Changed[ChartAllergy] = []
    administrations: Changed[ChartAdministration] = []
    moves: Changed[ChartMove] = []
    unknown: Changed[ChartUnknown] = []


class KeptCall(Call):
    """One case for one agent of a process that keeps charts."""

    rows: Rows | None = None
    """Set: the chart comes without its lists, which are these laid over what is kept. None: it is whole."""


class Whole(Contract):
    """What the rows of a call are to be laid over is not kept: send its chart whole."""

    type: Literal["whole"] = "whole"
    call: int


class Ask(Contract):
    """A question to the model about the chart of a call. The bus adds the chart: the child cannot choose another."""

    type: Literal["ask"] = "ask"
    call: int
    id: int
    system: Annotated[str, Field(max_length=50_000)]
    question: Annotated[str, Field(max_length=200_000)]
    answer: dict[str, Any]
    """JSON Schema of the answer's form."""
    only: Annotated[frozenset[str], Field(max_length=10_000)] | None = None


class Unask(Contract):
    """The agent no longer waits for an answer."""

    type: Literal["unask"] = "unask"
    call: int
    id: int


class Answer(Contract):
    """The model's answer, of the form that was asked for; or which error to raise, with its code."""

    type: Literal["answer"] = "answer"
    id: int
    value: Any = None
    failure: Literal["", "retry_later", "not_evaluated", "config"] = ""
    code: str = ""


class Reply(Contract):
    """The answer to one call: an assessment, or the code of a failure and the hash of where it arose."""

    type: Literal["reply"] = "reply"
    id: int
    assessment: Assessment | None = None
    failure: Literal[
        "",
        "retry_later",
        "config",
        "not_evaluated",
        "agent_raised",
        "bad_answer",
        "too_many_proposals",
        "answer_too_large",
        "unreadable",
    ] = ""
    said: Annotated[str, Field(max_length=500)] = ""
    """What the agent says of its settings; only where there is no event, so that no patient can be in it."""
    stack: Annotated[str, Field(pattern=r"^[0-9a-f]{0,16}$")] = ""


FROM_CHILD: TypeAdapter[Reply | Ask | Unask | Whole] = TypeAdapter(
    Annotated[Reply | Ask | Unask | Whole, Field(discriminator="type")]
)
FROM_PARENT: TypeAdapter[KeptCall | Answer] = TypeAdapter(Annotated[KeptCall | Answer, Field(discriminator="type")])
MANY_FROM_PARENT: TypeAdapter[list[KeptCall | Answer]] = TypeAdapter(
    list[Annotated[KeptCall | Answer, Field(discriminator="type")]]
)


def pack(frame: Contract) -> bytes:
    """Return the bytes of a frame."""
    return framed(frame.model_dump_json())


def pack_many(frames: Iterable[str]) -> bytes:
    """Return the bytes of a list of frames that are JSON already."""
    return framed(f"[{','.join(frames)}]")


def unpack(frame: bytes) -> list[KeptCall | Answer]:
    """Return what the parent says with one frame: a list, or one thing.

    Raises:
        ValidationError: it is neither.
    """
    return MANY_FROM_PARENT.validate_json(frame) if frame[:1] == b"[" else [FROM_PARENT.validate_json(frame)]


def numbered(id: int, call: str) -> str:
    """Return a ``Call`` that is JSON already, all but its type and id, with them."""
    return f'{{"type":"call","id":{id},{call[1:]}'


def framed(text: str) -> bytes:
    """Return the bytes of a frame that is JSON already."""
    body = text.encode()
    return LENGTH.pack(len(body)) + body
