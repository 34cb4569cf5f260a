"""The audit's seals: a chain of hashes over its rows, a daily anchor of it elsewhere, and whether all of that holds.

The sealer chains hashes over the rows in the order in which it found them, because rows commit out of order.
It looks at the newest rows only: a row put far below them later is never sealed, and ``verify`` names it.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger

EVERY_S = 1.0
RECENT = 10_000
"""Ids below the newest seal that are still looked at: far more than transactions are open at a time."""
PASS = 2_000
"""Rows sealed in one transaction."""
GRACE = timedelta(hours=6)
"""A row older than the seals before it by more than this was put there later; clocks differ by less."""
_LOCK = int.from_bytes(hashlib.sha256(b"hisbus audit sealer").digest()[:8], "big", signed=True)

log = logger(step="audit")


def _link(before: str, number: int, row: Row[Any]) -> str:
    """Return the seal of a row: the hash of the seal before it, its number and everything the row says."""
    said = [before, number, row.id, row.time.isoformat(), row.actor, row.action, row.object, row.encounter, row.detail]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


class Sealer:
    """Seals new rows every second and writes a daily anchor. Any number may run; one works at a time."""

    def __init__(self, site: Site) -> None:
        self._database = site.database
        self._anchor_file = site.settings.anchor_file
        self._anchored = ""

    async def run(self) -> None:
        """Seal until cancelled. While the database is away it waits."""
        while True:
            try:
                await self.seal()
            except RetryLater as error:
                log.warning("sealing waits", code=error.code)
            await asyncio.sleep(EVERY_S)

    async def seal(self) -> int:
        """Seal every row that has no seal and return how many there were."""
        at, sealed = datetime.now(UTC), 0
        while count := await self._pass(at):
            sealed += count
        await self._anchor(at)
        return sealed

    async def _pass(self, at: datetime) -> int:
        async with self._database.read() as connection:
            if not await _unsealed(connection, limit=1):
                return 0
        async with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                mine = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                if not mine:
                    return 0
            rows = await _unsealed(connection, limit=PASS)
            last = await _last_seal(connection)
            number, hash = (last.number, last.hash) if last else (0, "")
            seals = []
            for row in rows:
                number, hash = number + 1, _link(hash, number + 1, row)
                seals.append({"number": number, "audit": row.id, "hash": hash, "sealed": at})
            if seals:
                await connection.execute(tables.audit_seals.insert(), seals)
            return len(seals)

    async def _anchor(self, at: datetime) -> None:
        """Append ``DATE NUMBER HASH`` once a day. A file that is away is tried again with the next pass."""
        today = at.date().isoformat()
        if self._anchor_file is None or self._anchored == today:
            return
        async with self._database.read() as connection:
            last = await _last_seal(connection)
        if last is None:
            return
        try:
            await asyncio.to_thread(_append_anchor, self._anchor_file, today, f"{today} {last.number} {last.hash}\n")
        except OSError:
            log.warning("the anchor file cannot be written", exc_info=True)
        else:
            self._anchored = today


def _append_anchor(path: Path, today: str, line: str) -> None:
    if path.exists() and any(known.startswith(today) for known in path.read_text().splitlines()):
        return
    with path.open("a") as file:
        file.write(line)


async def _last_seal(connection: AsyncConnection) -> Row[Any] | None:
    seals = tables.audit_seals
    return (await connection.execute(select(seals).order_by(seals.c.number.desc()).limit(1))).one_or_none()


async def _unsealed(connection: AsyncConnection, limit: int) -> list[Row[Any]]:
    audit, seals = tables.audit, tables.audit_seals
    newest = await connection.scalar(select(func.max(seals.c.audit))) or 0
    wanted = (
        select(audit)
        .outerjoin(seals, seals.c.audit == audit.c.id)
        .where(audit.c.id > newest - RECENT, seals.c.number.is_(None))
        .order_by(audit.c.id)
        .limit(limit)
    )
    return list(await connection.execute(wanted))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``verify`` found."""

    sealed: int
    """Seals whose chain holds."""
    unsealed: int
    """Rows at the end that the sealer has not reached."""
    broken: int | None = None
    """Id of the first row that is not as it was sealed."""
    reason: str = ""
    """``changed``, ``deleted``, ``inserted``, or ``seal_missing`` (the id is then the missing number)."""
    anchors: tuple[str, ...] = ()
    """Dates of the anchors that the chain differs from."""

    @property
    def sound(self) -> bool:
        """Whether nothing was found wrong."""
        return self.broken is None and not self.anchors

    def __str__(self) -> str:
        said = f"{self.sealed} rows are as they were sealed; {self.unsealed} are not sealed yet."
        if self.broken is not None:
            said += f" First broken row: {self.broken} ({self.reason})."
        if self.anchors:
            said += f" The chain differs from the anchor of {', '.join(self.anchors)}."
        return said


