"""What a consumer has in flight: which keys are ready, what runs, what waits until when, what may be committed.

Pure state, without a clock or a loop of its own, so that any interleaving can be tested. A key has a lane: its records
are taken one after the other, in the order of the log, and the next is not ready before the last is settled.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hisbus_bus.kernel.log import Record


@dataclass(slots=True, eq=False)
class Item:
    """A record in flight."""

    record: Record
    attempts: int = 0
    """Failures alone."""
    alone: bool = False
    """It was part of a batch that failed: hand it over by itself."""
    covers: "list[Item]" = field(default_factory=list)
    """Older records of the key, which are done when this one is."""


@dataclass(slots=True, eq=False)
class _Lane:
    waiting: deque[Item] = field(default_factory=deque)
    running: bool = False
    held_until: float | None = None


@dataclass(slots=True, eq=False)
class _Partition:
    unfinished: OrderedDict[int, Item] = field(default_factory=OrderedDict)
    """By offset, rising: records of a partition arrive in order."""
    next: int | None = None
    """After the last record that arrived; None: none did."""
    stopped: bool = False


class InFlight:
    """The records of one member of a group, from their arrival until they are settled."""

    def __init__(self, *, latest_only: bool = False) -> None:
        self._latest_only = latest_only
        self._partitions: dict[int, _Partition] = {}
        self._lanes: dict[str, _Lane] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._held: list[tuple[float, str]] = []
        self.count = 0
        """Records in flight."""
        self.bytes = 0
        """Size of their values."""

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that are assigned."""
        return self._partitions.keys()

    @property
    def in_hand(self) -> Collection[int]:
        """The partitions of which there are records in hand."""
        return {number for number, state in self._partitions.items() if state.unfinished}

    def assign(self, partitions: Iterable[int]) -> None:
        """Accept records of these partitions from now on."""
        partitions = list(partitions)
        self.revoke(partitions)
        for partition in partitions:
            self._partitions[partition] = _Partition()

    def stop(self, partitions: Iterable[int]) -> None:
        """Start nothing more of these partitions; what runs may still be settled, and counts for ``offsets``."""
        leaving = set(partitions)
        for partition in leaving & self._partitions.keys():
            self._partitions[partition].stopped = True
        for key, lane in list(self._lanes.items()):
            lane.waiting = deque(item for item in lane.waiting if item.record.partition not in leaving)
            self._place(key, lane)

    def revoke(self, partitions: Iterable[int]) -> None:
        """Forget these partitions; what becomes of their running records is ignored."""
        partitions = list(partitions)
        self.stop(partitions)
        for partition in partitions:
            if state := self._partitions.pop(partition, None):
                for item in state.unfinished.values():
                    self._let_go(item)

    def add(self, record: Record, *, wanted: bool = True) -> None:
        """Take a record in. One that is not wanted is done at once; one of a partition that is leaving is ignored.

        Raises:
            ValueError: it is not behind the last of its partition. Taking it would break the order or skip others.
        """
        state = self._partitions.get(record.partition)
        if state is None or state.stopped:
            return
        if state.next is not None and record.offset < state.next:
            raise ValueError("the log delivered a record out of order")
        state.next = record.offset + 1
        if not wanted:
            return
        item = state.unfinished[record.offset] = Item(record)
        self.count += 1
        self.bytes += len(record.value)
        lane = self._lanes.setdefault(record.key, _Lane())
        lane.waiting.append(item)
        self._place(record.key, lane)

    def take(self, now: float, limit: int) -> list[Item]:
        """Take the next batch: at most ``limit`` records, one of each key; empty where nothing is ready."""
        self._release(now)
        batch: list[Item] = []
        for key in list(self._ready):
            lane = self._lanes[key]
            alone = lane.waiting[-1 if self._latest_only else 0].alone
            if alone and batch:
                continue
            del self._ready[key]
            lane.running = True
            batch.append(self._pick(lane))
            if alone or len(batch) == limit:
                break
        return batch

    def done(self, items: Iterable[Item]) -> None:
        """Settle records: processed or parked, with what they cover."""
        for item in items:
            for each in (*item.covers, item):
                if self._in_hand(each):
                    del self._partitions[each.record.partition].unfinished[each.record.offset]
                    self._let_go(each)
            self._end(item)

    def put_back(self, items: Iterable[Item], *, alone: bool = False, until: float | None = None) -> None:
        """Give records back to the front of their lanes.

        Args:
            items: as taken.
            alone: hand each over by itself the next time.
            until: hold their keys until then.
        """
        for item in items:
            lane = self._lanes[item.record.key]
            lane.waiting.extendleft(each for each in (item, *reversed(item.covers)) if self._startable(each))
            lane.held_until = until
            item.alone = item.alone or alone
            item.covers = []
            self._end(item)
            if until is not None:
                heapq.heappush(self._held, (until, item.record.key))

    def offsets(self, without: Iterable[Item] = ()) -> Mapping[int, int]:
        """Return by partition the offset below which everything is settled, or will be once ``without`` is."""
        settled = {each for item in without for each in (*item.covers, item)}
        return {
            number: next((at for at, item in state.unfinished.items() if item not in settled), end)
            for number, state in self._partitions.items()
            if (end := state.next) is not None
        }

    def wakes(self) -> float | None:
        """Return when the first held key gets ready; None where none is held."""
        while self._held and not self._is_held(*self._held[0]):
            heapq.heappop(self._held)
        return self._held[0][0] if self._held else None

    def _pick(self, lane: _Lane) -> Item:
        if not self._latest_only:
            return lane.waiting.popleft()
        *older, newest = lane.waiting
        newest.covers = older
        lane.waiting.clear()
        return newest

    def _end(self, item: Item) -> None:
        """Note that a record runs no more, and get its lane ready for the next."""
        key = item.record.key
        lane = self._lanes[key]
        lane.running = False
        self._place(key, lane)

    def _place(self, key: str, lane: _Lane) -> None:
        """Put a lane where its state says."""
        if lane.running:
            return
        if not lane.waiting:
            self._lanes.pop(key)
            self._ready.pop(key, None)
        elif lane.held_until is None:
            self._ready.setdefault(key)

    def _release(self, now: float) -> None:
        while (when := self.wakes()) is not None and when <= now:
            _, key = heapq.heappop(self._held)
            self._lanes[key].held_until = None
            self._ready[key] = None

    def _is_held(self, when: float, key: str) -> bool:
        lane = self._lanes.get(key)
        return lane is not None and not lane.running and lane.held_until == when

    def _in_hand(self, item: Item) -> bool:
        """Tell whether a record still is this member's to settle."""
        state = self._partitions.get(item.record.partition)
        return state is not None and state.unfinished.get(item.record.offset) is item

    def _startable(self, item: Item) -> bool:
        return self._in_hand(item) and not self._partitions[item.record.partition].stopped

    def _let_go(self, item: Item) -> None:
        self.count -= 1
        self.bytes -= len(item.record.value)
