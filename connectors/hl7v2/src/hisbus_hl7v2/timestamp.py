"""HL7 times (DTM, TS) as they are written."""

from datetime import datetime
from zoneinfo import ZoneInfo


def written(at: datetime, zone: ZoneInfo) -> str:
    """Return a time as HL7 writes it: to the second, with its offset, in ``zone``."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
