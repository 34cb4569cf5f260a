"""From mentions to codes: which diagnoses are documented as being there, in which order and role, and how surely."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hisbus.terms import plain
from hisbus_coding.codes import SPANS, Coded, Role
from hisbus_coding.confidence import Place, band, confidence
from hisbus_coding.context import DATA
from hisbus_coding.families import combined, said_better
from hisbus_coding.mentions import TOPIC, Mention
from hisbus_coding.passages import SAID
from hisbus_coding.retrieval import SURE, Candidate, Retrieval
from hisbus_coding.verify import Doubt, Found, Verdict

_CONFIRMED = 0.65
"""Least confidence of what a verifier confirms: it is proposed."""
_ORDER: tuple[Place, ...] = ("encounter", "discharge", "list", "admission", "alone", "said", "beside")
_AT_DISCHARGE = frozenset({"discharge", "final", "complication"})
_AT_ADMISSION = frozenset({"admission", "admitting", "working"})
_WITHIN = {"discharge": 0, "final": 1, "complication": 2, "list": 3, TOPIC: 4}
_ADMISSION_NOTES = frozenset({"C0034", "C0037", "34117-2"})
_SIGNS = "R"
_NO_DISEASE = frozenset("RVWXYZU")
"""Chapters whose names in running text are no diagnoses: signs, external causes, reasons for contact."""
_EXAMINATIONS = ("Z00", "Z01", "Z02")
_SIDES = frozenset({"right", "left", "side", "sided", "bilateral", "both", "左", "右", "双", "侧"})
_OPEN_CAUSES = frozenset({"待查", "查因"})


@dataclass(slots=True)
class _Pile:
    """All that speaks for one code."""

    candidate: Candidate
    place: Place
    mentions: list[Mention] = field(default_factory=list)
    alternatives: dict[str, Candidate] = field(default_factory=dict)
    found: float = 0.0
    """How sure it is as it was found or confirmed: by this it is proposed or a candidate, whatever else is doubted."""
    confidence: float = 0.0
    verdict: Verdict = "confirmed"
    """The gravest of its mentions."""
    doubt: Doubt | None = None

    @property
    def proposed(self) -> bool:
        """Whether it is proposed; else it is a candidate."""
        return band(self.found) != "low"

    @property
    def order(self) -> tuple[int, ...]:
        """Where it stands among the others: by its place, then by its rank there."""
        return (_ORDER.index(self.place), *min(_rank(mention) for mention in self.mentions))


def choose(found: Sequence[Found], retrieval: Retrieval) -> list[Coded]:
    """Return the codes of the diagnoses that are documented as being there, the principal one first.

    Those of the band ``low`` are candidates: they come last, and none of them is the principal.
    """
    its = sorted(_joined(_without_bare(_piles(found)), retrieval), key=lambda pile: pile.order)
    shown = _principal_first([pile for pile in its if pile.proposed])
    low = [pile for pile in its if not pile.proposed]
    return [_coded(pile, rank) for rank, pile in enumerate([*shown, *low], 1)]


def named(found: Sequence[Found]) -> list[str]:
    """Return the codes that mentions stand for, the likeliest first; nothing is joined."""
    piles = _without_bare(_piles(found))
    return sorted(piles, key=lambda code: (not piles[code].proposed, piles[code].order))


def unmatched(found: Iterable[Found]) -> list[Found]:
    """Return listed diagnoses for which no candidate is sure enough: the coder's to choose."""
    return [
        item
        for item in found
        if item.mention.listed
        and item.mention.text
        and item.mention.status == "asserted"
        and (not item.candidates or item.candidates[0].score < SURE)
    ]


def certainty(item: Found) -> bool:
    """Tell whether a mention speaks for its first candidate as a current diagnosis."""
    if not item.candidates or item.candidates[0].score < SURE:
        return False
    mention, candidate = item.mention, item.candidates[0]
    chronic = mention.status == "history" and plain(candidate.code).startswith(
        tuple(DATA["chronic"]["codes"] + (DATA["chronic"]["listed"] if mention.listed else []))
    )
    own_cause = mention.cue in _OPEN_CAUSES and candidate.code.startswith(_SIGNS)
    if mention.status == "history" and mention.listed and candidate.method != "search":
        return True  # the table has a code for the state after a disease
    if mention.status != "asserted" and not chronic and not own_cause:
        return False
    if mention.listed or _is_examination(mention, candidate):
        return True
    return candidate.method != "search" and candidate.code[0].upper() not in _NO_DISEASE


def _piles(found: Sequence[Found]) -> dict[str, _Pile]:
    there = [item for item in found if certainty(item)]
    lists = {_list_of(item.mention) for item in there if item.mention.listed}
    piles: dict[str, _Pile] = {}
    for item in there:
        first, *others = item.candidates
        place = _place(item, lists)
        pile = piles.setdefault(first.code, _Pile(first, place))
        found_so = confidence(place, first, part=_is_part(item))
        if item.verdict == "confirmed":
            found_so = max(found_so, _CONFIRMED)
        pile.mentions.append(item.mention)
        pile.place = min(pile.place, place, key=_ORDER.index)
        pile.found = max(pile.found, found_so)
        pile.confidence = max(pile.confidence, round(found_so * item.trust, 4))
        pile.alternatives |= {other.code: other for other in others}
        pile.verdict = max(pile.verdict, item.verdict, key=_GRAVITY.index)
        pile.doubt = pile.doubt or item.doubt
    return piles


