"""R20: the present illness against the chief complaint: how long, on which side, and with what it begins."""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Rule, takes
from hisbus_qc.text import passages
from hisbus_qc.text.passages import Passage
from hisbus_qc.text.question import Asks, Question, label, question
from hisbus_schemas import ChartDocument

_HOURS: Mapping[str, float] = {
    "分": 1 / 60, "min": 1 / 60, "小": 1, "时": 1, "hou": 1, "天": 24, "日": 24, "day": 24, "周": 168, "星": 168,
    "wee": 168, "月": 720, "mon": 720, "年": 8760, "yea": 8760,
}  # fmt: skip
"""Hours of a unit, by how it begins."""
_NUMBERS = {
    "半": 0.5,
    "一": 1,
    "两": 2,
    "二": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
    "十": 10,
}
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?|[半一两二三四五六七八九十])\s*(?:余|多|来|\+)?\s*(?:个)?\s*"
    r"(分钟|小时|天|日|周|星期|月|年|minutes?|hours?|days?|weeks?|months?|years?)",
    re.IGNORECASE,
)
_NOT_SYMPTOMS = re.compile(r"反复|发现|突发|出现|加重|伴有?|余|\W|\d")
_SIDES = {"left": ("左", "left"), "right": ("右", "right")}
_NEAR = 0.25
"""Two durations are one where they differ by no more than this part."""


class Course(Asks):
    """Documents that have both; what the suspicions are called in the question."""

    documents: DocumentTypes
    suspicions: Mapping[str, str]
    """Of ``duration``, ``side`` and ``start``, filled in as ``{suspicion}``."""

    fills: ClassVar[frozenset[str]] = frozenset({"suspicion", "where"})


@takes(Course)
def course(rule: Rule, record: Record, limits: Course) -> Iterator[Question]:
    """Ask once for each signed document in which something differs."""
    for document in record.signed(limits.documents):
        complaint = next(iter(passages.find(document, ("complaint",))), None)
        present = next(iter(passages.find(document, ("present",))), None)
        if complaint is None or present is None:
            continue
        differs = [name for name, does in _DIFFERS.items() if name in limits.suspicions and does(complaint, present)]
        if differs:
            yield question(
                rule,
                record,
                limits,
                [document],
                subject=document.id,
                proof=[complaint.proof, present.opening],
                about=[complaint.text, present.text],
                words={
                    "suspicion": "; ".join(limits.suspicions[name] for name in differs),
                    "where": _where(record, document),
                },
            )


def _where(record: Record, document: ChartDocument) -> str:
    names = (passages.title("complaint"), passages.title("present"))
    return " and ".join(names) + f" of {label(record, document)}"


def _other_duration(complaint: Passage, present: Passage) -> bool:
    stated, told = _durations(complaint.text), _durations(present.text)
    return bool(stated and told) and not any(abs(one - stated[0]) <= _NEAR * stated[0] for one in told)


def _durations(text: str) -> list[float]:
    """Return the durations of a text, hours."""
    return [
        (_NUMBERS.get(number) or float(number))
        * next(h for begin, h in _HOURS.items() if unit.lower().startswith(begin))
        for number, unit in _DURATION.findall(text)
    ]


def _other_side(complaint: Passage, present: Passage) -> bool:
    stated, told = _sides(complaint.text), _sides(present.text)
    return len(stated) == 1 and bool(told) and not stated & told


def _sides(text: str) -> set[str]:
    return {side for side, words in _SIDES.items() if any(word in text.lower() for word in words)}


def _other_start(complaint: Passage, present: Passage) -> bool:
    """Tell whether no word of the complaint stands in the first sentence of the present illness."""
    stated = _words(complaint.text)
    return bool(stated) and not stated & _words(present.opening.quote or "")


def _words(text: str) -> set[str]:
    """Return the pairs of characters of Chinese, and the long words of English."""
    parts = _NOT_SYMPTOMS.sub(" ", _DURATION.sub(" ", text)).lower().split()
    pairs = {part[at : at + 2] for part in parts if not part.isascii() for at in range(len(part) - 1)}
    return pairs | {part for part in parts if part.isascii() and len(part) > 3}


_DIFFERS = {"duration": _other_duration, "side": _other_side, "start": _other_start}
