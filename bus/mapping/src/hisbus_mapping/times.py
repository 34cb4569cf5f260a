"""Times as sources write them: when, how exactly, and in which zone."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hisbus_schemas import Moment, Precision

Read = Callable[[str], Moment | None]

LONGEST = 40
"""Characters of the longest text that can be a time."""

_COMPACT = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,5})(\.[0-9]+)?([+-](?:0[0-9]|1[0-4])[0-5][0-9])?")
_SIZES: dict[int, Precision] = {4: "year", 6: "month", 8: "day", 10: "hour", 12: "minute", 14: "second"}
_LETTERS: dict[str, tuple[Precision, str]] = {
    "YYYY": ("year", r"([0-9]{4})"),
    "MM": ("month", r"([0-9]{1,2})"),
    "DD": ("day", r"([0-9]{1,2})"),
    "hh": ("hour", r"([0-9]{1,2})"),
    "mm": ("minute", r"([0-9]{1,2})"),
    "ss": ("second", r"([0-9]{1,2})"),
}
_TOKENS = re.compile("|".join(_LETTERS))
_ISO = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_ORDER: tuple[Precision, ...] = ("year", "month", "day", "hour", "minute", "second")


def reader(forms: Sequence[str], zone: ZoneInfo) -> Read:
    """Return what reads a time in the first form that fits; one without offset is in ``zone``.

    Raises:
        ValueError: a form that is none.
    """
    readers = [_form(form, zone) for form in forms]

    @lru_cache(maxsize=1024)  # the same few times recur: each message repeats its stay's, each reading its report's
    def read(text: str) -> Moment | None:
        text = text.strip()
        if len(text) > LONGEST:
            return None
        for one in readers:
            if (found := one(text)) is not None:
                return found
        return None

    return read


def day_reader(forms: Sequence[str]) -> Callable[[str], date | None]:
    """Return what reads the day of a time as its source wrote it; None where it was written less exactly.

    Raises:
        ValueError: a form that is none.
    """
    # A day has no zone: in one that has changed its offset, midnight may lie in the day before.
    read = reader(forms, ZoneInfo("UTC"))

    @lru_cache(maxsize=1024)
    def day(text: str) -> date | None:
        moment = read(text)
        if moment is None or moment.precision in ("year", "month"):
            return None
        return (moment.at + timedelta(minutes=moment.offset)).date()

    return day


def _form(form: str, zone: ZoneInfo) -> Read:
    if form == "compact":
        return lambda text: _compact(text, zone)
    if form == "iso":
        return lambda text: _iso(text, zone)
    names = [_LETTERS[token][0] for token in _TOKENS.findall(form)]
    if not names or sorted(names, key=_ORDER.index) != list(_ORDER[: len(names)]):
        raise ValueError(
            f'{form!r} is no form of a time. Write "compact", "iso" or letters such as "YYYY/MM/DD hh:mm:ss"'
        )
    parts = re.split(f"({_TOKENS.pattern})", form)
    pattern = re.compile("".join(_LETTERS[part][1] if part in _LETTERS else re.escape(part) for part in parts))

    def read(text: str) -> Moment | None:
        match = pattern.fullmatch(text)
        if match is None:
            return None
        given = dict(zip(names, map(int, match.groups()), strict=True))
        return _moment(given, _ORDER[len(names) - 1], None, zone)

    return read


def _compact(text: str, zone: ZoneInfo) -> Moment | None:
    match = _COMPACT.fullmatch(text)
    if match is None:
        return None
    digits, fraction, offset = match.groups("")
    size = len(digits)
    if fraction and size < 14:
        return None
    day, clock = (digits[:8], digits[8:] or "00") if size >= 8 else (digits + "0101"[size - 4 :], "00")
    try:
        local = datetime.fromisoformat(f"{day}T{clock}{fraction}{offset}")
    except ValueError:
        return None
    return _in(local, _SIZES[size], zone)


def _iso(text: str, zone: ZoneInfo) -> Moment | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    *numbers, offset = match.groups()
    given = {name: int(number) for name, number in zip(_ORDER, numbers, strict=True) if number is not None}
    return _moment(given, _ORDER[len(given) - 1], offset, zone)


def _moment(given: Mapping[Precision, int], precision: Precision, offset: str | None, zone: ZoneInfo) -> Moment | None:
    try:
        local = datetime(**{"month": 1, "day": 1, **given})  # type: ignore[arg-type]  # noqa: DTZ001 - see below
        if offset:
            local = datetime.fromisoformat(f"{local:%Y-%m-%dT%H:%M:%S}{offset}")
    except ValueError:
        return None
    return _in(local, precision, zone)


def _in(local: datetime, precision: Precision, zone: ZoneInfo) -> Moment | None:
    try:
        if local.tzinfo is None:
            local = local.replace(tzinfo=zone)
        east = local.utcoffset() or timedelta()
        return Moment(at=local.replace(tzinfo=UTC) - east, precision=precision, offset=east // timedelta(minutes=1))
    except (ValueError, OverflowError):
        return None
