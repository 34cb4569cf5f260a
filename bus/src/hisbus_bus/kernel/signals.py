"""Signals: a part of the site has changed its state. Written once when that begins and once when it ends.

A part is named as a control names its target: ``step:chart``, ``connector:his``, ``agent:qc``.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Row, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.telemetry import logger

Kind = Literal["outage", "down", "held"]
"""``outage``: a step waits for what it depends on; the detail is its code. ``down``: an agent cannot be called; the
detail is why. ``held``: an operator has brought it to rest; the detail is ``pause`` or ``drain``."""

AGAIN_S = 1.0
"""Wait before what could not be written is tried again, seconds."""

log = logger(step="signals")


@dataclass(frozen=True, slots=True)
class Signal:
    """One state of one part, from its beginning to its end."""

    id: int
    part: str
    kind: str
    """A ``Kind``."""
    since: datetime
    ended: datetime | None
    """None: it lasts."""
    detail: str
    """A stable code."""
    count: int
    """How often it was said to begin while it lasted: by several processes, or by one that was started again."""


async def begin(
    connection: AsyncConnection, part: str, kind: Kind, detail: str = "", since: datetime | None = None
) -> bool:
    """Note that a state begins, at ``since`` or now. False: it lasts already, and is counted once more."""
    row, lasts = tables.signals.c, tables.signals.c.ended.is_(None)
    more = update(tables.signals).where(row.part == part, row.kind == kind, lasts).values(count=row.count + 1)
    if (await connection.execute(more)).rowcount:
        return False
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"part": part, "kind": kind, "since": since or datetime.now(UTC), "detail": detail, "count": 1}
    await connection.execute(
        insert(tables.signals)
        .values(**values)
        .on_conflict_do_update(  # another process says so at the same moment
            index_elements=[row.part, row.kind], index_where=lasts, set_={"count": row.count + 1}
        )
    )
    return True


async def end(connection: AsyncConnection, part: str, kind: Kind, at: datetime | None = None) -> bool:
    """Note that a state ends, at a time or now. False: it did not last."""
    row = tables.signals.c
    lasting = update(tables.signals).where(row.part == part, row.kind == kind, row.ended.is_(None))
    return bool((await connection.execute(lasting.values(ended=at or datetime.now(UTC)))).rowcount)


async def lasting(connection: AsyncConnection) -> list[Signal]:
    """Return the states that last, the oldest first."""
    row = tables.signals.c
    return _read(await connection.execute(select(tables.signals).where(row.ended.is_(None)).order_by(row.id)))


async def newest(connection: AsyncConnection, limit: int, below: int | None = None) -> list[Signal]:
    """Return signals from the newest to the oldest: those whose number is below ``below``."""
    row = tables.signals.c
    wanted = select(tables.signals)
    if below is not None:
        wanted = wanted.where(row.id < below)
    return _read(await connection.execute(wanted.order_by(row.id.desc()).limit(limit)))


def _read(rows: Any) -> list[Signal]:
    found: Sequence[Row[Any]] = rows.all()
    return [Signal(**row._mapping) for row in found]


@dataclass(frozen=True, slots=True)
class _Change:
    part: str
    kind: Kind
    detail: str | None
    """None: it ends."""
    time: datetime


class Signals:
    """What a process says of its parts. Saying it is a moment; it is written as soon as the database takes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._said: dict[tuple[str, Kind], str | None] = {}
        self._unwritten: deque[_Change] = deque()
        self._woken = asyncio.Event()

    def begins(self, part: str, kind: Kind, detail: str = "") -> None:
        """Say that a state begins; nothing where that was said. Another detail ends the state before it."""
        before = self._said.get((part, kind))
        if before == detail:
            return
        if before is not None:
            self.ends(part, kind)
        log.warning("signal.begins", part=part, kind=kind, code=detail)
        self._change(part, kind, detail)

    def ends(self, part: str, kind: Kind) -> None:
        """Say that a state has ended. A process's first word on it also ends what a killed one has left."""
        before = self._said.get((part, kind), "")
        if before is None:
            return
        if (part, kind) in self._said:
            log.info("signal.ends", part=part, kind=kind, code=before)
        self._change(part, kind, None)

    def _change(self, part: str, kind: Kind, detail: str | None) -> None:
        self._said[part, kind] = detail
        self._unwritten.append(_Change(part, kind, detail, datetime.now(UTC)))
        self._woken.set()

    async def run(self) -> None:
        """Write what is said, until cancelled; while the database is away it is kept, with its times."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.write()
            except (RetryLater, SQLAlchemyError):  # beside intake the tables may not be there yet
                self._woken.set()
                await asyncio.sleep(AGAIN_S)

    async def write(self) -> None:
        """Write what was said and is not written.

        Raises:
            RetryLater: the database is away.
        """
        changes = list(self._unwritten)
        if not changes:
            return
        async with self._database.write() as connection:
            for change in changes:
                if change.detail is None:
                    await end(connection, change.part, change.kind, change.time)
                else:
                    await begin(connection, change.part, change.kind, change.detail, change.time)
        for _ in changes:
            self._unwritten.popleft()
