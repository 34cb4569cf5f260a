"""What keeps the bus going: write-backs, what was set aside, the audit; and what a person does about them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.cursors import Place
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.security import actor
from hisbus_bus.flow import writeback
from hisbus_bus.kernel import audit, controls, parked, signals, tables
from hisbus_bus.kernel.people import User
from hisbus_bus.kernel.site import Site

Rows = Sequence[Row[Any]]


async def writebacks(
    site: Site, status: str, limit: int, after: Place | None, one: str = ""
) -> tuple[Rows, Place | None]:
    """Return write-backs from the newest to the oldest, or the one of an id, and where the next page begins."""
    table = tables.writebacks
    wanted = [table.c[name] == value for name, value in (("status", status), ("id", one)) if value]
    return await _newest(site, table, "created", wanted, limit, after)


async def resolve(site: Site, user: User, id: str, resolution: str, note: str) -> Row[Any]:
    """Answer a write-back that waits for a person, and return it. Raises what ``writeback.resolve`` raises."""
    await writeback.resolve(site, id, resolution, note, user.name)
    async with site.database.read() as connection:
        return await _known(connection, tables.writebacks, id)


async def parked_rows(
    site: Site, status: str, step: str, limit: int, after: Place | None, one: str = ""
) -> tuple[Rows, Place | None]:
    """Return what was set aside from the newest to the oldest, or the row of an id, and where the next page begins."""
    table = tables.parked
    given = (("status", status), ("step", step), ("id", one))
    wanted = [table.c[name] == value for name, value in given if value]
    return await _newest(site, table, "parked", wanted, limit, after)


async def replay(site: Site, user: User, id: str) -> Row[Any]:
    """Append a parked record to its step's input again, and return its row.

    Raises:
        Problem: there is none of that id, or it is not parked any more.
    """
    async with site.database.write() as connection:
        row = await _known(connection, tables.parked, id)
        if not await parked.replay(connection, id):
            raise Problem("not_waiting")
        await audit.record(
            connection, actor=actor(user), action="parked.replayed", object=id, encounter=row.encounter, step=row.step
        )
        return await _known(connection, tables.parked, id)


async def asked(site: Site) -> list[controls.Control]:
    """Return what operators asked of the parts of the site."""
    async with site.database.read() as connection:
        return await controls.read(connection)


async def ask(site: Site, user: User, target: str, wanted: controls.Wanted, reason: str) -> controls.Control:
    """Ask something of a part, and return what is asked of it now.

    Raises:
        UnknownTarget: there is no such part.
    """
    controls.check(site.settings, target)
    async with site.database.write() as connection:
        await controls.ask(connection, target, wanted, who=actor(user), reason=reason)
        return next(control for control in await controls.read(connection) if control.target == target)


async def signalled(site: Site, limit: int, below: int | None) -> tuple[list[signals.Signal], int | None]:
    """Return signals from the newest to the oldest, and the number that the next page stays below."""
    async with site.database.read() as connection:
        found = await signals.newest(connection, limit + 1, below)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


async def lasting(site: Site) -> list[signals.Signal]:
    """Return the states that last, but for what an operator holds, which ``asked`` tells."""
    async with site.database.read() as connection:
        return [signal for signal in await signals.lasting(connection) if signal.kind != "held"]


async def audit_rows(
    site: Site, by: str, action: str, encounter: str, limit: int, below: int | None
) -> tuple[Rows, int | None]:
    """Return the audit from the newest to the oldest, and the number that the next page stays below."""
    table = tables.audit
    filters = (("actor", by), ("action", action), ("encounter", encounter))
    wanted = [table.c[name] == value for name, value in filters if value]
    if below is not None:
        wanted.append(table.c.id < below)
    async with site.database.read() as connection:
        query = select(table).where(*wanted).order_by(table.c.id.desc()).limit(limit + 1)
        rows = (await connection.execute(query)).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


async def _newest(
    site: Site, table: Table, time: str, wanted: list[ColumnElement[bool]], limit: int, after: Place | None
) -> tuple[Rows, Place | None]:
    by = table.c[time]
    if after is not None:
        wanted = [*wanted, after.before(by, table.c.id)]
    async with site.database.read() as connection:
        query = select(table).where(*wanted).order_by(by.desc(), table.c.id.desc()).limit(limit + 1)
        rows = (await connection.execute(query)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], Place(getattr(last, time), last.id) if last else None


async def _known(connection: AsyncConnection, table: Table, id: str) -> Row[Any]:
    row = (await connection.execute(select(table).where(table.c.id == id))).one_or_none()
    if row is None:
        raise Problem("not_found")
    return row
