"""Places: how far each source was read that is polled, and which process of the site polls it.

A process holds a place by a lease with a number. The lease runs out by the database's clock, because those of machines
differ. Each taking raises the number, and who has an older one can store nothing more.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import select, update

from hisbus.connector import Place
from hisbus.errors import BusError, LostPlace, RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.database import Database, now
from hisbus_bus.kernel.telemetry import logger

LEASE_S = 15.0
"""How long a place is held without being renewed; so long nobody polls after a holder died."""

table = tables.places
log = logger()


async def held(
    database: Database, connector: str, work: Callable[[Place], Awaitable[None]], lease_s: float = LEASE_S
) -> None:
    """Do work while this process is the one that holds a connector's place; until cancelled.

    The work is cancelled where the lease cannot be renewed, and begun again in this process's next turn.
    """
    holder = secrets.token_hex(8)
    while True:
        try:
            place = await _Held.take(database, connector, holder, lease_s)
            if place is not None:
                log.info("polls", connector=connector)
                await place.during(work)
        except RetryLater as error:
            log.warning("polling waits", connector=connector, code=error.code)
        await asyncio.sleep(lease_s / 10)  # what another process does is known to the database alone


class _Held:
    """A place that this process holds."""

    def __init__(self, database: Database, connector: str, number: int, lease_s: float, ends: float) -> None:
        self._database = database
        self._mine = (table.c.connector == connector, table.c.number == number)
        self._lease_s = lease_s
        self._ends = ends
        """By the loop's clock: when the work must have stopped. Before the lease runs out."""

    @classmethod
    async def take(cls, database: Database, connector: str, holder: str, lease_s: float) -> "_Held | None":
        """Take the place; None while another holds it."""
        ends = _ends(lease_s)
        async with database.write() as connection:
            time = await now(connection)
            first = {"connector": connector, "cursor": "", "holder": "", "number": 0, "until": time}
            await write(connection, Rows(table, [first], existing="keep"))
            free = update(table).where(table.c.connector == connector, table.c.until <= time)
            until = time + timedelta(seconds=lease_s)
            taken = free.values(holder=holder, number=table.c.number + 1, until=until).returning(table.c.number)
            number = (await connection.execute(taken)).scalar_one_or_none()
        return None if number is None else cls(database, connector, number, lease_s, ends)

    async def load(self) -> str:
        """Return what was stored last; empty at first."""
        async with self._database.read() as connection:
            cursor: str | None = await connection.scalar(select(table.c.cursor).where(*self._mine))
        if cursor is None:
            raise LostPlace
        return cursor

    async def store(self, cursor: str) -> None:
        """Keep how far the source was read."""
        async with self._database.write() as connection:
            stored = await connection.execute(update(table).where(*self._mine).values(cursor=cursor))
        if not stored.rowcount:
            raise LostPlace

    async def during(self, work: Callable[[Place], Awaitable[None]]) -> None:
        """Do work until it ends or the lease cannot be renewed; then let another take the place."""
        tasks = [asyncio.ensure_future(work(self)), asyncio.ensure_future(self._keep())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(RetryLater):  # then it runs out by itself
                await self._renew(0)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _keep(self) -> None:
        """Renew the lease for as long as that can be done.

        Raises:
            LostPlace: it cannot.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._lease_s / 5)
            ends = _ends(self._lease_s)
            try:
                async with asyncio.timeout_at(self._ends):
                    still = await self._renew(self._lease_s)
            except (RetryLater, TimeoutError) as error:
                if loop.time() < self._ends:
                    continue  # the database may be back before the lease runs out
                raise LostPlace from error
            if not still:
                raise LostPlace
            self._ends = ends

    async def _renew(self, lease_s: float) -> bool:
        async with self._database.write() as connection:
            until = await now(connection) + timedelta(seconds=lease_s)
            renewed = await connection.execute(update(table).where(*self._mine).values(until=until))
        return bool(renewed.rowcount)


def _ends(lease_s: float) -> float:
    """Return when the work must have stopped under a lease that is asked for now."""
    return asyncio.get_running_loop().time() + 0.8 * lease_s


class _Nowhere:
    """What a connector is given that does not poll: it touches no database."""

    async def load(self) -> str:
        raise BusError("Only a connector that declares polls = True has a place.", code="no_place")

    async def store(self, cursor: str) -> None:
        raise BusError("Only a connector that declares polls = True has a place.", code="no_place")


NOWHERE: Place = _Nowhere()
