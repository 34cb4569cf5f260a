"""HL7 times (DTM, TS) as they are written."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo


def written(at: datetime, zone: ZoneInfo) -> str:
    """Return a time as HL7 writes it: to the second, with its offset, in ``zone``."""
    return _written(at.replace(microsecond=0), zone)


@lru_cache(maxsize=8)
def _written(at: datetime, zone: ZoneInfo) -> str:
    """Return a whole second; acknowledgements say the same one a thousand times."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
