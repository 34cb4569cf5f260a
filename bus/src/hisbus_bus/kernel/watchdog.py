"""Notices a consumer that has fallen silent: it is free to take records, some wait for it, and none comes.

Whatever the cause is, an assignment lost on the way or a client that fetches no more, the cure is the same: leave the
group and join it anew, which delivers again what was not committed. A batch that does not return is said and left
alone: nobody but its step knows how long it may take.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from hisbus.errors import RetryLater
from hisbus_bus.kernel import positions
from hisbus_bus.kernel.log import REJOINS
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import Name

PATROL_S = 5.0
"""How often it looks; several times as long as one fetch waits."""
SILENT_S = 60.0
"""So long may none come. Twice what the members of a group wait for each other when partitions are dealt anew."""
STUCK_S = 300.0
"""A batch that has taken so long is said, once. An agent has half a minute for a call, and may wait for the model."""


class Silent(Exception):
    """The consumer has fallen silent."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of a consumer at one moment."""

    busy: bool
    """It works, waits for another attempt, or pauses for an outage: no wonder that nothing comes."""
    waiting: int
    """Records that wait for it."""
    progress: object
    """Other than the last one where anything was done."""


class Clock:
    """How long it has been silent, from one sight to the next. Pure."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last: Sight | None = None

    def silent_s(self, now: float, sight: Sight) -> float:
        """Return for how long every sight has been of a consumer that could have taken something and did not."""
        last, self._last = self._last, sight
        moved = last is None or last.progress != sight.progress
        if self._since is None or moved or sight.busy or not sight.waiting:
            self._since = now
        return now - self._since


class Consuming(Protocol):
    """A step, as far as it matters here."""

    name: str
    topic: Name
    group: str
    stores: bool


class Watchdog:
    """Watches one consumer."""

    def __init__(
        self,
        site: Site,
        step: Consuming,
        busy: Callable[[], bool],
        running: Callable[[], Collection[asyncio.Task[None]]],
        partitions: Callable[[], Collection[int]],
    ) -> None:
        """Take what tells how the consumer is.

        Args:
            site: the site it works for.
            step: what it consumes.
            busy: whether it has a reason to take nothing.
            running: the batches that run.
            partitions: those that it has.
        """
        self._site, self._step = site, step
        self._busy, self._running, self._partitions = busy, running, partitions
        self._log = logger(step=step.name, topic=step.topic, group=step.group)
        self._fetches = 0
        self._fetches_seen = 0
        self._records = 0
        self._begun: dict[asyncio.Task[None], float] = {}
        self._said: set[asyncio.Task[None]] = set()

    def fetched(self, records: int) -> None:
        """Note that a fetch has come back, and with how many records."""
        self._fetches += 1
        self._records += records

    async def watch(self) -> None:
        """Watch until it has fallen silent.

        Raises:
            Silent: its group is to be joined anew.
        """
        clock, now = Clock(), asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(PATROL_S)
            self._say_what_is_stuck(now())
            sight = await self._look()
            seconds = clock.silent_s(now(), sight)
            if seconds >= SILENT_S:
                text = "records wait and none comes: the group is joined anew"
                self._log.error(text, code="silent", seconds=round(seconds), count=sight.waiting)
                REJOINS.labels(self._step.group).inc()
                raise Silent

    async def _look(self) -> Sight:
        answers, self._fetches_seen = self._fetches != self._fetches_seen, self._fetches
        if self._busy():
            return Sight(True, 0, None)
        site, step = self._site, self._step
        try:
            ends = await site.log.ends(step.topic)
            # One that has no partition may be one too many; one whose fetch does not come back waits for its share.
            mine = self._partitions() or ([] if answers else ends.keys())
            done = await positions.reached(site, step.topic, step.group, mine, stores=step.stores)
        except RetryLater:
            return Sight(True, 0, None)  # log or database is away: an outage, which others say
        return Sight(self._busy(), _waiting(ends, done), (self._records, done))

    def _say_what_is_stuck(self, now: float) -> None:
        self._begun = {task: self._begun.get(task, now) for task in self._running()}
        self._said &= self._begun.keys()
        for task, begun in self._begun.items():
            if now - begun >= STUCK_S and task not in self._said:
                self._said.add(task)
                self._log.error("a batch does not return", code="stuck", seconds=round(now - begun))


def _waiting(ends: Mapping[int, int], done: Mapping[int, int]) -> int:
    return sum(max(0, ends[partition] - offset) for partition, offset in done.items())
