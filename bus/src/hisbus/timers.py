"""The timers step: keeps what agents want to be woken by, and wakes them once.

Wakes are compared with the wall clock, or with the feed's own where the encounter's connector runs by that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables, wakes
from hisbus.bulk import Rows, given, within, write
from hisbus.consumer import Batch, store_offsets
from hisbus.errors import RetryLater
from hisbus.log import Record
from hisbus.site import Site
from hisbus.telemetry import logger
from hisbus.topics import Name
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
_STORED = (
    select(_heads.agent, _heads.encounter, _heads.version, _wakes.name, _wakes.due, _wakes.clock, _wakes.fired)
    .outerjoin_from(
        tables.wake_heads,
        tables.wakes,
        and_(_wakes.encounter == _heads.encounter, _wakes.agent == _heads.agent),
    )
    .where(within(_heads.encounter, given("ids")))
)
_UNWANTED = delete(tables.wakes).where(
    *(column == bindparam(f"its_{column.name}") for column in tables.wakes.primary_key), _wakes.fired.is_(False)
)
_CONNECTORS = select(_encounters.id, _encounters.connector).where(within(_encounters.id, given("ids")))


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
    latest_only = False

    def __init__(self, site: Site, clocks: Mapping[str, str], now: Callable[[], datetime] = _now) -> None:
        """Take the clock (``wall`` or ``feed``) of each connector."""
        self.group = site.group(self.name)
        self.changed = asyncio.Event()
        self._site = site
        self._clocks = clocks
        self._now = now

    def wants(self, record: Record) -> bool:
        """Take every assessment: no wake wanted also says something."""
        return True

    async def handle(self, batch: Batch) -> None:
        """Replace the wakes of each agent and encounter by those of its newest assessment."""
        newest: dict[Subject, Assessed] = {}
        for record in batch.records:
            assessed = Assessed.model_validate_json(record.value)
            newest[assessed.agent, assessed.encounter] = assessed
        async with self._site.database.write() as connection:
            changed = await self._replace(connection, newest)
            await store_offsets(connection, self.group, self.topic, batch.offsets)
        if changed:
            self.changed.set()

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note nothing: the wakes stay as they were."""

    async def run(self) -> None:
        """Fire wakes as they become due, until cancelled."""
        while True:
            self.changed.clear()
            try:
                async with self._site.database.read() as connection:
                    waiting = await due(connection, self._now())
                    sleep_s = await self._until_next(connection)
                if waiting and await self.fire():
                    continue
            except RetryLater as error:
                log.warning("timers.paused", code=error.code)
                sleep_s = WALL_POLL_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), sleep_s)

    async def fire(self) -> int:
        """Fire wakes that are due, the oldest first, a limited number at once. Return how many."""
        rows, keys = tables.wakes.c, tables.encounters.c
        key_now = select(keys.key).where(keys.id == rows.encounter).scalar_subquery()
        picked = (
            select(rows.agent, rows.encounter, rows.name, rows.due, func.coalesce(key_now, rows.key).label("key"))
            .where(or_(_due_by_wall(self._now()), _due_by_feed()))
            .order_by(rows.due, rows.encounter, rows.agent, rows.name)
            .limit(FIRED_AT_ONCE)
            .with_for_update(of=tables.wakes, skip_locked=True)
        )
        async with self._site.database.write() as connection:
            found = (await connection.execute(picked)).all()
            for wake in found:
                await connection.execute(
                    update(tables.wakes)
                    .where(
                        rows.agent == wake.agent,
                        rows.encounter == wake.encounter,
                        rows.name == wake.name,
                        rows.due == wake.due,
                    )
                    .values(fired=True)
                )
                await wakes.send(
                    connection,
                    self._site,
                    source=self.name,
                    agent=wake.agent,
                    encounter=wake.encounter,
                    name=wake.name,
                    due=wake.due,
                    key=wake.key,
                )
        return len(found)

    async def _replace(self, connection: AsyncConnection, newest: Mapping[Subject, Assessed]) -> bool:
        """Write what differs from what is stored, mostly no more than the version. Tell whether there is a new wake."""
        stored = await _stored(connection, {encounter for _, encounter in newest})
        heads: list[dict[str, object]] = []
        gone: list[dict[str, object]] = []
        new: list[dict[str, object]] = []
        clocks = await self._clocks_of(
            connection, {said.encounter for said in newest.values() if said.assessment.wakes}
        )
        for (agent, encounter), said in sorted(newest.items()):
            known = stored[agent, encounter]
            if said.version < known.version:
                continue
            subject = {"agent": agent, "encounter": encounter}
            if said.version > known.version:
                heads.append({**subject, "version": said.version})
            clock = clocks.get(encounter, "wall")
            named = {(wake.name, wake.due) for wake in said.assessment.wakes} - known.fired
            wanted = dict.fromkeys(named, clock)
            for name, due in sorted(dict(known.waiting.items() - wanted.items())):
                gone.append({"its_agent": agent, "its_encounter": encounter, "its_name": name, "its_due": due})
            for name, due in sorted(dict(wanted.items() - known.waiting.items())):
                new.append({**subject, "name": name, "due": due, "key": said.key, "clock": clock, "fired": False})
        if gone:
            await connection.execute(_UNWANTED, gone)
        # A wake that fires just now is kept: once is enough.
        await write(connection, Rows(tables.wake_heads, heads), Rows(tables.wakes, new, "keep"))
        return bool(new)

    async def _clocks_of(self, connection: AsyncConnection, encounters: set[str]) -> Mapping[str, str]:
        if not encounters:
            return {}
        found = await connection.execute(_CONNECTORS, {"ids": sorted(encounters)})
        return {row.id: self._clocks.get(row.connector, "wall") for row in found}

    async def _until_next(self, connection: AsyncConnection) -> float:
        rows = tables.wakes.c
        first: dict[str, datetime | None] = {
            clock: await connection.scalar(
                select(func.min(rows.due, type_=rows.due.type)).where(rows.fired.is_(False), rows.clock == clock)
            )
            for clock in ("feed", "wall")
        }
        if first["feed"] is not None:
            return FEED_POLL_S
        wall = first["wall"]
        return WALL_POLL_S if wall is None else min(max((wall - self._now()).total_seconds(), 0.0), WALL_POLL_S)


