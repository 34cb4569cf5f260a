"""The outbox: records that must follow a transaction whose input is not the log.

A row is inserted in the transaction; one relay at a time appends the rows that are there and deletes them.
It keeps no high-water mark, because rows commit out of order. A row with a grace stays until that is over, by the
database's clock; until then it can be taken back. The relay locks it while it sends it, so that it does not leave and
is taken back at once.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import SENT, now
from hisbus_bus.kernel.hot import Hot, ask, inserted
from hisbus_bus.kernel.log import NewRecord, refuse_oversize
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import MIB, Name

RELAY_LOCK = 4711002
"""Number of the advisory lock: one relay at a time."""
POLL_S = 0.2
"""Commands in other processes insert rows too, and cannot wake the relay."""
CHUNK = 200
CHUNK_BYTES = 32 * MIB
"""A chunk takes no further row once it holds this much."""


_row = tables.outbox.c
_size = func.length(_row.value)
_before = (func.sum(_size).over(order_by=_row.id) - _size).label("before")
_due = or_(_row.not_before.is_(None), _row.not_before <= bindparam("now", type_=_row.not_before.type))
_chunk = select(_row.id, _before).where(_due).order_by(_row.id).limit(bindparam("most", type_=Integer)).subquery()
_oldest = (
    select(tables.outbox)
    .join(_chunk, _chunk.c.id == _row.id)
    .where(_chunk.c.before < bindparam("bytes", type_=_row.id.type))
    .order_by(_row.id)
)
_OLDEST, _LOCKED = Hot(_oldest), Hot(_oldest.with_for_update(skip_locked=True, of=tables.outbox))
_SENT = Hot(delete(tables.outbox).where(_row.id == bindparam("its_id")))


async def send(connection: AsyncConnection, *records: NewRecord, grace_s: float = 0.0) -> None:
    """Append records once this transaction has committed and the grace is over, seconds.

    Raises:
        BadMessage: one is larger than its topic allows.
    """
    for record in records:
        refuse_oversize(record)
    if records:
        not_before = await now(connection) + timedelta(seconds=grace_s) if grace_s else None
        await ask(connection, inserted(tables.outbox, [_kept(record, not_before) for record in records]))
        connection.info[SENT] = True


async def take_back(connection: AsyncConnection, topic: Name, key: str, id: str, *, overdue: bool = False) -> bool:
    """Delete a record in its grace, so that it never leaves. False where it has left or is leaving.

    Its row is locked before the clock is read: once that is so, no relay can have found it due.

    Args:
        connection: of a transaction that may write.
        topic: where it would go,
        key: under which key,
        id: and under which ``ce_id``.
        overdue: after its grace, too: for who knows that it has not left.
    """
    row = tables.outbox.c
    mine = (row.topic == topic) & (row.key == key) & row.not_before.is_not(None)
    waiting = select(row.id, row.headers, row.not_before).where(mine).with_for_update(skip_locked=True)
    for one in await connection.execute(waiting):
        if json.loads(one.headers)["ce_id"] == id and (overdue or await now(connection) < one.not_before):
            await connection.execute(delete(tables.outbox).where(row.id == one.id))
            return True
    return False


def _kept(record: NewRecord, not_before: datetime | None) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": json.dumps(dict(record.headers)),
        "created": datetime.now(UTC),
        "not_before": not_before,
    }


async def waiting(connection: AsyncConnection) -> int:
    """Return how many records have not reached the log yet."""
    return await connection.scalar(select(func.count()).select_from(tables.outbox)) or 0


class Relay:
    """Appends what is due of what the outbox holds, in the order of its rows, and deletes it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._log = logger(step="relay")
        self._failures = 0

    async def run(self) -> None:
        """Work until cancelled. One relay works at a time; the others stand by."""
        while True:
            try:
                async with self._site.database.alone(RELAY_LOCK) as check:
                    await self._relay(check)
            except RetryLater as error:
                self._failures += 1
                await self._wait(error)

    async def _relay(self, check: Callable[[], Awaitable[None]]) -> None:
        sent = self._site.database.sent
        while True:
            sent.clear()
            await check()
            if await self._chunk():
                self._failures = 0
                continue
            try:
                async with asyncio.timeout(POLL_S):
                    await sent.wait()
            except TimeoutError:
                pass

    async def _chunk(self) -> int:
        """Append the oldest rows that are due, then delete exactly these. Return how many there were."""
        database = self._site.database
        async with database.read() as connection:
            rows = await self._oldest(connection)
        if any(row.not_before is not None for row in rows):
            # Somebody may be about to take one of these back: they are read again, and locked until they are gone.
            async with database.write() as connection:
                rows = await self._oldest(connection, lock=True)
                await self._append(rows)
                await self._delete(connection, rows)
        elif rows:
            await self._append(rows)
            async with database.write() as connection:
                await self._delete(connection, rows)
        return len(rows)

    async def _append(self, rows: Sequence[Any]) -> None:
        """Append rows. A crash before they are deleted appends them again; readers drop them by their ids."""
        await self._site.log.append([NewRecord(row.topic, row.key, row.value, json.loads(row.headers)) for row in rows])

    @staticmethod
    async def _delete(connection: AsyncConnection, rows: Sequence[Any]) -> None:
        await ask(connection, _SENT.each([{"its_id": row.id} for row in rows]), last=True)

    @staticmethod
    async def _oldest(connection: AsyncConnection, *, lock: bool = False) -> Sequence[Any]:
        oldest = _LOCKED if lock else _OLDEST
        return await oldest.rows(connection, now=await now(connection), most=CHUNK, bytes=CHUNK_BYTES)

    async def _wait(self, error: RetryLater) -> None:
        wait = self._site.settings.retry.wait_s(self._failures)
        self._log.warning("paused", code=error.code, seconds=round(wait, 3))
        await asyncio.sleep(wait)
