"""R63: the side of one part of the body, in complaint and diagnosis, within a document and across documents."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from hisbus_qc import documents
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_qc.text import passages
from hisbus_schemas import ChartDocument, Evidence, Text

_DISEASE = 2
"""Characters behind the part that name the illness of it."""


class Sides(Limits):
    """Where sides are compared, and the parts of the body that there are two of."""

    documents: DocumentTypes
    parts: tuple[str, ...]
    """With 关节 behind it or without, it is the same part."""
    called: Mapping[str, str] = {}
    """Other words for a part."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What finds a side with its part, in either order."""
        parts = "|".join(map(re.escape, sorted((*self.parts, *self.called), key=len, reverse=True)))
        return re.compile(
            rf"(?P<side>双侧?|左右|左侧?|右侧?)(?P<part>{parts})(?:关节)?(?P<ill>[\u4e00-\u9fff]{{0,{_DISEASE}}})"
            rf"|(?P<part2>{parts})(?:关节)?(?P<side2>双侧?|左|右)[侧叶]?(?P<ill2>[\u4e00-\u9fff]{{0,{_DISEASE}}})"
        )


@dataclass(frozen=True)
class _Side:
    part: str
    illness: str
    side: str
    where: Text
    proof: Evidence
    ref: str


@takes(Sides)
def sides(rule: Rule, record: Record, limits: Sides) -> Said:
    """Compare each place with each: those that name one side only of a part, and not the same one.

    A complaint is held against diagnoses by the part; diagnoses against each other by part and illness, for there
    may be another one of the other side. A place that names both sides contradicts nothing.
    """
    places = list(_places(rule, record, limits))
    said: set[str] = set()
    for number, (kind, one) in enumerate(places):
        for other_kind, other in places[number + 1 :]:
            if kind == other_kind == "complaint":
                continue
            for first, second in _against(one, other, by_illness=kind == other_kind):
                if first.part not in said:
                    said.add(first.part)
                    yield rule.finding(
                        rule.say("found", part=first.part, where=_where(rule, first, second)),
                        title=rule.titled("found", part=first.part),
                        subject=first.part,
                        evidence=[first.proof, second.proof],
                        reads=sorted({first.ref, second.ref}),
                    )


def _places(rule: Rule, record: Record, limits: Sides) -> Iterator[tuple[str, list[_Side]]]:
    """Yield each complaint and each list of diagnoses with the sides that it names."""
    for item in record.documents(limits.documents):
        for kind in ("complaint", "diagnosis"):
            found = [
                _Side(*_read(match, limits), _named(rule, item, kind), part.span(match.start(), match.end()), item.ref)
                for part in passages.find(item, (kind,))
                for match in limits.pattern.finditer(part.text)
            ]
            if found:
                yield kind, found


def _named(rule: Rule, item: ChartDocument, kind: str) -> Text:
    """Return what a place is called: the document with its complaint or its diagnosis."""
    document = documents.named(item)
    return Text(zh=document.zh + rule.texts[kind].zh, en=f"{rule.texts[kind].en} of the {document.en}")


def _read(match: re.Match[str], limits: Sides) -> tuple[str, str, str]:
    side = (match["side"] or match["side2"]).rstrip("侧")
    part = match["part"] or match["part2"]
    return limits.called.get(part, part), match["ill"] or match["ill2"] or "", side


def _against(one: list[_Side], other: list[_Side], *, by_illness: bool) -> Iterator[tuple[_Side, _Side]]:
    """Yield what two places put on different sides, each on one alone."""
    for first in one:
        for second in other:
            same = first.part == second.part and (not by_illness or first.illness == second.illness)
            if same and {first.side, second.side} == {"左", "右"} and _alone(first, one) and _alone(second, other):
                yield first, second


def _alone(side: _Side, place: list[_Side]) -> bool:
    return all(item.side == side.side for item in place if item.part == side.part)


def _where(rule: Rule, first: _Side, second: _Side) -> Text:
    left, right = rule.texts["left"], rule.texts["right"]
    named = [(item.where, left if item.side == "左" else right) for item in (first, second)]
    return Text(
        zh="，".join(f"{where.zh}为{side.zh}" for where, side in named),
        en="; ".join(f"{side.en} in the {where.en}" for where, side in named),
    )
