"""Our reader beside hl7apy: the same segments in the same order, and the same value at every place of every one."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from hisbus_hl7v2.message import Message

pytestmark = [pytest.mark.corpora, pytest.mark.long]

Place = tuple[str, int, int, int, int]
"""Segment by number and name, field, repetition, component, subcomponent."""

VERSION = "2.8.2"
"""The newest that hl7apy knows: in an older one it refuses segments that the messages have."""

WITHDRAWN = "a field that the version has withdrawn comes without its number"
ZEROS = "a number comes without the zeros before it"
"""Why hl7apy may differ, and where it must not."""

ESCAPES = {"\\F\\": "|", "\\S\\": "^", "\\T\\": "&", "\\R\\": "~", "\\L\\": "#", "\\.br\\": "\n"}
"""What the messages escape; hl7apy leaves escapes to its user. (A stray ``#`` it escapes itself, as ``L``.)"""


def ours(message: Message) -> dict[Place, str]:
    found = {}
    for place, segment in enumerate(message.segments):
        for field in range(3 if segment.name == "MSH" else 1, len(segment) + 1):
            for repetition, text in enumerate(segment.repetitions(field)):
                for component, part in enumerate(text.split("^"), 1):
                    for sub in range(1, part.count("&") + 2):
                        if value := message.part(text, component, sub):
                            found[f"{place} {segment.name}", field, repetition, component, sub] = value
    return found


def number(element: Any, otherwise: int) -> int:
    name = (element.name or "").rpartition("_")[2]
    return int(name) if name.isdigit() else otherwise


def theirs(message: Message) -> tuple[list[str], dict[Place, str], dict[str, list[str]]]:
    """Return hl7apy's segments, its values by place, and by segment those to which it gives no place."""
    msh = message.segments[0].text.split("|")
    msh[11] = VERSION
    text = "\r".join(["|".join(msh), *(segment.text for segment in message.segments[1:])])
    parsed = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    found: dict[Place, str] = {}
    lost: dict[str, list[str]] = {}
    for place, segment in enumerate(parsed.children):
        name = f"{place} {segment.name}"
        repetitions: Counter[int] = Counter()
        for field in segment.children:
            position = number(field, 0)
            if position == 0:
                lost.setdefault(name, []).append(field.to_er7())
            elif (segment.name, position) not in {("MSH", 1), ("MSH", 2)}:
                for component, sub, value in leaves(field):
                    found[name, position, repetitions[position], component, sub] = value
                repetitions[position] += 1
    return [segment.name for segment in parsed.children], found, lost


def leaves(field: Any) -> Iterator[tuple[int, int, str]]:
    for nth, component in enumerate(field.children, 1):
        for mth, sub in enumerate(component.children or [component], 1):
            value = sub.to_er7()
            for escape, char in ESCAPES.items():
                value = value.replace(escape, char)
            if value := value.strip():
                yield number(component, nth), number(sub, mth) if component.children else 1, value


def differences(message: Message, other: Message) -> tuple[Counter[str], list[Place]]:
    """Compare what we read in a message with what hl7apy reads in another: what is explained, and what is not."""
    names, found, lost = theirs(other)
    if names != [segment.name for segment in message.segments]:
        return Counter(), [("segments", 0, 0, 0, 0)]
    mine = ours(message)
    explained: Counter[str] = Counter()
    unexplained = []
    for place in sorted(mine.keys() | found.keys()):
        value, their = mine.get(place), found.get(place)
        if value == their or place[:2] == ("0 MSH", 12):
            continue
        field = message.segments[int(place[0].split()[0])].repetitions(place[1])
        if their is None and field[place[2]].rstrip() in map(str.rstrip, lost.get(place[0], [])):
            explained[WITHDRAWN] += 1
        elif value and their and value.isdigit() and value.lstrip("0") == their:
            explained[ZEROS] += 1
        else:
            unexplained.append(place)
    return explained, unexplained


def test_our_reader_and_hl7apy_read_the_same_in_every_real_message(corpus: Path) -> None:
    compared = 0
    explained: Counter[str] = Counter()
    unexplained: dict[str, list[Place]] = {}
    for path in sorted(corpus.glob("*.hl7")):
        message = Message.read(path.read_bytes(), "utf-8")
        reasons, places = differences(message, message)
        compared += sum(len(segment) for segment in message.segments)
        explained += reasons
        if places:
            unexplained[path.name] = places
    assert unexplained == {}
    assert set(explained) == {WITHDRAWN, ZEROS}
    assert explained.total() < 0.02 * compared
    assert compared > 20_000


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("EVERYMAN", "EVERYWOMAN"), ("3 PID", 5, 0, 1, 1)),
        (("^^PERSONNELt&1.23&HCD", "^^PERSONNELt&1.24&HCD"), ("6 ROL", 4, 0, 9, 2)),
        (("USSSA^SS", "USSSA^XX"), ("3 PID", 3, 1, 5, 1)),
        (("|Methodist Church|", "||Methodist Church|"), ("4 PD1", 15, 0, 1, 1)),
        (("inc.A\\T\\E", "inc.A\\R\\E"), ("8 PV1", 14, 0, 1, 1)),
        (("\nPD1|", "\nPDX|"), ("segments", 0, 0, 0, 0)),
    ],
)
def test_the_comparison_sees_a_single_change(corpus: Path, change: tuple[str, str], place: Place) -> None:
    body = (corpus / "ADT-A01-01.hl7").read_bytes().decode()
    assert change[0] in body
    changed = body.replace(*change, 1)
    assert place in differences(Message.read(changed.encode(), "utf-8"), Message.read(body.encode(), "utf-8"))[1]
