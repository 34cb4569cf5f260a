"""The timers step: keeps what agents want to be woken by, and wakes them once.

Wakes are compared with the wall clock, or with the feed's own where the encounter's connector runs by that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables, wakes
from hisbus_bus.kernel.bulk import Rows, given, within, write
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.hot import Hot, ask
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import Name
from hisbus_schemas import Assessed

log = logger(step="timers")

WALL_POLL_S = 1.0
"""Longest sleep: the wall clock may be set, and another process may have stored a wake."""
FEED_POLL_S = 0.1
FIRED_AT_ONCE = 100

Subject = tuple[str, str]
"""Agent and encounter."""
Wanted = tuple[str, datetime]
"""Name and time of a wake."""

_heads, _wakes, _encounters = tables.wake_heads.c, tables.wakes.c, tables.encounters.c
_STORED = Hot(
    select(_heads.agent, _heads.encounter, _heads.version, _wakes.name, _wakes.due, _wakes.clock, _wakes.fired)
    .outerjoin_from(
        tables.wake_heads,
        tables.wakes,
        and_(
            _wakes.encounter == _heads.encounter,
            _wakes.agent == _heads.agent,
            within(_wakes.encounter, given("ids")),  # follows from the other two, and names what is sought
        ),
    )
    .where(within(_heads.encounter, given("ids")))
)
_THIS = and_(*(column == bindparam(f"its_{column.name}") for column in tables.wakes.primary_key))
_UNWANTED = Hot(delete(tables.wakes).where(_THIS, _wakes.fired.is_(False)))
_FIRED = Hot(update(tables.wakes).where(_THIS).values(fired=True))
_CONNECTORS = Hot(select(_encounters.id, _encounters.connector).where(within(_encounters.id, given("ids"))))

_waits = _wakes.fired.is_(False)
_clock = select(tables.clock.c.time).scalar_subquery()
_by_wall = and_(_waits, _wakes.clock == "wall", _wakes.due <= bindparam("now", type_=_wakes.due.type))
_by_feed = and_(_waits, _wakes.clock == "feed", _wakes.due <= _clock)
"""A wake's time is there on the feed's clock as it stands in the table; exactly equal counts."""


def _count(which: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).select_from(tables.wakes).where(which).scalar_subquery()


def _first(clock: str) -> ColumnElement[datetime]:
    first = select(func.min(_wakes.due, type_=_wakes.due.type))
    return first.where(_waits, _wakes.clock == clock).scalar_subquery()


# Two of each, because an index serves each of them and not their union.
_DUE = select(_count(_by_wall) + _count(_by_feed))
_FIRST = Hot(select(_first("wall").label("wall"), _first("feed").label("feed"), _clock.label("clock")))
_of_it = _encounters.id == _wakes.encounter
_key_now = func.coalesce(select(_encounters.key).where(_of_it).scalar_subquery(), _wakes.key)
_lanes_now = func.coalesce(select(_encounters.lanes).where(_of_it).scalar_subquery(), "[]")
_PICKED = Hot(
    select(_wakes.agent, _wakes.encounter, _wakes.name, _wakes.due, _key_now, _lanes_now)
    .where(or_(_by_wall, _by_feed))
    .order_by(_wakes.due, _wakes.encounter, _wakes.agent, _wakes.name)
    .limit(FIRED_AT_ONCE)
    .with_for_update(of=tables.wakes, skip_locked=True)
)


@dataclass(slots=True)
class _Stored:
    """What is known of a subject."""

    version: int = -1
    waiting: dict[Wanted, str] = field(default_factory=dict)
    """With the clock by which each fires."""
    fired: set[Wanted] = field(default_factory=set)


def _now() -> datetime:
    return datetime.now(UTC)


class Timers:
    """Stores wakes as a consumer (``handle``) and fires them as a loop (``run``).

    ``changed`` may be set by whoever knows that a wake could be due: the loop then looks at once.
    """

    name = "timers"
    topic: Name = "assessments"
    start = "begin"
    stores = True
    latest_only = False

    def __init__(
        self, site: Site, clocks: Mapping[str, str], now: Callable[[], datetime] = _now, part: Part | None = None
    ) -> None:
        """Take the clock (``wall`` or ``feed``) of each connector, and what an operator asks of the step."""
        self.group = site.group(self.name)
        self.changed = asyncio.Event()
        self._site = site
        self._clocks = clocks
        self._now = now
        self._part = part or Part("step:timers")
        self._part.attach(self.changed.set)

    def wants(self, record: Record) -> bool:
        """Take every assessment: no wake wanted also says something."""
        return True

    async def handle(self, batch: Batch) -> None:
        """Replace the wakes of each agent and encounter by those of its newest assessment."""
        newest: dict[Subject, Assessed] = {}
        for record in batch.records:
            assessed = record.read(Assessed)
            if assessed.shadow:
                continue  # its wakes would take the place of those that the agent asked for
            newest[assessed.agent, assessed.encounter] = assessed
        async with self._site.database.write() as connection:
            changed = await self._replace(connection, newest, position(self.group, self.topic, batch.offsets))
        if changed:
            self.changed.set()

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note nothing: the wakes stay as they were."""

    async def run(self) -> None:
        """Fire wakes as they become due, until cancelled."""
        while True:
            self.changed.clear()
            try:
                sleep_s = await self._until_next() if self._part.takes else WALL_POLL_S
                if sleep_s == 0.0 and await self.fire():
                    continue
            except RetryLater as error:
                log.warning("timers.paused", code=error.code)
                sleep_s = WALL_POLL_S
            with suppress(TimeoutError):
                # A wake that another process is firing just now is looked at again soon, not at once.
                await asyncio.wait_for(self.changed.wait(), sleep_s or FEED_POLL_S)

    async def fire(self) -> int:
        """Fire wakes that are due, the oldest first, a limited number at once. Return how many."""
        async with self._site.database.write() as connection:
            found = await _PICKED.rows(connection, now=self._now())
            if found:
                await ask(connection, _FIRED.each([_its(*wake[:4]) for wake in found]))
                await wakes.send(connection, self._site, self.name, (wakes.Wake(*wake) for wake in found))
        return len(found)

    async def _until_next(self) -> float:
        """Return how long to sleep, seconds; 0: a wake is due."""
        async with self._site.database.read() as connection:
            [(wall, feed, clock)] = await _FIRST.rows(connection)
        now = self._now()
        if (wall is not None and wall <= now) or (feed is not None and clock is not None and feed <= clock):
            return 0.0
        if feed is not None:
            return FEED_POLL_S
        return WALL_POLL_S if wall is None else min((wall - now).total_seconds(), WALL_POLL_S)

    async def _replace(self, connection: AsyncConnection, newest: Mapping[Subject, Assessed], reached: Rows) -> bool:
        """Write what differs from what is stored, mostly no more than the version. Tell whether there is a new wake."""
        known, clocks = await self._known(connection, newest)
        heads: list[dict[str, object]] = []
        gone: list[dict[str, object]] = []
        new: list[dict[str, object]] = []
        for (agent, encounter), said in sorted(newest.items()):
            its = known[agent, encounter]
            if said.version < its.version:
                continue
            subject = {"agent": agent, "encounter": encounter}
            if said.version > its.version:
                heads.append({**subject, "version": said.version})
            clock = clocks.get(encounter, "wall")
            named = {(wake.name, wake.due) for wake in said.assessment.wakes} - its.fired
            wanted = dict.fromkeys(named, clock)
            for name, due in sorted(dict(its.waiting.items() - wanted.items())):
                gone.append(_its(agent, encounter, name, due))
            for name, due in sorted(dict(wanted.items() - its.waiting.items())):
                new.append({**subject, "name": name, "due": due, "key": said.key, "clock": clock, "fired": False})
        # A wake that fires just now is kept: once is enough.
        rows = Rows(tables.wake_heads, heads), Rows(tables.wakes, new, "keep"), reached
        await write(connection, *rows, before=[_UNWANTED.each(gone)] if gone else [], last=True)
        return bool(new)

    async def _known(
        self, connection: AsyncConnection, newest: Mapping[Subject, Assessed]
    ) -> tuple[Mapping[Subject, _Stored], Mapping[str, str]]:
        """Return what is stored of subjects, and by which clocks the wakes that are wanted fire, by encounter."""
        waking = sorted({said.encounter for said in newest.values() if said.assessment.wakes})
        ids = sorted({encounter for _, encounter in newest})
        stored, connectors = await ask(connection, _STORED(ids=ids), _CONNECTORS(ids=waking))
        return _stored(stored), {row.id: self._clocks.get(row.connector, "wall") for row in connectors}


def _stored(rows: Iterable[Any]) -> Mapping[Subject, _Stored]:
    found: dict[Subject, _Stored] = defaultdict(_Stored)
    for row in rows:
        subject = found[row.agent, row.encounter]
        subject.version = row.version
        if row.fired:
            subject.fired.add((row.name, row.due))
        elif row.name is not None:
            subject.waiting[row.name, row.due] = row.clock
    return found


def _its(agent: str, encounter: str, name: str, due: datetime) -> dict[str, object]:
    return {"its_agent": agent, "its_encounter": encounter, "its_name": name, "its_due": due}


async def due(connection: AsyncConnection, now: datetime | None = None) -> int:
    """Count the wakes whose time is there and that have not fired."""
    return await connection.scalar(_DUE, {"now": now or _now()}) or 0
