"""The order of the fold as text, so that databases and maps compare it: source time first, arrival never."""

from datetime import datetime
from functools import lru_cache

from hisbus_schemas import Event

STAMP = 20
"""Length of a stamp."""
_ORDINAL = 6


def stamp(at: datetime) -> str:
    """Return a UTC time as text of fixed length; a fold order begins with it."""
    return at.strftime("%Y%m%d%H%M%S%f").zfill(STAMP)


def order_of(event: Event) -> str:
    """Return an event's place in the fold (``Event.order``) as text of fixed length."""
    at = event.position
    return _order(event.time.at, at.recorded, at.partition, at.offset, event.ordinal)


def arrival_of(event: Event) -> str:
    """Return where an event's message lies in ``raw`` and when it happened, as text that sorts by the first."""
    return f"{order_of(event)[STAMP:]} {event.time.at.isoformat()}"


def of_one_message(order: str, other: str) -> bool:
    """Tell whether two places in the fold are those of events of one message."""
    return order[STAMP:-_ORDINAL] == other[STAMP:-_ORDINAL]


@lru_cache(maxsize=4096)  # asked for several times while an event is in hand
def _order(time: datetime, recorded: datetime, partition: int, offset: int, ordinal: int) -> str:
    return f"{stamp(time)}{stamp(recorded)}{partition:06d}{offset:018d}{ordinal:0{_ORDINAL}d}"
