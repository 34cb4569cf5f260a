"""Conversations of a HIS with what must be found after them. Reading them, and comparing with what was found.

A conversation is two files. ``NAME.hl7`` holds messages in the order in which they arrive; the connector that takes
them knows how such a file is split. ``NAME.json`` holds ``steps``: what is so once the first ``after`` messages were
taken and nothing is left to do.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.kernel.states import Proposed
from hisbus_schemas import Chart

COMPARED = frozenset({"R01", "R02", "R10", "R13", "R27", "R45", "R48"})
"""Rules whose open findings are always compared. Those that a conversation names, or has in ``rules``, come on top."""
TAKEN = frozenset({"AA", "CA", ""})
"""Acknowledgements of a message that was taken; empty: none was wanted."""
COUNTED = frozenset({"draft", "signed"})
"""Statuses of documents that are not withdrawn or replaced."""


class _Table(BaseModel):
    # What is not understood would not be compared, so it is refused.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Facts(_Table):
    """What a stay's chart must say. What is left out is not compared."""

    visit: str = "V1"
    status: str | None = None
    patient: str | None = None
    """The number."""
    name: str | None = None
    ward: str | None = None
    documents: int | None = None
    """How many count: not those that were withdrawn or replaced."""


class Step(_Table):
    """What is so after some messages. Findings are written ``VISIT RULE``, or ``VISIT RULE STATE``."""

    after: int = Field(ge=0)
    """How many messages, counted from the first."""
    open: list[str]
    """Every open finding of the rules that are compared."""
    not_open: list[str] = []
    """Findings that were open and must have closed by themselves."""
    duplicates: int | None = None
    chart: Facts | None = None
    acks: list[str] | None = None
    """How the messages since the step before are answered (HL7 v2 MSA-1); left out: each is taken."""


class _Written(_Table):
    title: str = ""
    rules: list[str] = []
    steps: list[Step] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation."""

    name: str
    title: str
    messages: Sequence[bytes]
    steps: Sequence[Step]
    rules: frozenset[str]
    """The rules whose findings are compared."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as it stands."""

    visit: str
    rule: str
    state: str
    status: str
    due: datetime | None = None
    documents: tuple[str, ...] = ()
    """Numbers of the documents that it rests on."""

    def named(self, like: str) -> str:
        """Return its name, with its state if the other has one."""
        return " ".join([self.visit, self.rule, self.state][: len(like.split())])


Split = Callable[[bytes], Sequence[bytes]]
"""Returns the messages of a file: ``Connector.split``."""


