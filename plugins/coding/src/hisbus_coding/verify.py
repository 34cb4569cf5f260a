"""Between retrieval and the choice of codes: where a model may confirm, reorder or reject candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

from hisbus import Case
from hisbus_coding.mentions import Mention, inside
from hisbus_coding.retrieval import MOST, SURE, Candidate, Retrieval


@dataclass(frozen=True, slots=True)
class Found:
    """A mention with the codes that it may stand for, the likeliest first; empty where nothing fits."""

    mention: Mention
    candidates: Sequence[Candidate]


class Verifier(Protocol):
    """Confirms candidates. It may reorder or remove them and change a mention's status; it never adds a code."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Sequence[Found]:
        """Return what was found, as far as it stands.

        Raises:
            RetryLater: it cannot tell now; the agent is called again later.
        """
        ...


class AsRetrieved:
    """Takes every candidate as it was retrieved: what is done without a model."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Sequence[Found]:
        """Return what was found."""
        return found


def found(mention: Mention, retrieval: Retrieval) -> list[Found]:
    """Return a mention with its candidates; the known names inside it, where it is not known as a whole."""
    if mention.status in {"negated", "family", "hypothetical"}:
        return [Found(mention, ())]
    whole = _candidates(mention, retrieval)
    if whole and whole[0].score >= SURE:
        return [Found(mention, whole)]
    parts = inside(mention, retrieval.terms, retrieval.release) if mention.listed else []
    return [Found(part, _joined(retrieval.candidates(part.text), whole)) for part in parts] or [Found(mention, whole)]


def _candidates(mention: Mention, retrieval: Retrieval) -> list[Candidate]:
    found = retrieval.candidates(mention.text) if mention.text else []
    entry = mention.entry
    recorded = retrieval.recorded(entry.code.code) if entry is not None and entry.code.code else None
    return found if recorded is None or not recorded.concept.usable else _joined([recorded], found)


def _joined(first: Sequence[Candidate], others: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates of two sources in turn, the first one's first, each code once, as many as there may be."""
    codes: dict[str, Candidate] = {}
    for pair in zip_longest(first, others):
        for candidate in pair:
            if candidate is not None:
                codes.setdefault(candidate.code, candidate)
    return list(codes.values())[:MOST]
