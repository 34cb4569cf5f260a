"""Between retrieval and the choice of codes: where a model may confirm, doubt or reject what was retrieved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, Protocol

from hisbus import Case
from hisbus.terms.words import key, short
from hisbus_coding.mentions import Mention, inside
from hisbus_coding.retrieval import MOST, SURE, Candidate, Retrieval, sides
from hisbus_schemas import Code, Evidence, Text

Verdict = Literal["", "confirmed", "uncertain", "disputed"]
"""What a verifier makes of a mention's first candidate; empty: nothing."""

NO_MODEL = Text(
    zh="未配置模型：编码未经模型核对。", en="No model is configured: the codes were not verified by a model."
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a verifier takes a code for wrong, and the words it says so by."""

    reason: Text
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A mention with the codes that it may stand for, the likeliest first; empty where nothing fits."""

    mention: Mention
    candidates: Sequence[Candidate]
    verdict: Verdict = ""
    trust: float = 1.0
    """By how much the verdict lowers the confidence, 0 to 1."""
    doubt: Doubt | None = None
    """Of a disputed one."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A code that was retrieved and is not proposed, because a verifier says so. A person sees both."""

    candidate: Candidate
    mentions: tuple[Mention, ...]
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found, as far as it stands."""

    found: Sequence[Found]
    rejected: Sequence[Rejected] = ()
    unverified: int = 0
    """Verdicts that count for nothing, for the words they rest on do not name the diagnosis."""
    by_model: bool = False
    """Whether a model gave any answer."""
    open: Text | None = None
    """Why not everything was verified; None: it was."""


class Verifier(Protocol):
    """Confirms candidates. It may remove a mention or prefer another of its candidates; it never adds a code."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Verified:
        """Return what was found, as far as it stands.

        Raises:
            RetryLater: it cannot tell now; the agent is called again later.
        """
        ...


class AsRetrieved:
    """Takes every candidate as it was retrieved: what is done without a model."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Verified:
        """Return what was found."""
        return Verified(found, open=NO_MODEL)


def found(mention: Mention, retrieval: Retrieval, owns: Callable[[Code], bool]) -> list[Found]:
    """Return a mention with its candidates; the known names inside it, where it is not known as a whole.

    Args:
        mention: of a diagnosis.
        retrieval: of the table that is coded with.
        owns: tells whether a recorded code is one of that table.
    """
    if mention.status in {"negated", "family", "hypothetical"}:
        return [Found(mention, ())]
    whole = _candidates(mention, retrieval, owns)
    if whole and whole[0].score >= SURE:
        return [Found(mention, whole)]
    halves = [retrieval.candidates(half) for half in sides(mention.text)]
    if mention.listed and halves and all(half and half[0].score >= SURE for half in halves):
        return [Found(mention, half) for half in halves]
    parts = inside(mention, retrieval.terms, retrieval.release) if mention.listed else []
    return [Found(part, _joined(retrieval.candidates(part.text), whole)) for part in parts] or [Found(mention, whole)]


def as_recorded(found: Sequence[Found]) -> list[Found]:
    """Return what was found with the code that somebody recorded for the same words as a final diagnosis in front."""
    recorded = {
        key(short(item.mention.text)): item.candidates[0]
        for item in found
        if item.mention.heading == "final" and item.candidates and item.candidates[0].method == "recorded"
    }
    return [
        replace(item, candidates=_joined([its], item.candidates))
        if item.mention.document is not None and (its := recorded.get(key(short(item.mention.text)))) is not None
        else item
        for item in found
    ]


def _candidates(mention: Mention, retrieval: Retrieval, owns: Callable[[Code], bool]) -> list[Candidate]:
    found = retrieval.candidates(mention.text) if mention.text else []
    code = mention.entry.code if mention.entry is not None else None
    recorded = retrieval.recorded(code.code) if code is not None and code.code and owns(code) else None
    return found if recorded is None or not recorded.concept.usable else _joined([recorded], found)


def _joined(first: Sequence[Candidate], others: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates of two sources in turn, the first one's first, each code once, as many as there may be."""
    codes: dict[str, Candidate] = {}
    for pair in zip_longest(first, others):
        for candidate in pair:
            if candidate is not None:
                codes.setdefault(candidate.code, candidate)
    return list(codes.values())[:MOST]
