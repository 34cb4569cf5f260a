"""One member of a group on the embedded log."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hisbus_bus.kernel.log import HANDED_OVER, Assigned, Record, gone
from hisbus_bus.kernel.log.handover import Handover
from hisbus_bus.kernel.log.sqlite_records import read_records
from hisbus_bus.kernel.topics import Name

if TYPE_CHECKING:
    from hisbus_bus.kernel.log.sqlite import SqliteLog


class Member:
    """Takes a topic's records for its group. See ``hisbus_bus.kernel.log``."""

    commit_every_s = 0.01

    def __init__(self, log: "SqliteLog", topic: Name, group: str, assigned: Assigned, start: str) -> None:
        self._log = log
        self._topic = topic
        self._group = group
        self._assigned = assigned
        self._start = start
        self._handover = Handover()
        self._paused = False
        self._closed = False
        self._woken = asyncio.Event()

    async def join(self) -> None:
        """Take the partition if no other member has it, and find where to start."""
        if self._log.members(self._topic, self._group)[0] is not self:
            return
        known = await self._assigned({0})
        begin = (await self._log.begins(self._topic))[0]
        committed = (await self._log.committed(self._topic, self._group)).get(0)
        if committed is None:
            # Written down before the first record: after a crash, "end" would be somewhere else.
            committed = begin if self._start == "begin" else self._log.end(self._topic)
            await self._log.commit(self._topic, self._group, committed, lazy=False)
        position = min(committed, known.get(0, committed))
        if position < begin:
            raise gone(self._topic, self._group, position)
        self._handover.hold({0: position})

    async def fetch(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records, in order; wait up to ``timeout`` seconds for the first."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._closed:
            self._woken.clear()
            if not self._handover.positions:
                await self.join()
            if records := await self._next(max_records):
                return records
            try:
                async with asyncio.timeout_at(deadline):
                    await self._woken.wait()
            except TimeoutError:
                break
        return []

    async def _next(self, max_records: int) -> Sequence[Record]:
        position = self._handover.positions.get(0)
        if position is None or self._paused or position >= self._log.end(self._topic):
            return []
        if offered := self._handover.take(max_records):
            HANDED_OVER.labels(self._group).inc(len(offered))
            return offered
        records = await self._log.query(lambda reader: read_records(reader, self._topic, position, max_records))
        if self._paused or self._closed:
            return []
        if not records or records[0].offset != position:
            raise gone(self._topic, self._group, position)
        return self._handover.fetched(records, max_records, _now())

    def offer(self, records: Sequence[Record]) -> None:
        """Hear of records that were stored just now."""
        for record in records:
            self._handover.offer(record, _now(), wanted=not self._paused)
        if not self._paused:
            self.wake()

    def pause(self) -> None:
        """Stop fetching until resumed."""
        self._paused = True

    def resume(self) -> None:
        """Go on fetching."""
        self._paused = False
        self.wake()

    def wake(self) -> None:
        """Look again: there may be something to fetch."""
        self._woken.set()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Store the next offset to read. Returns once it is durable."""
        if 0 in offsets:
            await self._log.commit(self._topic, self._group, offsets[0], lazy=True)

    async def close(self) -> None:
        """Leave the group without committing; the next member goes on from what is committed."""
        self._closed = True
        members = self._log.members(self._topic, self._group)
        if self in members:
            members.remove(self)
        for member in [self, *members]:
            member.wake()


def _now() -> float:
    return asyncio.get_running_loop().time()
