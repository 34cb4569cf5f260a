"""R40 in running text: words that put what was operated on the other side."""

import re
from collections.abc import Iterator
from typing import ClassVar

from hisbus_qc import evidence
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Rule, takes
from hisbus_qc.text.question import Asks, Question, label, question
from hisbus_schemas import ChartDocument, ChartProcedure, Evidence, Text

_SIDES = {"左": ("左", Text(zh="左侧", en="left")), "右": ("右", Text(zh="右侧", en="right"))}
_OTHER = {"左": "右", "右": "左"}
_CLAUSE = re.compile(r"[^。；;，,\n]+")
_NO_PLACE = re.compile(r"[左右双侧术下上前后内外]|切除|置换|修补|固定|成形|腔镜|内镜|\W")


class Operated(Asks):
    """Documents that are read. ``{operation}``, ``{side}``, ``{other}`` and ``{where}`` fill in the question."""

    documents: DocumentTypes

    fills: ClassVar[frozenset[str]] = frozenset({"operation", "side", "other", "where"})
    tells: ClassVar[frozenset[str]] = frozenset({"side", "other"})


@takes(Operated)
def side(rule: Rule, record: Record, limits: Operated) -> Iterator[Question]:
    """Ask about each signed document in which a clause names the place of an operation, and the other side alone."""
    for operation in record.operations:
        here = [mark for mark in _SIDES if mark in operation.code.text]
        if len(here) != 1:
            continue
        for document in record.signed(limits.documents):
            clause = _clause(document, _place(operation), here[0])
            if clause is not None:
                name = f"procedures/{operation.id}/code"
                other = _SIDES[_OTHER[here[0]]][1]
                yield question(
                    rule,
                    record,
                    limits,
                    [operation, document],
                    subject=f"{operation.id}:{document.id}",
                    proof=[evidence.at(name, operation.code.text), clause],
                    about=[operation.code.text, clause.quote or ""],
                    words={
                        "operation": label(record, operation),
                        "side": _SIDES[here[0]][1].en,
                        "other": other.en,
                        "where": label(record, document),
                    },
                    texts={"side": _SIDES[here[0]][1], "other": other},
                )


def _place(operation: ChartProcedure) -> set[str]:
    """Return pairs of characters of an operation's name that may name its place."""
    parts = _NO_PLACE.sub(" ", operation.code.text).split()
    return {part[at : at + 2] for part in parts for at in range(len(part) - 1)}


def _clause(document: ChartDocument, place: set[str], side: str) -> Evidence | None:
    for index, section in enumerate(document.sections):
        for match in _CLAUSE.finditer(section.text):
            words = match[0]
            if _OTHER[side] in words and side not in words and any(pair in words for pair in place):
                return evidence.span(document, index, match.start(), match.end())
    return None
