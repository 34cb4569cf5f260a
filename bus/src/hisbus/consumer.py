"""The consumer loop, once for all steps. CONTRACT (the implementation follows)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.log import Record
from hisbus.topics import Name


@dataclass(frozen=True, slots=True)
class Batch:
    """At most one record of each key, and what may be committed once they are done."""

    records: Sequence[Record]
    offsets: Mapping[int, int]
    """Next offset by partition, below which everything is done when this batch is. For ``store_offsets``."""


class Step(Protocol):
    """One step of the flow, as the loop sees it."""

    name: str
    """``chart``, ``dispatch.qc`` ...."""
    topic: Name
    group: str
    start: str
    """Where a group without position starts: ``begin`` or ``end``."""
    latest_only: bool
    """Hand over only the newest waiting record of a key; the older ones are done with it."""

    def wants(self, record: Record) -> bool:
        """Tell, from key and headers alone, whether the record concerns this step; others are done at once."""
        ...

    async def handle(self, batch: Batch) -> None:
        """Commit tables (with ``store_offsets`` in the same transaction), then append.

        Raises:
            RetryLater: what it depends on is down; the loop pauses and tries again, nothing counts as an attempt.
            BadMessage: of a single record: parked at once. Any other error: repeated one by one, then parked.
        """
        ...

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note that the record was parked, in the same transaction."""
        ...


async def store_offsets(connection: AsyncConnection, group: str, topic: Name, offsets: Mapping[int, int]) -> None:
    """Store a step's position beside what it wrote; never goes backwards."""
    raise NotImplementedError
