"""HL7 times (DTM, TS): when, how exactly, and in which zone."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hisbus_schemas import Moment, Precision

_DTM = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,5})(\.[0-9]+)?([+-](?:0[0-9]|1[0-4])[0-5][0-9])?")
_PRECISIONS: dict[int, Precision] = {4: "year", 6: "month", 8: "day", 10: "hour", 12: "minute", 14: "second"}


def moment(text: str, zone: ZoneInfo) -> Moment | None:
    """Return the time that an HL7 field gives, or None where it gives none. Without offset it is in ``zone``."""
    match = _DTM.fullmatch(text.strip())
    if match is None:
        return None
    digits, fraction, offset = match.groups()
    day, clock = (digits + "0101"[len(digits) - 4 :])[:8] if len(digits) < 8 else digits[:8], digits[8:]
    if fraction and len(clock) < 6:
        return None
    try:
        local = datetime.fromisoformat(f"{day}T{clock or '00'}{fraction or ''}{offset or ''}")
        if offset is None:
            local = local.replace(tzinfo=zone)
        at = local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    east = local.utcoffset() or timedelta()
    return Moment(at=at, precision=_PRECISIONS[len(digits)], offset=int(east.total_seconds() // 60))


def written(at: datetime, zone: ZoneInfo) -> str:
    """Return a time as HL7 writes it: to the second, with its offset, in ``zone``."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
