"""From mentions to a set of codes: which are assigned, in which order and role, and how sure that is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hisbus.terms import Concept, Release, plain
from hisbus_coding.context import DATA
from hisbus_coding.mentions import Mention
from hisbus_coding.retrieval import SURE, Candidate
from hisbus_coding.verify import Doubt, Found, Rejected, Verdict
from hisbus_schemas import Evidence

Role = Literal["principal", "other", "operation", "complication"]

_SPANS = 5
"""Most evidence for one code."""
_PASSING = 0.7
_NOT_AT_DISCHARGE = 0.85
_CHRONIC = 0.9
_PLACE = {"discharge": 0, "final": 1, "complication": 2, "list": 3, "working": 4, "admission": 5, "admitting": 6}
_AT_DISCHARGE = frozenset({"discharge", "final", "complication"})
_AT_ADMISSION = frozenset({"admission", "admitting"})
_ADMISSION_NOTES = frozenset({"C0034", "C0037", "34117-2"})
_SIGNS = "R"
_NO_DISEASE = frozenset("RVWXYZU")
"""Chapters whose names in running text are no diagnoses: signs, external causes, reasons for contact."""
_OPEN_CAUSE = "待查"


@dataclass(frozen=True, slots=True)
class Coded:
    """One code of a set."""

    code: str
    display: str
    concept: Concept | None
    """None: the table does not have it."""
    role: Role
    rank: int
    evidence: tuple[Evidence, ...] = ()
    reads: frozenset[str] = frozenset()
    confidence: float = 1.0
    method: str = "recorded"
    alternatives: tuple[Candidate, ...] = ()
    assumed: tuple[str, ...] = ()
    poa: Literal["", "Y"] = ""
    """``Y``: documented at admission. Empty: not known."""
    verdict: Verdict = ""
    doubt: Doubt | None = None


@dataclass(slots=True)
class _Pile:
    """All that speaks for one code."""

    candidate: Candidate
    mentions: list[Mention] = field(default_factory=list)
    alternatives: dict[str, Candidate] = field(default_factory=dict)
    confidence: float = 0.0
    verdict: Verdict = "confirmed"
    """The gravest of its mentions."""
    doubt: Doubt | None = None


def choose(found: Iterable[Found]) -> list[Coded]:
    """Return the codes of the diagnoses that are documented as being there, the principal one first."""
    piles: dict[str, _Pile] = {}
    for item in found:
        certain = certainty(item)
        if certain == 0:
            continue
        first, *others = item.candidates
        pile = piles.setdefault(first.code, _Pile(first))
        pile.mentions.append(item.mention)
        pile.confidence = max(pile.confidence, round(first.score * certain * item.trust, 4))
        pile.alternatives |= {other.code: other for other in others}
        pile.verdict = max(pile.verdict, item.verdict, key=_GRAVITY.index)
        pile.doubt = pile.doubt or item.doubt
    ordered = sorted(_without_general(piles), key=lambda pile: min(map(_place, pile.mentions)))
    return [_coded(pile, rank) for rank, pile in enumerate(ordered, 1)]


def unmatched(found: Iterable[Found]) -> list[Found]:
    """Return listed diagnoses for which no candidate is sure enough: the coder's to choose."""
    return [
        item
        for item in found
        if item.mention.listed
        and item.mention.status == "asserted"
        and (not item.candidates or item.candidates[0].score < SURE)
    ]


def certainty(item: Found) -> float:
    """Return how far a mention speaks for its first candidate as a current diagnosis, 0 to 1; 0: it is not coded."""
    if not item.candidates or item.candidates[0].score < SURE:
        return 0.0
    return _certainty(item.mention, item.candidates[0])


_GRAVITY: tuple[Verdict, ...] = ("confirmed", "", "uncertain", "disputed")
"""Of several verdicts on one code the gravest stands."""


def _certainty(mention: Mention, candidate: Candidate) -> float:
    chronic = mention.status == "history" and plain(candidate.code).startswith(tuple(DATA["chronic"]["codes"]))
    own_cause = mention.cue == _OPEN_CAUSE and candidate.code.startswith(_SIGNS)
    if mention.status == "history" and mention.listed and candidate.method != "search":
        return 1.0  # the table has a code for the state after a disease
    if mention.status != "asserted" and not chronic and not own_cause:
        return 0.0
    if not mention.listed:
        named = candidate.method != "search" and candidate.code[0].upper() not in _NO_DISEASE
        return (_CHRONIC if chronic else 1.0) * _PASSING if named else 0.0
    return _NOT_AT_DISCHARGE if mention.heading in _AT_ADMISSION else 1.0


