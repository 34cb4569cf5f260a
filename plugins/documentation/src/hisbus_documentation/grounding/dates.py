"""Dates and times of the clock: in which form they stand makes no difference."""

import re
from collections.abc import Sequence
from datetime import date
from itertools import product
from typing import NamedTuple

from hisbus_documentation.grounding.facts import Facts

_MONTHS = {name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(?P<d>\d{1,2})(?:st|nd|rd|th)?"
_DATE = re.compile(
    "|".join(
        re.sub(r"\?P<(\w+)>", rf"?P<\g<1>{n}>", form)
        for n, form in enumerate(
            (
                r"(?<!\d)(?P<y>(?:19|20)\d{2})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)",
                r"(?:(?P<y>(?:19|20)\d{2}) ?年 ?)?(?P<m>\d{1,2}) ?月 ?(?P<d>\d{1,2}) ?[日号]",
                r"(?P<y>(?:19|20)\d{2}) ?年 ?(?P<m>\d{1,2}) ?月",
                rf"\b{_MONTH} {_DAY}(?:,? (?P<y>(?:19|20)\d{{2}}))?\b",
                rf"\b{_DAY} (?:of )?{_MONTH},? (?P<y>(?:19|20)\d{{2}})\b",
                r"(?<!\d)(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>(?:19|20)\d{2})(?!\d)",
                r"(?P<y>(?:19|20)\d{2}) ?年",
            )
        )
    )
)
_TIME = re.compile(r"(?<![\d:])(?P<h>[01]?\d|2[0-3])(?::|时|点)(?P<m>[0-5]\d)(?:[:分](?P<s>[0-5]\d)?)?(?!\d)")


class Day(NamedTuple):
    """A date, or what is said of one."""

    year: int | None
    month: int | None
    day: int | None


def days(text: str) -> list[Day]:
    """Return the dates of a plain text."""
    return [_day(match) for match in _DATE.finditer(text)]


def without(text: str) -> str:
    """Return a plain text with its dates and times blanked, so that their numbers are nobody's values."""
    for pattern in (_DATE, _TIME):
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def differences(texts: Sequence[str]) -> frozenset[int]:
    """Return the days between any two complete dates of some plain texts: what may be computed from them."""
    found = {day for text in texts for said in days(text) if (day := _date(said))}
    return frozenset(abs((one - other).days) for one, other in product(found, found))


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each date and each time of the clock stands in a source."""
    known = [day for source in sources for day in days(source)]
    clocks = {clock for source in sources for clock in _clocks(source)}
    return all(any(_same(day, other) for other in known) for day in days(text)) and clocks.issuperset(_clocks(text))


def _same(day: Day, other: Day) -> bool:
    """Tell whether a date is another one; a year that the source leaves out may not be added."""
    if day == other or all(mine is None or mine == its for mine, its in zip(day, other, strict=True)):
        return True
    # 03/04/2026 is a day in March or in April, as its writer is used to.
    return day.year == other.year and (day.month, day.day) == (other.day, other.month)


def _day(match: re.Match[str]) -> Day:
    said = {name[0]: value for name, value in match.groupdict().items() if value is not None and name[:4] != "name"}
    name = next((value for key, value in match.groupdict().items() if key[:4] == "name" and value), None)
    month = _MONTHS[name] if name else int(said["m"]) if "m" in said else None
    return Day(int(said["y"]) if "y" in said else None, month, int(said["d"]) if "d" in said else None)


def _clocks(text: str) -> list[tuple[int, int]]:
    return [(int(match["h"]), int(match["m"])) for match in _TIME.finditer(text)]


def _date(said: Day) -> date | None:
    """Return a complete date of the calendar; None for any other."""
    try:
        return date(said.year or 0, said.month or 0, said.day or 0)
    except ValueError:
        return None
