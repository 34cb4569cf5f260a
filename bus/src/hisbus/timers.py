"""The timers step: keeps what agents want to be woken by, and wakes them once.

Wakes are compared with the wall clock, or with the feed's own where the encounter's connector runs by that.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables, wakes
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
            await self._replace(connection, newest)
            await store_offsets(connection, self.group, self.topic, batch.offsets)
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

    async def _replace(self, connection: AsyncConnection, newest: Mapping[Subject, Assessed]) -> None:
        heads, rows = tables.wake_heads.c, tables.wakes.c
        known = await connection.execute(
            select(heads.agent, heads.encounter, heads.version).where(tuple_(heads.agent, heads.encounter).in_(newest))
        )
        versions: dict[Subject, int] = {(row.agent, row.encounter): row.version for row in known}
        wanted = {who: said for who, said in newest.items() if said.version >= versions.get(who, 0)}
        if not wanted:
            return
        await self._store_heads(connection, wanted)
        subjects = tuple_(rows.agent, rows.encounter).in_(wanted)
        await connection.execute(delete(tables.wakes).where(subjects, rows.fired.is_(False)))
        fired = await connection.execute(select(rows.agent, rows.encounter, rows.name, rows.due).where(subjects))
        done = {tuple(row) for row in fired}
        clocks = await self._clock_of(connection, {encounter for _, encounter in wanted})
        fresh = {
            (agent, encounter, wake.name, wake.due): said.key
            for (agent, encounter), said in wanted.items()
            for wake in said.assessment.wakes
        }
        new = [
            dict(zip(("agent", "encounter", "name", "due"), wake, strict=True))
            | {"key": key, "clock": clocks.get(wake[1], "wall"), "fired": False}
            for wake, key in fresh.items()
            if wake not in done
        ]
        if new:
            await connection.execute(tables.wakes.insert(), new)

    async def _store_heads(self, connection: AsyncConnection, wanted: Mapping[Subject, Assessed]) -> None:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        statement = insert(tables.wake_heads)
        statement = statement.on_conflict_do_update(
            index_elements=["agent", "encounter"], set_={"version": statement.excluded.version}
        )
        await connection.execute(
            statement,
            [
                {"agent": agent, "encounter": encounter, "version": said.version}
                for (agent, encounter), said in sorted(wanted.items())
            ],
        )

    async def _clock_of(self, connection: AsyncConnection, encounters: set[str]) -> dict[str, str]:
        rows = tables.encounters.c
        found = await connection.execute(select(rows.id, rows.connector).where(rows.id.in_(encounters)))
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
