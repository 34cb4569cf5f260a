"""What keeps the bus going: write-backs, what was set aside, the audit; and what a person does about them."""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.cursors import Place
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.security import actor
from hisbus_bus.flow import writeback
from hisbus_bus.kernel import audit, controls, signals, tables
from hisbus_bus.kernel.people import User
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab import refused
from hisbus_mapping import Mapping

Rows = Sequence[Row[Any]]

PATIENCE_S = 3.0
"""So long a page waits until what is taken now has been read."""


@dataclass(frozen=True, slots=True)
class Again:
    """A parked row, with what became of its replay."""

    row: Row[Any]
    outcome: str
    """``sent``: its step has it again. Of a message that was refused when it arrived: ``refused`` still, ``read``,
    ``waiting`` to be read, or ``parked`` again. Empty: nobody has replayed it."""
    said: str = ""
    """Why it is refused or parked, or how it was read (``mapped``, ...)."""
    events: int | None = None
    """That it made; None: charts do not know them yet."""


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


async def replay(
    site: Site, user: User, mappings: Map[str, Mapping], id: str, *, force: bool, patience_s: float = PATIENCE_S
) -> Again:
    """Append a parked record to its step's input again; a message that was refused, if it is taken now.

    Args:
        site: whose.
        user: for the audit.
        mappings: what messages mean by today's settings, by connector.
        id: of the row.
        force: also where its sender has since stored another message of the same control id.
        patience_s: seconds that a message that is taken now is given to be read.

    Raises:
        Problem: there is none of that id.
        NotParked: it is not parked any more.
        Overtaken: its sender has stored another message of the same control id.
    """

    async def judge(_connection: AsyncConnection) -> refused.Judge:
        return refused.Judge(site.keys, mappings)

    async with site.database.write() as connection:
        row = await _known(connection, tables.parked, id)
        one = await refused.replay(connection, judge, id, force=force)
        action, code = ("parked.examined", {"code": one.refused}) if one.refused else ("parked.replayed", {})
        told = {"actor": actor(user), "object": id, "encounter": row.encounter, "step": row.step}
        await audit.record(connection, action=action, **told, **code)
    if not one.refused and refused.is_refused(row):
        await refused.became(site.database, [one], patience_s)
    return await became(site, id)


async def became(site: Site, id: str) -> Again:
    """Return a row that was replayed or judged anew, with what became of it.

    Raises:
        Problem: there is none of that id.
    """
    async with site.database.read() as connection:
        row = await _known(connection, tables.parked, id)
        if not refused.is_refused(row):
            return Again(row, "sent" if row.status != "parked" else "")
        if row.status == "parked":
            return Again(row, "refused", row.reason)
        its = await refused.of_row(connection, id, row.message)
        return Again(row, its.status, its.said, its.events)


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
