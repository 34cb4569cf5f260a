"""A disguise for captures that are shown to somebody: the same is replaced by the same, and nothing leads back.

What replaces a value has its length and its characters' classes: digits stay digits, capitals capitals, ideographs
ideographs. It depends on a secret that is made for one run and kept by nobody.
"""

import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

LEAST_WEEKS, MOST_WEEKS = 1000, 1700
"""Bounds of a shift: further than a capture is long, so that no date of it stays one of it; days of the week stay."""
_ATTEMPTS = 1000
_DATE = re.compile(r"(?<!\d)(\d{4})([-/.年]?)(\d{1,2})([-/.月]?)(\d{1,2})(?=\D|\d{2,6}(?!\d)|$)")
_CLOCK = re.compile(r"[日T ]*[0-9:.,]*\s?(Z|[+-]\d{2}:?\d{2})?")
_MONTH = re.compile(r"(\d{4})([-/.]?)(\d{2})")
_YEAR = re.compile(r"\d{4}")
_LONG = re.compile(r"\d{7,}")
"""A number that is somebody's or a time, wherever it stands."""
_TIMES = (8, 10, 12, 14)
"""How many digits a time has that is written without anything between."""
_ONE_WORD = re.compile(r"[0-9]{2}|[A-Za-z]{2}")
_HAN = range(0xB0, 0xD7), range(0xA1, 0xFE)
"""The commonest ideographs, as GB 2312 has them."""


