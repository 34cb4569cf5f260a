"""How right proposed codes are: of the set that is shown and of its highest band, whole codes and categories apart.

Besides: what was missed, the principal diagnosis, and whether what is called sure is right as often as that says.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict

from hisbus.terms.spans import plain
from hisbus_bus.lab.evaluate.labelled import Labelled
from hisbus_bus.lab.evaluate.report import Rate
from hisbus_bus.lab.evaluate.run import Result
from hisbus_schemas import Assessment

FILE, PAGE = "coding.json", "coding.html"
BANDS = ("high", "medium", "low")
_CATEGORY = 3
"""Characters of a category."""
_STEPS = (0.0, 0.5, 0.7, 0.85, 0.9, 1.0)
"""Edges of the steps of confidence that the calibration is shown in."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True)


class Step(_Table):
    """Codes of about one confidence: how often they are right."""

    name: str
    mean: float
    """Of their confidence."""
    right: Rate


class Half(_Table):
    """The figures of one part of the notes, or of all."""

    name: str
    """Empty: all."""
    notes: int
    failed: int
    """Calls without an answer: their codes count as missed."""
    top: Rate
    """Precision of the highest band."""
    shown: Rate
    """Precision of the set."""
    recall: Rate
    offered: Rate
    """Recall of the set with the candidates."""
    category_shown: Rate
    category_recall: Rate
    principal: Rate
    neither: int
    """Proposed codes that one may add or not."""
    bands: list[Step]
    steps: list[Step]


class CodingReport(_Table):
    """All of it."""

    version: int = 1
    labels: str
    agent: str
    halves: list[Half]


@dataclass(frozen=True, slots=True)
class _Said:
    """One code that was proposed, or offered as a candidate."""

    code: str
    confidence: float
    band: str
    right: bool | None
    """None: one may add it or not."""
    category: bool
    """Whether a code of its category is right."""


@dataclass(frozen=True, slots=True)
class _Judged:
    note: Labelled
    answered: bool
    shown: Sequence[_Said]
    low: Sequence[_Said]
    principal: str


def judge(labels: str, agent: str, pairs: Iterable[tuple[Labelled, Result]]) -> CodingReport:
    """Compare what an agent proposed with what a coder would give; each half of the notes apart, then all."""
    judged = [_judged(note, result.assessment) for note, result in pairs]
    names = list(dict.fromkeys(one.note.half for one in judged))
    halves = [_half(name, [one for one in judged if one.note.half == name]) for name in names]
    return CodingReport(labels=labels, agent=agent, halves=[*halves, _half("", judged)])


def _judged(note: Labelled, said: Assessment | None) -> _Judged:
    sets = [one.payload for one in said.proposals if one.kind == "codeset"] if said is not None else []
    front = next((one for one in sets if one.get("purpose", "") in {"", "front_page"}), {})
    shown = [_said(note, item) for item in _diagnoses(front.get("codes"))]
    low = [_said(note, item) for item in _diagnoses(front.get("candidates"))]
    first = next((item for item in _diagnoses(front.get("codes")) if item.get("role") == "principal"), {})
    return _Judged(note, said is not None, shown, low, plain(str(first.get("code", ""))))


def _diagnoses(items: Any) -> Iterator[dict[str, Any]]:
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict) and item.get("role") != "operation")


def _said(note: Labelled, item: dict[str, Any]) -> _Said:
    code = plain(str(item.get("code", "")))
    right = any(code in map(plain, one.right) for one in note.codes)
    known = None if not right and code in map(plain, note.may) else right
    category = any(code[:_CATEGORY] == plain(other)[:_CATEGORY] for one in note.codes for other in one.right)
    return _Said(code, float(item.get("confidence") or 0), str(item.get("band", "")), known, category)


def _half(name: str, notes: Sequence[_Judged]) -> Half:
    shown = [one for note in notes for one in note.shown if one.right is not None]
    all_ = shown + [one for note in notes for one in note.low if one.right is not None]
    wanted = [(note, code) for note in notes for code in note.note.codes]

    def found(*, low: bool, characters: int = 40) -> int:
        return sum(_has(note, code.right, low=low, characters=characters) for note, code in wanted)

    return Half(
        name=name,
        notes=len(notes),
        failed=sum(not note.answered for note in notes),
        top=_right(one for one in shown if one.band == BANDS[0]),
        shown=_right(shown),
        recall=Rate.counted(found(low=False), len(wanted)),
        offered=Rate.counted(found(low=True), len(wanted)),
        category_shown=Rate.counted(sum(one.category for one in shown), len(shown)),
        category_recall=Rate.counted(found(low=False, characters=_CATEGORY), len(wanted)),
        principal=Rate.counted(
            sum(note.principal in map(plain, note.note.codes[0].right) for note in notes), len(notes)
        ),
        neither=sum(one.right is None for note in notes for one in note.shown),
        bands=[step for band in BANDS if (step := _step(band, [one for one in all_ if one.band == band]))],
        steps=[
            step
            for low, high in pairwise(_STEPS)
            if (step := _step(f"{low:g}-{high:g}", [one for one in all_ if low <= one.confidence < high]))
        ],
    )


def _has(note: _Judged, right: Iterable[str], *, low: bool, characters: int) -> bool:
    said = {one.code[:characters] for one in (*note.shown, *(note.low if low else ()))}
    return any(plain(code)[:characters] in said for code in right)


def _right(said: Iterable[_Said]) -> Rate:
    its = list(said)
    return Rate.counted(sum(one.right is True for one in its), len(its))


def _step(name: str, said: Sequence[_Said]) -> Step | None:
    if not said:
        return None
    return Step(name=name, mean=sum(one.confidence for one in said) / len(said), right=_right(said))
