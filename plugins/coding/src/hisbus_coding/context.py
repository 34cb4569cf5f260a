"""What is said of a diagnosis that a text names: that it is there, or not, perhaps, once, in the family.

After NegEx and ConText: cues before or after the mention, each with its reach. The cues are data, ``context.toml``.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

Status = Literal["asserted", "negated", "uncertain", "family", "hypothetical", "history"]

DATA: Mapping[str, Any] = tomllib.loads(files("hisbus_coding").joinpath("context.toml").read_text(encoding="utf-8"))

PRIORITY: tuple[Status, ...] = ("family", "negated", "hypothetical", "uncertain", "history")
"""Which status stands where several cues reach a mention."""

_COMMA = re.compile(r"，|,(?!\d)")
_ONLY_NAMES = re.compile(r"[^，,。；;0-9年月有因行于示见诊为现查予患]{1,16}")
_HISTORY = re.compile(r"病?史$")
_NEAR, _NEAR_ENGLISH, _NEAR_TOUCHING = 6, 24, 1
"""Most characters between a mention and the cue after it."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue in a text, and what it reaches: mentions from ``first`` up to ``last`` that end ``near`` enough."""

    status: Status
    text: str
    begin: int
    first: int
    last: int
    near: int | None = None
    """Cues after a mention: most characters between them."""

    def reaches(self, begin: int, end: int) -> bool:
        """Tell whether it says something of the mention at a place."""
        return self.first <= begin and end <= self.last and (self.near is None or self.begin - end <= self.near)


def _is_english(word: str) -> bool:
    return word[0].isascii() and word[0].isalpha()


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of words, the longest first; English ones whole."""
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    return re.compile(
        "|".join(rf"\b{re.escape(word)}\b" if _is_english(word) else re.escape(word) for word in ordered), re.IGNORECASE
    )


def _meanings(*places: str) -> dict[str, Status]:
    return {word: status for status in PRIORITY for place in places for word in DATA[status].get(place, ())}


_BEFORE = _meanings("before", "wide")
_AFTER = _meanings("after", "touching")
_TOUCHING = frozenset(_meanings("touching"))
_WIDE = frozenset(_meanings("wide"))
_AHEAD = _pattern([*_BEFORE, *DATA["nothing"]["before"]])
_BEHIND = _pattern(_AFTER)
_ENDS = _pattern(DATA["ends"]["words"])


def cues(text: str, begin: int, end: int) -> list[Cue]:
    """Return the cues of one sentence."""
    found = []
    for match in _AHEAD.finditer(text, begin, end):
        word = match[0].casefold()
        if word in _BEFORE:
            last = _reach(text, match.end(), end, wide=word in _WIDE)
            found.append(Cue(_BEFORE[word], match[0], match.start(), match.end(), last))
    for match in _BEHIND.finditer(text, begin, end):
        near = _NEAR_ENGLISH if _is_english(match[0]) else _NEAR
        near = _NEAR_TOUCHING if match[0].casefold() in _TOUCHING else near
        status, first = _AFTER[match[0].casefold()], _clause(text, begin, match.start())
        found.append(Cue(status, match[0], match.start(), first, match.start(), near))
    return found


def status_of(cues: Iterable[Cue], begin: int, end: int) -> tuple[Status, str]:
    """Return what is said of the mention at a place, and the cue that says it. A cue inside the mention is its own."""
    reaching = {cue.status: cue.text for cue in cues if cue.reaches(begin, end)}
    return next(((status, reaching[status]) for status in PRIORITY if status in reaching), ("asserted", ""))


def _reach(text: str, at: int, end: int, *, wide: bool) -> int:
    """Return where the reach of a cue before its mention ends: with its clause, or the names that are listed on."""
    stop = _ENDS.search(text, at, end)
    last = stop.start() if stop else end
    comma = None if wide else _COMMA.search(text, at, last)
    while comma is not None:
        following = _COMMA.search(text, comma.end(), last)
        clause = _HISTORY.sub("", text[comma.end() : following.start() if following else last].strip("。.；;\n "))
        if not _ONLY_NAMES.fullmatch(clause) or _AHEAD.search(clause) or _BEHIND.search(clause):
            return comma.start()
        comma = following
    return last


def _clause(text: str, begin: int, at: int) -> int:
    """Return where the clause before a place begins."""
    ends = [found.end() for pattern in (_COMMA, _ENDS) for found in pattern.finditer(text, begin, at)]
    return max([begin, *ends])