class Disguise:
    """Replaces what names somebody, the same way throughout a run."""

    def __init__(self, secret: bytes = b"") -> None:
        """Make a disguise; without a secret it makes one of its own."""
        self._secret = secret or secrets.token_bytes(32)
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()
        self._spoken: dict[str, str] = {}
        self._begins: dict[str, list[str]] = {}
        """What was noted, by its first two characters; the longest first."""
        self._nobodys: set[str] = set()

    def value(self, text: str, codec: str = "utf-8", kept: re.Pattern[str] | None = None) -> str:
        """Return what replaces a value: another for each other one, the same for the same.

        Args:
            text: the value; blanks around it stay.
            codec: in which it must be written.
            kept: what in it stays as it is, such as the escapes of a format.
        """
        bare = text.strip()
        if not bare:
            return text
        found = self._known.get(bare)
        if found is None or not _written(found, codec):
            found = self._new(bare, codec, kept)
            self._known.setdefault(bare, found)
        return text.replace(bare, found, 1)

    def name(self, *parts: str) -> None:
        """Note that values are the parts of one name, which stand together in texts."""
        given = [part.strip() for part in parts if part.strip() in self._known]
        for order in (given, given[::-1]):
            for between in ("", " ", ", "):
                self.spoken(between.join(order), between.join(self._known[part] for part in order))

    def spoken(self, text: str, replaced: str = "", *, nobodys: bool = False) -> None:
        """Note a value that is looked for in what is kept; one that is nobody's, in texts only and not in codes."""
        bare = text.strip()
        if len(bare) < (4 if bare.isascii() else 2) or not any(map(str.isalnum, bare)):
            return
        if bare not in self._spoken:
            alike = self._begins.setdefault(bare[:2], [])
            alike.append(bare)
            alike.sort(key=len, reverse=True)
            if nobodys:
                self._nobodys.add(bare)
        if not nobodys:
            self._nobodys.discard(bare)
        self._spoken[bare] = replaced or self._known.get(bare, "")

    def within(self, text: str, days: int, codec: str = "utf-8", *, code: bool = False) -> str:
        """Return what is kept, without the values that were noted and long numbers, and with its dates shifted.

        Args:
            text: the text.
            days: by how many its dates are shifted.
            codec: in which it must be written.
            code: it is one: what is noted is no part of a longer word or number of it.
        """
        parts: list[str] = []
        at = 0
        while at < len(text):
            known, number = self._noted(text, at, code=code), _LONG.match(text, at)
            if known and (number is None or len(known) >= len(number[0])):
                found, new = known, self._spoken[known]
                new = new if _written(new, codec) else self.value(known, codec)
            elif number is not None:
                found = number[0]
                moved = self.date(found, days) if len(found) in _TIMES else None
                new = moved or self.value(found, codec)
            elif (day := _DATE.match(text, at)) is not None and (moved := _moved(day, days)) is not None:
                found, new = day[0], moved
            else:
                found = new = text[at]
            parts.append(new)
            at += len(found)
        return "".join(parts)

    def _noted(self, text: str, at: int, *, code: bool) -> str:
        """Return the longest value that was noted and begins there; empty: none does."""
        for known in self._begins.get(text[at : at + 2], ()):
            if text.startswith(known, at) and not (code and (known in self._nobodys or _goes_on(text, at, known))):
                return known
        return ""

    def days(self, whose: str) -> int:
        """Return by how many days somebody's times are shifted: whole weeks, into the past."""
        weeks = LEAST_WEEKS + int.from_bytes(self._bytes("shift", whose, 8)) % (MOST_WEEKS - LEAST_WEEKS)
        return -7 * weeks

    def date(self, text: str, days: int) -> str | None:
        """Return a time shifted, its time of day as it stands; None where it is none."""
        bare = text.strip()
        match = _DATE.match(bare)
        if match is not None and _CLOCK.fullmatch(bare, match.end()) and (moved := _moved(match, days)) is not None:
            return text.replace(bare, moved + bare[match.end() :], 1)
        if (match := _MONTH.fullmatch(bare)) is not None and 1 <= int(match[3]) <= 12 and _is_year(match[1]):
            day = date(int(match[1]), int(match[3]), 15) + timedelta(days)
            return text.replace(bare, f"{day.year:04}{match[2]}{day.month:02}", 1)
        if _YEAR.fullmatch(bare) and _is_year(bare):
            return text.replace(bare, f"{(date(int(bare), 7, 1) + timedelta(days)).year:04}", 1)
        return None

    def _new(self, bare: str, codec: str, kept: re.Pattern[str] | None) -> str:
        stays = {at for match in (kept.finditer(bare) if kept else ()) for at in range(*match.span())}
        pools = ["" if at in stays else _pool(char, codec) for at, char in enumerate(bare)]
        if not any(pools):
            return bare
        found = bare
        for attempt in range(_ATTEMPTS):
            stream = self._numbers(f"value {attempt} {codec}", bare)
            found = "".join(
                pool[next(stream) % len(pool)] if pool else char for char, pool in zip(bare, pools, strict=True)
            )
            if found not in self._taken and (found != bare or attempt > _ATTEMPTS // 2):
                break
        self._taken.add(found)
        return found

    def _numbers(self, use: str, text: str) -> Iterator[int]:
        part = 0
        while True:
            block = self._bytes(f"{use} {part}", text, 32)
            yield from (int.from_bytes(block[at : at + 4]) for at in range(0, 32, 4))
            part += 1

    def _bytes(self, use: str, text: str, size: int) -> bytes:
        return hmac.digest(self._secret, f"{use}\0{text}".encode("utf-8", "surrogatepass"), "sha256")[:size]


def _moved(match: re.Match[str], days: int) -> str | None:
    """Return the date of a match shifted, each part as wide as it was; None where it is none."""
    year, one, month, other, day = match.groups()
    if bool(one) is not bool(other) or (not one and (len(month), len(day)) != (2, 2)) or not _is_year(year):
        return None
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days)
    except ValueError:
        return None
    return f"{moved.year:04}{one}{moved.month:0{len(month)}}{other}{moved.day:0{len(day)}}"


def _goes_on(text: str, at: int, known: str) -> bool:
    """Whether a value that stands in a text is part of a longer word or number of ASCII characters."""
    end = at + len(known)
    edges = (text[max(at - 1, 0) : at + 1] if at else "", text[end - 1 : end + 1])
    return any(_ONE_WORD.fullmatch(edge) for edge in edges)


def _is_year(text: str) -> bool:
    return 1850 <= int(text) <= 2200


def _written(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=4096)
def _pool(char: str, codec: str) -> str:
    """Return what may stand for a character; empty: it stays."""
    if char.isascii():
        pools = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
        return next((pool for pool in pools if char in pool), "")
    category = unicodedata.category(char)
    if category[0] not in "LN":
        return ""
    if "\u3400" <= char <= "\u9fff" and (han := _han(codec)):
        return han
    begin = ord(char) & ~0x7F
    near = map(chr, range(begin, begin + 0x80))
    return "".join(one for one in near if unicodedata.category(one) == category and _written(one, codec))


@lru_cache(maxsize=32)
def _han(codec: str) -> str:
    every = (bytes((high, low)).decode("gb2312", "ignore") for high in _HAN[0] for low in _HAN[1])
    return "".join(one for one in every if one and _written(one, codec))
