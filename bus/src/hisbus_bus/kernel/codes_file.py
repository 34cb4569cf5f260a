"""The file that codes are taken in and out by: CSV, one line for each code of a sender.

=============  =============================================================================================
column         meaning
=============  =============================================================================================
``connector``  required: whose messages send it
``sender``     who sends it, as the connector names it; empty: any
``table``      required: the table of the connector's profile
``item``       what cannot be judged while it is open; not read
``code``       required: as sent
``system``     beside the code, as sent
``text``       beside the code, as sent
``word``       our word, or ``none``: it is none of ours; a line without one is open, and changes nothing
``who``        who answered; not read, for here it is who takes the file in
``when``       and when; not read
=============  =============================================================================================
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hisbus.errors import Refused
from hisbus_bus.kernel import codes, spreadsheets
from hisbus_bus.kernel.codes import Key
from hisbus_mapping import Asks

HEADER = ("connector", "sender", "table", "item", "code", "system", "text", "word", "who", "when")
REQUIRED = ("connector", "table", "code")


class Line(NamedTuple):
    """What the file says of a code."""

    key: Key
    system: str
    text: str
    word: str


class Mistake(NamedTuple):
    """What is wrong with a row, counted as a spreadsheet does: the header is row 1. No value is repeated."""

    row: int
    reason: str


@dataclass(slots=True)
class Lines:
    """What was read."""

    lines: list[Line] = field(default_factory=list)
    """With an answer."""
    open: int = 0
    """Lines without one."""
    mistakes: list[Mistake] = field(default_factory=list)


def read(content: bytes, asks: Mapping[str, Mapping[str, Asks]]) -> Lines:
    """Read a file. Each mistake is named; where there is one, nothing of the file should be taken.

    Args:
        content: of the file.
        asks: by connector, what its profile asks of people.

    Raises:
        ConfigError: it is in no encoding that is known.
    """
    rows, found, at = spreadsheets.rows(content), Lines(), 0
    try:
        at, header = next(rows, (1, []))
        places = _places(header, found.mistakes)
        seen: dict[Key, int] = {}
        for at, cells in rows:
            if places and any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    found.mistakes.append(Mistake(at, f"{len(cells)} cells where the header has {len(header)}"))
                else:
                    said = {name: spreadsheets.plain(cells[place]) for name, place in places.items()}
                    _take(found, at, dict.fromkeys(HEADER, "") | said, asks, seen)
    except csv.Error:
        found.mistakes.append(Mistake(at + 1, "its quotes do not close"))
    return found


def written(rows: Iterable[Any]) -> str:
    """Return rows of ``codes.listed`` as a file."""
    return spreadsheets.written(HEADER, (_cells(row) for row in rows))


def _cells(row: Any) -> Sequence[str]:
    when = row.answered.isoformat(timespec="seconds") if row.answered else ""
    return [*(getattr(row, name) for name in HEADER[:7]), row.word or "", row.who, when]


def _places(header: Sequence[str], mistakes: list[Mistake]) -> dict[str, int]:
    """Return the place of each column; none where the header cannot be gone by."""
    places: dict[str, int] = {}
    for place, given in enumerate(header):
        name = given.strip().casefold()
        if name not in HEADER:
            mistakes.append(Mistake(1, f"column {place + 1} is not known. Known columns: {', '.join(HEADER)}"))
        elif name in places:
            mistakes.append(Mistake(1, f"columns {places[name] + 1} and {place + 1} are both {name}"))
        else:
            places[name] = place
    mistakes += [Mistake(1, f"the column {name} is missing") for name in (*REQUIRED, "word") if name not in places]
    return {} if mistakes else places


def _take(
    found: Lines,
    row: int,
    said: Mapping[str, str],
    asks: Mapping[str, Mapping[str, Asks]],
    seen: dict[Key, int],
) -> None:
    key = Key(said["connector"], said["sender"], said["table"], said["code"])
    wrong = [f"{name} is empty" for name in REQUIRED if not said[name]]
    wrong += [f"{name} holds a character that cannot be printed" for name in HEADER if not said[name].isprintable()]
    if not wrong:
        wrong += _refused(key, said["word"], asks)
        if key in seen:
            wrong.append(f"its code stands in row {seen[key]} already")
        seen.setdefault(key, row)
    found.mistakes += [Mistake(row, reason) for reason in wrong]
    if not wrong and said["word"]:
        found.lines.append(Line(key, said["system"], said["text"], said["word"]))
    found.open += not wrong and not said["word"]


def _refused(key: Key, word: str, asks: Mapping[str, Mapping[str, Asks]]) -> list[str]:
    if key.connector not in asks:
        return [f"there is no such connector. Known: {', '.join(sorted(asks)) or 'none'}"]
    try:
        codes.allowed(key, word, asks[key.connector])
    except Refused as error:
        return [str(error).rstrip(".")]
    return []