async def verify(database: Database, anchor_file: Path | None = None) -> Verdict:
    """Compare every audit row with the chain of seals, and the chain with the anchors.

    Raises:
        ConfigError: the anchor file cannot be read.
    """
    anchors = await asyncio.to_thread(_read_anchors, anchor_file) if anchor_file else {}
    async with database.read() as connection:
        sealed, broken, reason = await _walk(connection, anchors)
        unsealed, inserted = await _outside(connection)
    if broken is None and inserted is not None:
        broken, reason = inserted, "inserted"
    # The walk took out what agrees: the rest differs, or lies behind the end of the chain.
    return Verdict(sealed, unsealed, broken, reason, tuple(sorted(date for date, _ in anchors.values())))


def _read_anchors(path: Path) -> dict[int, tuple[str, str]]:
    """Return date and hash of the anchors by number."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return {int(number): (date, hash) for date, number, hash in lines}
    except (OSError, ValueError) as error:
        raise ConfigError("The anchor file cannot be read. Check anchor_file and its lines.") from error


async def _walk(connection: AsyncConnection, anchors: dict[int, tuple[str, str]]) -> tuple[int, int | None, str]:
    """Follow the chain to its first broken link; take the anchors that agree with it out."""
    audit, seals = tables.audit, tables.audit_seals
    joined = (
        select(audit, seals.c.number, seals.c.audit.label("sealed_id"), seals.c.hash, seals.c.sealed)
        .select_from(seals)
        .outerjoin(audit, audit.c.id == seals.c.audit)
        .order_by(seals.c.number)
    )
    number, hash = 0, ""
    pass_at = earlier = datetime.min.replace(tzinfo=UTC)
    broken: tuple[int, str] | None = None
    async with connection.stream(joined) as rows:
        async for row in rows:
            if anchors.get(row.number, ("", ""))[1] == row.hash:
                del anchors[row.number]
            if broken:
                continue
            if row.sealed != pass_at:
                earlier, pass_at = pass_at, row.sealed
            if row.number != number + 1:
                broken = (number + 1, "seal_missing")
            elif row.id is None:
                broken = (row.sealed_id, "deleted")
            elif _link(hash, row.number, row) != row.hash:
                broken = (row.sealed_id, "changed")
            elif row.time + GRACE < earlier:
                broken = (row.sealed_id, "inserted")
            else:
                number, hash = row.number, row.hash
    return (number, *(broken or (None, "")))


async def _outside(connection: AsyncConnection) -> tuple[int, int | None]:
    """Count the rows without a seal, and find the first that cannot have been there when its like were sealed."""
    audit, seals = tables.audit, tables.audit_seals
    unsealed = select(audit.c.id, audit.c.time).outerjoin(seals, seals.c.audit == audit.c.id)
    unsealed = unsealed.where(seals.c.number.is_(None)).order_by(audit.c.id)
    last = await _last_seal(connection)
    newest = await connection.scalar(select(func.max(seals.c.audit))) or 0
    count, inserted = 0, None
    async with connection.stream(unsealed) as rows:
        async for row in rows:
            count += 1
            foreign = row.id <= newest - RECENT or (last is not None and row.time + GRACE < last.sealed)
            if foreign and inserted is None:
                inserted = row.id
    return count, inserted
