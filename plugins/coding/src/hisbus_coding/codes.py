"""A code of a set, and how a proposal's payload carries it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hisbus.terms import Concept, Release
from hisbus_coding.confidence import Band
from hisbus_coding.retrieval import Candidate
from hisbus_coding.verify import Doubt, Rejected, Verdict
from hisbus_schemas import Evidence

Role = Literal["principal", "other", "operation", "complication"]

SPANS = 5
"""Most evidence for one code."""


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
    band: Band = "high"
    listed: bool = True
    """Whether a list of diagnoses names it."""
    method: str = "recorded"
    alternatives: tuple[Candidate, ...] = ()
    assumed: tuple[str, ...] = ()
    poa: Literal["", "Y"] = ""
    """``Y``: documented at admission. Empty: not known."""
    verdict: Verdict = ""
    doubt: Doubt | None = None


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
            "band": coded.band,
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
                mention.evidence().model_dump(mode="json", exclude_none=True) for mention in one.mentions[:SPANS]
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
