"""The table of losses: of every reading that the files of a corpus hold, what became of it.

    python -m tests.losses          writes tests/losses.md

Each value of an OBX is put aside, a mark that no other has is written in its place, and the marks are looked for in
what came out. So it is not the translation's own count: a reading that takes another's place is seen to be gone. Files
and numbers only; no text of the corpus is kept.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hisbus import BadMessage, Raw, Translation
from hisbus_hl7v2 import Hl7v2Connector, captured
from hisbus_mapping import Mapping, losses_of

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpora" / "hl7v2"
TABLE = Path(__file__).with_suffix(".md")
RECEIVED = datetime(2026, 3, 31, tzinfo=UTC)
CONNECTOR = Hl7v2Connector(
    {"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai", "processing_ids": ["P", "T", "D"]}
)
MAPPING = Mapping(CONNECTOR)
HEAD = """# Readings of the corpus, and what became of each

Written by `python -m tests.losses`, which marks every OBX of `../shared/corpora/hl7v2` and looks for the marks in what
came out; `tests/test_losses.py` compares. *In*: OBX with a value. *Out*: those that are in an event, once and as that
patient's. *Told apart*: entries that had the identity of another of their message and keep their ordinal. *Left*: those
that nothing reads, kept with the message and listed on it; of a type that has no mapping, all. *Lost*: neither out nor
left, or out more than once. Beside them all fields with a value, and how many of them are read.

"""
NAMES = ("file", "type", "messages", "in", "out", "told apart", "left", "lost", "fields", "read")


@dataclass
class Row:
    """What became of the readings of a file."""

    file: str
    type: str
    messages: int = 0
    came: int = 0
    out: int = 0
    told_apart: int = 0
    left: int = 0
    lost: int = 0
    fields: int = 0
    read: int = 0


def marked(body: bytes) -> tuple[bytes, list[str]]:
    """Return a message with a mark in place of what each OBX-5 holds, and the marks."""
    body = body[body.index(b"MSH") :]
    lines = re.split(rb"\r\n|\r|\n", body)
    separator, component = body[3:4], body[4:5]
    marks: list[str] = []
    for at, line in enumerate(lines):
        fields = line.split(separator)
        if fields[0] != b"OBX" or len(fields) < 6 or not fields[5].strip():
            continue
        marks.append(f"m{len(marks)}m")
        mark = marks[-1].encode()
        coded = fields[2].strip() in (b"CE", b"CWE", b"CNE", b"CF")
        fields[5] = component.join((mark, mark)) if coded else mark  # code and text: one of them is the value
        lines[at] = separator.join(fields)
    return b"\r".join(lines), marks


def counted(file: Path) -> Row:
    """Count what became of the readings of a file."""
    row = Row(file.name, "")
    for body in captured.split(file.read_bytes()):
        body, marks = marked(body)
        row.messages += 1
        row.came += len(marks)
        try:
            translation = MAPPING.translate(Raw("m", body, RECEIVED))
        except BadMessage:
            row.lost += len(marks)
            continue
        row.type = row.type or CONNECTOR.read(Raw("m", body, RECEIVED)).type
        for fate, number in Counter(_fate(mark, translation) for mark in marks).items():
            setattr(row, fate, getattr(row, fate) + number)
        its = losses_of(translation)
        row.told_apart += its.collided
        row.fields += its.values
        row.read += its.read
    return row


def _fate(mark: str, translation: Translation) -> str:
    """Return what became of a marked reading."""
    told = sum(fact.model_dump_json(exclude={"segments"}).count(mark) for fact in translation.facts)
    if told == 1:
        return "out"
    kept = any(mark in segment for fact in translation.facts for segment in fact.segments)
    listed = not translation.mapped or (kept and "OBX" in translation.unmapped)
    return "left" if not told and listed else "lost"


def table(rows: Iterable[Row]) -> str:
    """Return the table, with a line that adds it up."""
    rows = list(rows)
    sums = [sum(column) for column in zip(*(astuple(row)[2:] for row in rows), strict=True)]
    lines = [NAMES, ["---"] * 2 + ["---:"] * 8, *map(astuple, rows), (f"{len(rows)} files", "", *sums)]
    return HEAD + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def rows() -> list[Row]:
    """Count every file of the corpus."""
    return [counted(path) for path in sorted(CORPUS.glob("*.hl7"))]


if __name__ == "__main__":
    TABLE.write_text(table(rows()), encoding="utf-8")
    sys.stdout.write(f"{TABLE.relative_to(ROOT)}\n")