async def _stored(connection: AsyncConnection, encounters: set[str]) -> Mapping[Subject, _Stored]:
    found: dict[Subject, _Stored] = defaultdict(_Stored)
    for row in await connection.execute(_STORED, {"ids": sorted(encounters)}):
        subject = found[row.agent, row.encounter]
        subject.version = row.version
        if row.fired:
            subject.fired.add((row.name, row.due))
        elif row.name is not None:
            subject.waiting[row.name, row.due] = row.clock
    return found


def _due_by_wall(now: datetime) -> ColumnElement[bool]:
    rows = tables.wakes.c
    return and_(rows.fired.is_(False), rows.clock == "wall", rows.due <= now)


def _due_by_feed() -> ColumnElement[bool]:
    """Say in SQL that a wake's time is there on the feed's clock as it stands in the table; exactly equal counts."""
    rows = tables.wakes.c
    return and_(rows.fired.is_(False), rows.clock == "feed", rows.due <= select(tables.clock.c.time).scalar_subquery())


async def due(connection: AsyncConnection, now: datetime | None = None) -> int:
    """Count the wakes whose time is there and that have not fired."""
    # Two counts, because an index serves each of them and not their union.
    counts = [
        select(func.count()).select_from(tables.wakes).where(is_due).scalar_subquery()
        for is_due in (_due_by_wall(now or _now()), _due_by_feed())
    ]
    return await connection.scalar(select(counts[0] + counts[1])) or 0
