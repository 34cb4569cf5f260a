"""HL7 times (DTM, TS): when, how exactly, and in which zone."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hisbus_schemas import Moment, Precision

_DTM = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,5})(\.[0-9]+)?([+-](?:0[0-9]|1[0-4])[0-5][0-9])?")
_MINUTE = timedelta(minutes=1)
_PRECISIONS: dict[int, Precision] = {4: "year", 6: "month", 8: "day", 10: "hour", 12: "minute", 14: "second"}


_LONGEST = 40
"""Characters of the longest text that can be a time."""


def moment(text: str, zone: ZoneInfo) -> Moment | None:
    """Return the time that an HL7 field gives, or None where it gives none. Without offset it is in ``zone``."""
    return _moment(text.strip(), zone) if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)  # the same few times recur: each message repeats its stay's, each reading its report's
def _moment(text: str, zone: ZoneInfo) -> Moment | None:
    match = _DTM.fullmatch(text)
    if match is None:
        return None
    digits, fraction, offset = match.groups("")
    size = len(digits)
    if fraction and size < 14:
        return None
    day, clock = (digits[:8], digits[8:] or "00") if size >= 8 else (digits + "0101"[size - 4 :], "00")
    try:
        local = datetime.fromisoformat(f"{day}T{clock}{fraction}{offset}")
        if not offset:
            local = local.replace(tzinfo=zone)
        east = local.utcoffset() or timedelta()
        at = local.replace(tzinfo=UTC) - east
    except (ValueError, OverflowError):
        return None
    return Moment(at=at, precision=_PRECISIONS[size], offset=east // _MINUTE)


def written(at: datetime, zone: ZoneInfo) -> str:
    """Return a time as HL7 writes it: to the second, with its offset, in ``zone``."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
