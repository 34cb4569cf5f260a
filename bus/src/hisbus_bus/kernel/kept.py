"""Stays that were read lately, so that of each no more is read again than what changed. Losing them costs only time."""

from collections import OrderedDict
from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import charts
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.stored import StoredChart

KEPT_BYTES = 48 * 1024 * 1024
"""Of the stays that are kept, about."""


class Kept:
    """Stays as they were read last, the ones that were asked for last."""

    def __init__(self, database: Database, most: int = KEPT_BYTES) -> None:
        """Keep nothing yet, and about so many bytes at most."""
        self._database = database
        self._most = most
        self._stays: OrderedDict[str, StoredChart] = OrderedDict()
        self._size = 0
        self._losses = 0

    async def read(self, connection: AsyncConnection, encounters: Collection[str]) -> dict[str, StoredChart]:
        """Return stays by their ids as they stand in a snapshot; those that no event has opened are left out.

        One call at a time. A database that was away may have been restored meanwhile: then all is read anew.
        """
        if self._losses != self._database.losses:
            self._losses = self._database.losses
            self._stays.clear()
            self._size = 0
        found = await charts.stored(connection, encounters, self._stays)
        for id, stay in found.items():
            self._size += stay.size - (self._stays[id].size if id in self._stays else 0)
            self._stays[id] = stay
            self._stays.move_to_end(id)
        while self._size > self._most and self._stays:
            self._size -= self._stays.popitem(last=False)[1].size
        return found
