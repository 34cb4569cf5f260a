"""What agents say of themselves, short enough to stand beside their findings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hisbus_bus.flow.review.notes import Said
from hisbus_schemas import Asked, Text, Unevaluated, UnevaluatedReason

ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Model:
    """All questions to one model."""

    name: str
    prompts: Sequence[str]
    """Versions of the prompts."""
    questions: int
    failed: Sequence[tuple[str, int]]
    """Why how many were not answered, as stable codes."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """What one agent says of its newest assessment."""

    agent: str
    reasons: Sequence[tuple[UnevaluatedReason, Text, Sequence[str]]]
    """Why which rules could not be judged of this stay. What the site does not have is said on the page of rules."""
    not_connected: int
    """Rules that need what the site does not have."""
    unverified: int
    models: Sequence[Model]


def lines(said: Iterable[Said]) -> list[Line]:
    """Return a line for each agent that has something to say of itself."""
    return [
        Line(
            one.agent,
            _reasons(own(one)),
            len(one.notes.unevaluated) - len(own(one)),
            one.notes.unverified,
            _models(one.notes.asked),
        )
        for one in said
        if one.notes.unevaluated or one.notes.unverified or one.notes.asked
    ]


def own(said: Said) -> list[Unevaluated]:
    """Return what could not be judged for a reason of the stay's own."""
    return [one for one in said.notes.unevaluated if one.reason != "not_connected"]


def _reasons(unevaluated: Iterable[Unevaluated]) -> list[tuple[UnevaluatedReason, Text, Sequence[str]]]:
    reasons: dict[tuple[UnevaluatedReason, str, str], list[str]] = defaultdict(list)
    for one in sorted(unevaluated, key=lambda one: one.rule):
        reasons[one.reason, one.text.zh, one.text.en].append(one.rule)
    return [(reason, Text(zh=zh, en=en), rules) for (reason, zh, en), rules in reasons.items()]


def _models(asked: Iterable[Asked]) -> list[Model]:
    by_name: dict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        by_name[one.model].append(one)
    return [
        Model(
            name=name,
            prompts=sorted({one.prompt for one in all_}),
            questions=len(all_),
            failed=sorted(Counter(one.outcome for one in all_ if one.outcome != ANSWERED).items()),
            prompt_tokens=sum(one.prompt_tokens for one in all_),
            cached_tokens=sum(one.cached_tokens for one in all_),
            completion_tokens=sum(one.completion_tokens for one in all_),
            seconds=sum(one.seconds for one in all_),
        )
        for name, all_ in sorted(by_name.items())
    ]
