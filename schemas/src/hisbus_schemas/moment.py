"""A time as its source gave it: when, how exactly, and in which zone."""

from datetime import datetime, timedelta, timezone
from typing import Literal

from hisbus_schemas.contract import Contract, Instant

Precision = Literal["year", "month", "day", "hour", "minute", "second"]


class Moment(Contract):
    """A source time in UTC with the precision and the offset it was written with."""

    at: Instant
    precision: Precision = "second"
    offset: int = 0
    """Minutes east of UTC that the source used."""

    def local(self) -> datetime:
        """Return the time as the source's clock showed it."""
        return self.at.astimezone(timezone(timedelta(minutes=self.offset)))

    def isoformat(self) -> str:
        """Return ISO 8601 in the source's offset, to the second."""
        return self.local().isoformat(timespec="seconds")
