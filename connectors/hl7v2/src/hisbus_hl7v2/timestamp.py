"""HL7 times (DTM, TS): when, how exactly, and in which zone."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hisbus_schemas import Moment, Precision

_DTM = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]+))?)?)?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-9]{2}))?"
)
_PRECISIONS: tuple[Precision, ...] = ("year", "month", "day", "hour", "minute", "second")


def moment(text: str, zone: ZoneInfo) -> Moment | None:
    """Return the time that an HL7 field gives, or None where it gives none. Without offset it is in ``zone``."""
    match = _DTM.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    parts = (year, month, day, hour, minute, second)
    given = 6 - parts.count(None)
    try:
        local = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(f"{fraction:0<6.6}") if fraction else 0,
            tzinfo=_offset(sign, int(zone_hours), int(zone_minutes)) if sign else zone,
        )
        at = local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    offset = local.utcoffset() or timedelta()
    return Moment(at=at, precision=_PRECISIONS[given - 1], offset=int(offset.total_seconds() // 60))


def _offset(sign: str, hours: int, minutes: int) -> timezone:
    if hours > 14 or minutes > 59:
        raise ValueError
    return timezone(timedelta(minutes=(hours * 60 + minutes) * (-1 if sign == "-" else 1)))


def written(at: datetime, zone: ZoneInfo) -> str:
    """Return a time as HL7 writes it: to the second, with its offset, in ``zone``."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