def read_all(paths: Sequence[Path], split: Split) -> list[Conversation]:
    """Read the conversations of files and folders; of a file either half may be named.

    Raises:
        ConfigError: names what is wrong with the first conversation that cannot be read, or there is none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        halves = sorted([*path.glob("*.json"), *path.glob("*.hl7")]) if path.is_dir() else [path]
        if not halves:
            raise ConfigError(f"There is no conversation in {path}. A conversation is NAME.hl7 with NAME.json.")
        found |= dict.fromkeys(half.with_suffix(".json") for half in halves)
    return [read(path, split) for path in found]


def read(path: Path, split: Split) -> Conversation:
    """Read one conversation by its ``.json``.

    Raises:
        ConfigError: it cannot be read; names what is wrong.
    """
    for half, other in ((path, path.with_suffix(".hl7")), (path.with_suffix(".hl7"), path)):
        if other.exists() and not half.exists():
            raise ConfigError(
                f"{other} has no {half.name} beside it: a conversation is NAME.hl7 with NAME.json, which says what must"
                " be found. Write it, or take the file out."
            )
    try:
        said, spoken = path.read_text(encoding="utf-8"), path.with_suffix(".hl7").read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The conversation {path} cannot be read. It is NAME.hl7 with NAME.json, which is in UTF-8."
        ) from error
    try:
        written = _Written.model_validate(json.loads(said))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: it is no valid JSON ({error.msg}, column {error.colno}).") from error
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        lines = (": ".join(filter(None, (str(path), ".".join(map(str, one["loc"])), one["msg"]))) for one in mistakes)
        raise ConfigError("\n".join(lines)) from error
    messages = split(spoken)
    ends = [step.after for step in written.steps]
    if ends != sorted(ends) or ends[-1] > len(messages):
        raise ConfigError(f"{path}: steps: `after` must rise, up to the {len(messages)} messages that there are.")
    names = [name for step in written.steps for name in (*step.open, *step.not_open)]
    if wrong := [name for name in names if len(name.split()) not in {2, 3}]:
        raise ConfigError(f"{path}: {wrong[0]!r} is no finding. Write VISIT RULE, or VISIT RULE STATE.")
    rules = COMPARED | set(written.rules) | {name.split()[1] for name in names}
    return Conversation(path.stem, written.title, messages, written.steps, rules)


def acks_differ(step: Step, first: int, answers: Sequence[str]) -> Iterator[str]:
    """Yield how answers differ from what a step says of them. ``first``: number of the first message, from 1."""
    expected: Sequence[str | None] = step.acks if step.acks is not None else [None] * len(answers)
    if len(expected) != len(answers):
        yield f"{len(expected)} acks are expected for {len(answers)} messages"
        return
    for number, (wanted, answer) in enumerate(zip(expected, answers, strict=True), first):
        if answer != wanted if wanted is not None else answer not in TAKEN:
            yield f"message {number} was answered {answer or 'with nothing'}, expected {wanted or 'AA or CA'}"


def findings_differ(conversation: Conversation, step: Step, findings: Sequence[Found]) -> Iterator[str]:
    """Yield how findings differ from what a step expects."""
    compared = [found for found in findings if found.rule in conversation.rules]
    live = [found for found in compared if found.status == Proposed.OPEN]
    wanted = Counter(" ".join(name.split()[:2]) for name in step.open)
    there = Counter(found.named("VISIT RULE") for found in live)
    for name, number in (wanted - there).items():
        yield f"{name} was expected and is not open{_times(number)}"
    for name, number in (there - wanted).items():
        told = "; ".join(filter(None, (_told(found) for found in live if found.named(name) == name)))
        yield f"{name} is open and was not expected{_times(number)}{f' ({told})' if told else ''}"
    for name in step.open:
        states = [found.state or "none" for found in live if found.named("VISIT RULE") == " ".join(name.split()[:2])]
        if states and not any(found.named(name) == name for found in live):
            yield f"{name} was expected, its state is {', '.join(states)}"
    for name in step.not_open:
        named = [found for found in compared if found.named(name) == name]
        if not named:
            yield f"{name} should have closed, and was never found"
        elif any(found.status == Proposed.OPEN for found in named):
            yield f"{name} should have closed, and is open"


def facts_of(chart: Chart) -> dict[str, str | int]:
    """Return what a chart says of everything that can be expected of one."""
    return {
        "status": chart.status,
        "patient": chart.patient.id.number if chart.patient else "",
        "name": chart.patient.name if chart.patient else "",
        "ward": chart.location.ward,
        "documents": sum(document.status in COUNTED for document in chart.documents),
    }


def facts_differ(expected: Facts, there: Mapping[str, str | int]) -> Iterator[str]:
    """Yield how the facts of a chart differ from what is expected; a name is not shown. No facts: there is no chart."""
    if not there:
        yield f"there is no chart of {expected.visit}"
        return
    for name, value in expected.model_dump(exclude={"visit"}, exclude_none=True).items():
        if there[name] != value:
            shown = "is another" if name == "name" else f"is {there[name]}, expected {value}"
            yield f"chart of {expected.visit}: {name} {shown}"


def _times(number: int) -> str:
    return f", {number} times" if number > 1 else ""


def _told(found: Found) -> str:
    """Return what helps to understand a finding that nobody expected."""
    due = f"due {found.due.isoformat(timespec='minutes')}" if found.due else ""
    documents = f"documents {', '.join(found.documents)}" if found.documents else ""
    return ", ".join(filter(None, (found.state, due, documents)))
