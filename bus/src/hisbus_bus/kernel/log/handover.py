"""Hand-over: what a process has appended reaches its own members of a group without a fetch.

The log stays the truth: a record is offered once its append is confirmed, and taken only where the member goes on; what
is missing in between is fetched, for others append to the same topic. So every record is taken once and in order, by
whichever way it comes first, and nothing depends on being offered.

Pure state, without a clock of its own, so that any interleaving can be tested.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.topics import MIB

MOST_RECORDS = 500
MOST_BYTES = 4 * MIB
"""What is offered beyond either of them is fetched, when its turn comes."""
QUIET_S = 0.25
"""A partition is fetched again after so long without an offer."""
STRANGE_S = 10.0
"""Nor is it left to offers for so long after another process has appended to it."""


@dataclass(slots=True)
class _Partition:
    position: int
    """The next offset to take."""
    offered: dict[int, Record] = field(default_factory=dict)
    """By offset, none below ``position``; some may lie behind a gap."""
    heard: float = -inf
    """When a record of it was offered last; never, where one had to be left to the fetch."""
    strange: tuple[int, float] | None = None
    """The last record that was fetched and that nobody here had offered, and when."""


class Handover:
    """What one member of a group is offered, and where it stands."""

    def __init__(self, *, most_records: int = MOST_RECORDS, most_bytes: int = MOST_BYTES) -> None:
        self._most_records, self._most_bytes = most_records, most_bytes
        self._held: dict[int, _Partition] = {}
        self._count = self._bytes = 0

    def hold(self, positions: Mapping[int, int]) -> None:
        """Begin anew, with these partitions and where to go on in each; what was offered before is forgotten."""
        self._held = {partition: _Partition(position) for partition, position in positions.items()}
        self._count = self._bytes = 0

    @property
    def positions(self) -> dict[int, int]:
        """The next offset to take, by partition."""
        return {partition: held.position for partition, held in self._held.items()}

    def offer(self, record: Record, now: float, *, wanted: bool = True) -> None:
        """Hear of a record that is stored. It is kept where it may be taken soon, as long as there is room.

        Args:
            record: as a fetch would return it.
            now: seconds, of a clock that never goes back.
            wanted: the member fetches; one that is paused has its hands full.
        """
        held = self._held.get(record.partition)
        if held is None:
            return
        if record.offset < held.position:  # the fetch was faster
            held.heard = now
            if held.strange is not None and held.strange[0] == record.offset:
                held.strange = None
        elif wanted and self._count < self._most_records and self._bytes < self._most_bytes:
            held.heard = now
            held.offered[record.offset] = record
            self._count += 1
            self._bytes += len(record.value)
        else:
            held.heard = -inf

    def take(self, limit: int) -> list[Record]:
        """Take up to ``limit`` records that were offered, in each partition from where it stands and without a gap."""
        taken: list[Record] = []
        for partition, held in list(self._held.items()):
            while len(taken) < limit and (record := self._pop(held, held.position)) is not None:
                taken.append(record)
                held.position += 1
            if taken and len(taken) == limit:
                self._held[partition] = self._held.pop(partition)  # the others come first the next time
                break
        return taken

    def fetched(self, records: Iterable[Record], limit: int, now: float) -> list[Record]:
        """Take up to ``limit`` records that a fetch brought, but for those that were taken before."""
        taken: list[Record] = []
        for record in records:
            held = self._held.get(record.partition)
            if held is None or record.offset < held.position or len(taken) == limit:
                continue
            offered = self._pop(held, record.offset)
            if offered is None:
                held.strange = record.offset, now
            taken.append(offered or record)
            held.position = record.offset + 1
        return taken

    def suffices(self, partition: int, now: float) -> bool:
        """Tell whether a partition need not be fetched now: all that came lately was offered, without a gap."""
        held = self._held[partition]
        if held.offered and held.position not in held.offered:
            return False
        return now - held.heard < QUIET_S and (held.strange is None or now - held.strange[1] >= STRANGE_S)

    def _pop(self, held: _Partition, offset: int) -> Record | None:
        record = held.offered.pop(offset, None)
        if record is not None:
            self._count -= 1
            self._bytes -= len(record.value)
        return record
