"""Messages are read again once a person has said what a code is that they looked up: these, and no others.

An answer marks its code as pending, in its own transaction; here the mark is taken away when all messages are on their
way. Killed in between, this begins again, and leaves out what has been read with the answer by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select, update

from hisbus.errors import RetryLater
from hisbus_bus.kernel import audit, codes, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import digest
from hisbus_bus.lab.replay import Sent, again
from hisbus_mapping import Mapping

LOCK = 4711004
"""Number of the advisory lock: one process does this at a time."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
POLL_S = 0.5
"""Commands and pages in other processes answer, and cannot wake this."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The messages that looked a code up and went by another answer."""

    code: Row[Any]
    """Of the table of codes."""
    mapping: Mapping | None
    begin: datetime = LONG_AGO
    force: bool = False
    as_of: str = ""

    @property
    def condition(self) -> ColumnElement[bool]:
        """Return what singles out their first copies."""
        row = tables.messages.c
        return and_(row.first, row.message.in_(codes.stale(self.code.id)))

    @property
    def mark(self) -> str:
        """Return what tells this answer from another."""
        return digest("answered", self.code.id, self.code.answered)


class Answered:
    """Has messages read again."""

    def __init__(self, site: Site, mappings: Map[str, Mapping]) -> None:
        self._site = site
        self._mappings = mappings
        self._log = logger(step="answered")
        self._failures = 0

    async def run(self) -> None:
        """Work until cancelled. One process does; the others stand by."""
        while True:
            try:
                async with self._site.database.alone(LOCK) as check:
                    await self._follow(check)
            except RetryLater as error:
                self._failures += 1
                wait = self._site.settings.retry.wait_s(self._failures)
                self._log.warning("paused", code=error.code, seconds=round(wait, 3))
                await asyncio.sleep(wait)

    async def _follow(self, check: Callable[[], Awaitable[None]]) -> None:
        while True:
            await check()
            if not await self.next():
                await asyncio.sleep(POLL_S)
            self._failures = 0

    async def next(self) -> bool:
        """Have the messages of one answer read again. False: there is none to follow.

        Raises:
            RetryLater: nobody takes what was sent so far, or log or database are away.
        """
        code = tables.codes.c
        async with self._site.database.read() as connection:
            oldest = select(tables.codes).where(code.pending).order_by(code.answered).limit(1)
            row = (await connection.execute(oldest)).one_or_none()
        if row is None:
            return False
        sent = Sent()
        async for _ in again(self._site, Looked(row, self._mappings.get(row.connector)), sent):
            pass
        async with self._site.database.write() as connection:
            # Answered once more meanwhile, it stays pending.
            this = and_(code.id == row.id, code.answered == row.answered)
            await connection.execute(update(tables.codes).where(this).values(pending=False))
            told = {"actor": "step:translate", "action": "code.followed", "object": row.id}
            await audit.records(connection, [audit.entry(**told, count=sent.sent, gone=len(sent.gone))])
        return True
