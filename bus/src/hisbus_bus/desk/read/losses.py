"""What profiles leave unread, by connector and field: added up over the newest messages."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from hisbus_bus.desk.cursors import Place
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import Database

MOST = 10_000
"""Most messages that are added up."""
PAGE = 500


@dataclass(slots=True)
class Connector:
    """What was taken and left of the messages of one connector."""

    name: str
    messages: int = 0
    values: int = 0
    """Fields with a value, each repetition counted."""
    read: int = 0
    collided: int = 0
    """Entries that had the identity of an earlier one of their message, and keep their ordinal."""
    left: Counter[str] = field(default_factory=Counter)
    """Values that were left, by their field."""
    holding: Counter[str] = field(default_factory=Counter)
    """Messages that have such values."""

    def add(self, losses: dict[str, Any]) -> None:
        """Add a message, as the ledger has it."""
        self.messages += 1
        self.values += losses.get("values", 0)
        self.read += losses.get("read", 0)
        self.collided += losses.get("collided", 0)
        unread = losses.get("unread", {})
        self.left.update(unread)
        self.holding.update(unread.keys())

    @property
    def places(self) -> list[tuple[str, int, int]]:
        """Return fields with their messages and values, those that most messages have first."""
        found = [(place, self.holding[place], values) for place, values in self.left.items()]
        return sorted(found, key=lambda one: (-one[1], -one[2], one[0]))


@dataclass(frozen=True, slots=True)
class Totals:
    """What was taken and left of the newest messages."""

    messages: int
    since: datetime | None
    """When the oldest of them came; none: there are none."""
    connectors: Sequence[Connector]


async def totals(database: Database, connector: str = "", most: int = MOST) -> Totals:
    """Add up what was taken and left of the newest messages that were read.

    Args:
        database: of the site.
        connector: whose messages; empty: of all.
        most: messages at most.
    """
    found: dict[str, Connector] = {}
    counted, since = 0, None
    async for page in _pages(database, connector, most):
        for row in page:
            found.setdefault(row.connector, Connector(row.connector)).add(json.loads(row.losses))
        counted, since = counted + len(page), page[-1].received
    return Totals(counted, since, [found[name] for name in sorted(found)])


async def _pages(database: Database, connector: str, most: int) -> AsyncIterator[Sequence[Any]]:
    """Yield ledger rows from the newest to the oldest."""
    row = tables.messages.c
    query = select(row.id, row.connector, row.received, row.losses).where(row.first, row.losses != "")
    query = query.order_by(row.received.desc(), row.id.desc())
    if connector:
        query = query.where(row.connector == connector)
    after: Place | None = None
    while most > 0:
        following = query if after is None else query.where(after.before(row.received, row.id))
        async with database.read() as connection:
            page = (await connection.execute(following.limit(min(PAGE, most)))).all()
        if page:
            yield page
        if len(page) < min(PAGE, most):
            return
        most -= len(page)
        after = Place(page[-1].received, page[-1].id)