def _without_general(piles: dict[str, _Pile]) -> list[_Pile]:
    """Leave out what was named earlier or in passing where a code of its category is listed at discharge or at all.

    It is the same disease, said shorter or before it was known better.
    """
    best: dict[str, int] = defaultdict(lambda: _IN_PASSING)
    for code, pile in piles.items():
        best[plain(code)[:3]] = min(best[plain(code)[:3]], _weight(pile))
    return [pile for code, pile in piles.items() if _weight(pile) == best[plain(code)[:3]]]


_IN_PASSING = 2


def _weight(pile: _Pile) -> int:
    """Return by what a code is documented: 0 a list of the discharge, 1 another list, 2 running text."""
    if any(mention.heading in _AT_DISCHARGE for mention in pile.mentions):
        return 0
    return 1 if any(mention.listed for mention in pile.mentions) else _IN_PASSING


def _place(mention: Mention) -> tuple[int, int, str, int, int]:
    """Order mentions: discharge lists first, by their ranks; then other lists; then running text."""
    at = _PLACE.get(mention.heading, len(_PLACE))
    filed = mention.document.filed.at.isoformat() if mention.document is not None else ""
    return at, mention.rank or 999, filed, mention.section, mention.begin


def _coded(pile: _Pile, rank: int) -> Coded:
    mentions = sorted(pile.mentions, key=_place)
    role: Role = "principal" if rank == 1 else "other"
    if mentions[0].heading == "complication":
        role = "complication"
    return Coded(
        code=pile.candidate.code,
        display=pile.candidate.display,
        concept=pile.candidate.concept,
        role=role,
        rank=rank,
        evidence=tuple(mention.evidence() for mention in mentions[:_SPANS]),
        reads=frozenset(mention.ref for mention in mentions),
        confidence=pile.confidence,
        method=pile.candidate.method,
        alternatives=tuple(sorted(pile.alternatives.values(), key=lambda other: (-other.score, other.code))[:9]),
        assumed=pile.candidate.assumed,
        poa="Y" if any(map(_at_admission, mentions)) else "",
        verdict=pile.verdict,
        doubt=pile.doubt,
    )


def _at_admission(mention: Mention) -> bool:
    noted = mention.document is not None and mention.document.type.code in _ADMISSION_NOTES
    return mention.heading in _AT_ADMISSION or noted


def payload(codes: Sequence[Coded], diagnoses: Release, procedures: Release | None) -> list[dict[str, object]]:
    """Return the codes as a proposal's payload carries them, each with the table that it is of."""
    return [
        {
            "code": coded.code,
            "system": table.system,
            "version": table.version,
            "display": coded.display,
            "role": coded.role,
            "rank": coded.rank,
            "poa": coded.poa,
            "evidence": [item.model_dump(mode="json", exclude_none=True) for item in coded.evidence],
            "confidence": coded.confidence,
            "method": coded.method,
            "assumed": list(coded.assumed),
            "alternatives": offered(coded.alternatives),
            "verified": coded.verdict,
            **_doubted(coded.doubt),
        }
        for coded in codes
        for table in [procedures if procedures is not None and coded.role == "operation" else diagnoses]
    ]


def rejections(rejected: Iterable[Rejected]) -> list[dict[str, object]]:
    """Return what a verifier took away, as a payload carries it: the code, where it was named, why it is not there."""
    return [
        {
            "code": one.candidate.code,
            "display": one.candidate.display,
            "evidence": [
                mention.evidence().model_dump(mode="json", exclude_none=True) for mention in one.mentions[:_SPANS]
            ],
            **_doubted(one.doubt),
        }
        for one in rejected
    ]


def _doubted(doubt: Doubt | None) -> dict[str, object]:
    if doubt is None:
        return {}
    words = [item.model_dump(mode="json", exclude_none=True) for item in doubt.evidence]
    return {"doubt": {"reason": doubt.reason.model_dump(), "evidence": words}}


def offered(candidates: Iterable[Candidate]) -> list[dict[str, object]]:
    """Return candidates as a payload carries them."""
    return [{"code": one.code, "display": one.display, "score": one.score, "method": one.method} for one in candidates]