_GRAVITY: tuple[Verdict, ...] = ("confirmed", "", "uncertain", "disputed")
"""Of several verdicts on one code the gravest stands."""


def _is_part(item: Found) -> bool:
    """Tell whether a list says more than the name that was found in it. A side says nothing where no code has one."""
    besides = item.mention.besides
    return bool(besides - _SIDES) or bool(besides and "unspecified" in item.candidates[0].display.casefold())


def _is_examination(mention: Mention, candidate: Candidate) -> bool:
    return mention.heading == "reason" and candidate.code.startswith(_EXAMINATIONS)


def _list_of(mention: Mention) -> Place:
    if mention.heading in _AT_DISCHARGE:
        return "discharge"
    return "admission" if mention.heading in _AT_ADMISSION else "list"


def _place(item: Found, lists: set[Place]) -> Place:
    mention = item.mention
    if mention.listed:
        its = _list_of(mention)
        if "discharge" not in lists or its == "discharge":
            return its
        return "beside" if item.candidates[0].code.startswith(_SIGNS) else "admission"
    if _is_examination(mention, item.candidates[0]):
        return "encounter"
    if not lists:
        return "alone"
    return "said" if mention.heading == SAID and lists == {"list"} else "beside"


def _without_bare(piles: dict[str, _Pile]) -> dict[str, _Pile]:
    """Leave out what a better list names otherwise, and the bare beside the specific: the same disease, said before it
    was known better, or shorter. What speaks for the bare one speaks for the other, too."""
    best: dict[str, int] = {}
    for code, pile in piles.items():
        category = plain(code)[:3]
        best[category] = min(best.get(category, len(_ORDER)), _ORDER.index(pile.place))
    kept = {code: pile for code, pile in piles.items() if _ORDER.index(pile.place) == best[plain(code)[:3]]}
    listed = {code: pile.candidate.display for code, pile in kept.items() if pile.place not in {"said", "beside"}}
    for code, pile in list(kept.items()):
        better = said_better(code, {**listed, code: pile.candidate.display})
        if better is None:
            continue
        del kept[code]
        if better in kept and pile.place == kept[better].place:
            kept[better].mentions += pile.mentions
    return kept


def _joined(piles: dict[str, _Pile], retrieval: Retrieval) -> list[_Pile]:
    """Join what the guidelines of the code system take for one diagnosis."""
    left = dict(piles)
    proposed = {code for code, pile in left.items() if pile.proposed}
    while (joined := combined(retrieval.release.system, proposed)) is not None:
        code, first, beside = joined
        candidate = retrieval.recorded(code)
        if candidate is None:
            break
        pile, other = left.pop(first), left[beside]
        pile.candidate, pile.place = candidate, min(pile.place, other.place, key=_ORDER.index)
        pile.mentions = sorted([*pile.mentions, *other.mentions], key=_rank)
        pile.found, pile.confidence = min(pile.found, other.found), min(pile.confidence, other.confidence)
        left = {code: pile, **left}
        proposed = (proposed - {first}) | {code}
    return list(left.values())


def _principal_first(piles: list[_Pile]) -> list[_Pile]:
    """Put first what may be the principal diagnosis: the first that its table allows, and that is no manifestation.

    In a list that is none of the discharge, the diagnosis that the patient came for goes before the others.
    """
    allowed = [pile for pile in piles if pile.candidate.concept.principal and not pile.candidate.concept.manifestation]
    came_for = [
        pile for pile in allowed
        if pile.place == "list" and any(mention.heading == "reason" for mention in pile.mentions)
    ]  # fmt: skip
    at_discharge = any(pile.place in {"encounter", "discharge"} for pile in piles)
    first = next(iter([] if at_discharge else came_for), next(iter(allowed), None))
    return piles if first is None else [first, *(pile for pile in piles if pile is not first)]


def _rank(mention: Mention) -> tuple[int, int, int, int]:
    """Order mentions: by their kind of list, then by their place in it, then by the text."""
    return _WITHIN.get(mention.heading, len(_WITHIN)), mention.rank or 999, mention.section, mention.begin


def _coded(pile: _Pile, rank: int) -> Coded:
    mentions = sorted(pile.mentions, key=_rank)
    shown = band(pile.confidence)
    if pile.proposed and shown == "low":
        shown = "medium"  # a verifier's doubt stands beside it, and takes it out of no set
    role: Role = "principal" if rank == 1 and pile.proposed else "other"
    if mentions[0].heading == "complication":
        role = "complication"
    return Coded(
        code=pile.candidate.code,
        display=pile.candidate.display,
        concept=pile.candidate.concept,
        role=role,
        rank=rank,
        evidence=tuple(mention.evidence() for mention in mentions[:SPANS]),
        reads=frozenset(mention.ref for mention in mentions),
        confidence=pile.confidence,
        band=shown,
        listed=any(mention.listed for mention in mentions),
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
