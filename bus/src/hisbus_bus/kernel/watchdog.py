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
class State:
    """How a consumer is at one moment."""

    paused: bool
    """It takes nothing: for an outage, or because it has its hands full."""
    partitions: Collection[int]
    """Those that it has."""
    at_work: Collection[int]
    """Those of which it has records in hand that run, or wait for another attempt."""
    batches: Collection[asyncio.Task[None]]
    """Those that run."""


class Clock:
    """For how long partitions have been where they are, from one look to the next. Pure."""

    def __init__(self) -> None:
        self._since: dict[tuple[int, int], float] = {}

    def silent_s(self, now: float, waiting: Mapping[int, int]) -> float:
        """Return for how long the one that has stood still longest has.

        Args:
            now: seconds, of a clock that never goes back.
            waiting: the partitions of which something should have been taken, each with the offset where it stands.
        """
        self._since = {place: self._since.get(place, now) for place in waiting.items()}
        return max((now - since for since in self._since.values()), default=0.0)


class Consuming(Protocol):
    """A step, as far as it matters here."""

    name: str
    topic: Name
    group: str
    stores: bool


class Watchdog:
    """Watches one consumer."""

    def __init__(self, site: Site, step: Consuming, state: Callable[[], State]) -> None:
        self._site, self._step, self._state = site, step, state
        self._log = logger(step=step.name, topic=step.topic, group=step.group)
        self._fetches = 0
        self._fetches_seen = 0
        self._begun: dict[asyncio.Task[None], float] = {}
        self._said: set[asyncio.Task[None]] = set()

    def fetched(self) -> None:
        """Note that a fetch has come back, with records or without."""
        self._fetches += 1

    async def watch(self) -> None:
        """Watch until it has fallen silent.

        Raises:
            Silent: its group is to be joined anew.
        """
        clock, now = Clock(), asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(PATROL_S)
            self._say_what_is_stuck(now())
            waiting = await self._waiting()
            seconds = clock.silent_s(now(), waiting)
            if seconds >= SILENT_S:
                text = "records wait and none comes: the group is joined anew"
                self._log.error(text, code="silent", seconds=round(seconds), count=len(waiting))
                REJOINS.labels(self._step.group).inc()
                raise Silent

    async def _waiting(self) -> Mapping[int, int]:
        """Return the partitions of which it could take records and has none, each with the offset where it stands."""
        answers, self._fetches_seen = self._fetches != self._fetches_seen, self._fetches
        site, step, before = self._site, self._step, self._state()
        # One that has no partition may be one too many; one whose fetch does not come back waits for its share.
        if before.paused or (answers and not before.partitions):
            return {}
        try:
            ends = await site.log.ends(step.topic)
            mine = before.partitions or ends.keys()
            done = await positions.reached(site, step.topic, step.group, set(mine), stores=step.stores)
        except RetryLater:
            return {}  # log or database is away: an outage, which others say
        at_work = {*before.at_work, *self._state().at_work}
        return {at: offset for at, offset in done.items() if offset < ends[at] and at not in at_work}

    def _say_what_is_stuck(self, now: float) -> None:
        self._begun = {task: self._begun.get(task, now) for task in self._state().batches}
        self._said &= self._begun.keys()
        for task, begun in self._begun.items():
            if now - begun >= STUCK_S and task not in self._said:
                self._said.add(task)
                self._log.error("a batch does not return", code="stuck", seconds=round(now - begun))
