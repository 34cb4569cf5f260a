"""A person's answer, where the HIS gives none."""

from typing import Literal, get_args

from sqlalchemy import select

from hisbus.errors import Forbidden, Refused
from hisbus_bus.flow.writeback import ledger
from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.flow.writeback.states import Event
from hisbus_bus.kernel import people, tables
from hisbus_bus.kernel.people import Object, may
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import WrittenBack

Resolution = Literal["applied", "not_applied"]


class Unknown(Refused):
    """There is no such write-back."""

    code = "not_found"
    status = 404


class NotWaiting(Refused):
    """It does not wait for a person any more. Reload it."""

    code = "not_waiting"
    status = 409


class Incomplete(Refused):
    """Say applied or not_applied, with a note of how you know."""

    code = "bad_resolution"
    status = 422


async def resolve(site: Site, writeback_id: str, resolution: str, note: str, user: str) -> None:
    """Record what a person found out about a write-back that is undecided, stale or refused.

    ``applied`` ends it; ``not_applied`` queues it, and it is checked again before it leaves.

    Args:
        site: the site.
        writeback_id: of the write-back.
        resolution: ``applied`` or ``not_applied``.
        note: how the person knows.
        user: the person's name; the table of users says what they may.

    Raises:
        Forbidden, Unknown, NotWaiting, Incomplete: nothing was changed.
    """
    if resolution not in get_args(Resolution) or not note.strip() or len(note) > 2000:
        raise Incomplete
    table = tables.writebacks
    async with site.database.write() as connection:
        if not may(await people.acting(connection, user), "decide", Object("writeback")):
            raise Forbidden
        row = (await connection.execute(select(table).where(table.c.id == writeback_id))).one_or_none()
        if row is None:
            raise Unknown
        known = Outgoing.of(row)
        found: Event = "applied" if resolution == "applied" else "not_applied"
        receipt = ledger.receipt(known, "applied" if found == "applied" else "temporary", "person")
        waits = known.status in WrittenBack.FOR_A_PERSON
        if not waits or not await ledger.answer(site, connection, known, found, note, user, receipt):
            raise NotWaiting
