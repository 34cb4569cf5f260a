"""The outbox: records that must follow a transaction whose input is not the log.

A row is inserted in the transaction; one relay at a time appends the rows that are there and deletes them.
It keeps no high-water mark, because rows commit out of order.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.database import SENT
from hisbus_bus.kernel.log import NewRecord, refuse_oversize
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import MIB

RELAY_LOCK = 4711002
"""Number of the advisory lock: one relay at a time."""
POLL_S = 0.2
"""Commands in other processes insert rows too, and cannot wake the relay."""
CHUNK = 200
CHUNK_BYTES = 32 * MIB
"""A chunk takes no further row once it holds this much."""


async def send(connection: AsyncConnection, *records: NewRecord) -> None:
    """Append records once this transaction has committed.

    Raises:
        BadMessage: one is larger than its topic allows.
    """
    for record in records:
        refuse_oversize(record)
    if records:
        await connection.execute(tables.outbox.insert(), [_row(record) for record in records])
        connection.info[SENT] = True


def _row(record: NewRecord) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": json.dumps(dict(record.headers)),
        "created": datetime.now(UTC),
    }


async def waiting(connection: AsyncConnection) -> int:
    """Return how many records have not reached the log yet."""
    return await connection.scalar(select(func.count()).select_from(tables.outbox)) or 0


class Relay:
    """Appends what the outbox holds, in the order of its rows, and deletes it."""

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
        """Append the oldest rows, then delete exactly these. Return how many there were."""
        rows = await self._oldest()
        if rows:
            # A crash in between appends them again; readers drop them by their ids.
            await self._site.log.append(
                [NewRecord(row.topic, row.key, row.value, json.loads(row.headers)) for row in rows]
            )
            async with self._site.database.write() as connection:
                await connection.execute(delete(tables.outbox).where(tables.outbox.c.id.in_([row.id for row in rows])))
        return len(rows)

    async def _oldest(self) -> Sequence[Any]:
        row = tables.outbox.c
        size = func.length(row.value)
        before = (func.sum(size).over(order_by=row.id) - size).label("before")
        chunk = select(row.id, before).order_by(row.id).limit(CHUNK).subquery()
        rows = select(tables.outbox).join(chunk, chunk.c.id == row.id).where(chunk.c.before < CHUNK_BYTES)
        async with self._site.database.read() as connection:
            return (await connection.execute(rows.order_by(row.id))).all()

    async def _wait(self, error: RetryLater) -> None:
        wait = self._site.settings.retry.wait_s(self._failures)
        self._log.warning("paused", code=error.code, seconds=round(wait, 3))
        await asyncio.sleep(wait)
