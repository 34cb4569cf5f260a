"""The rows of write-backs: how one is claimed, and how it moves from state to state.

``states.py`` says which moves there are. A lease says who works on a row. It runs out by the database's clock, because
those of machines differ.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.flow.writeback.states import QUEUED, SENDING, TABLE, UNDECIDED, Event
from hisbus_bus.kernel import audit, outbox, tables
from hisbus_bus.kernel.database import now
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import HIS, PERSON, STEP, WrittenBack
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Outcome, Receipt

ACTOR = "step:writeback"

LONGEST_SAID = 2000
"""Characters of what the HIS said that are kept."""

table = tables.writebacks


async def waiting(connection: AsyncConnection) -> int:
    """Count what has still to leave. What waits for a person does not count, nor what is held behind that."""
    earlier = table.alias()
    held = select(earlier.c.id).where(earlier.c.document == table.c.document, earlier.c.status == UNDECIDED).exists()
    return await connection.scalar(select(func.count()).where(table.c.status.in_(WrittenBack.LEAVING), ~held)) or 0


async def claim(connection: AsyncConnection, status: str, connector: str, lease_s: float) -> Outgoing | None:
    """Take a lease on a connector's next row that is due: to send (``queued``) or to look up (``undecided``).

    A document whose earlier write-back is queued, on its way or undecided holds back its later ones.
    """
    time = await now(connection)
    earlier = table.alias()
    held = (
        select(earlier.c.id)
        .where(
            earlier.c.document == table.c.document,
            earlier.c.id != table.c.id,
            or_(
                earlier.c.status.in_((SENDING, UNDECIDED)),
                and_(
                    earlier.c.status == QUEUED,
                    or_(
                        earlier.c.created < table.c.created,
                        and_(earlier.c.created == table.c.created, earlier.c.id < table.c.id),
                    ),
                ),
            ),
        )
        .exists()
    )
    due = select(table).where(
        table.c.status == status,
        table.c.not_before <= time,
        table.c.connector == connector,
        or_(table.c.lease_until.is_(None), table.c.lease_until < time),
    )
    if status == QUEUED:
        due = due.where(~held)
    due = due.order_by(table.c.not_before, table.c.id).limit(1).with_for_update(skip_locked=True, of=table)
    row = (await connection.execute(due)).one_or_none()
    if row is None:
        return None
    lease = {"lease": secrets.token_hex(16), "lease_until": time + timedelta(seconds=lease_s)}
    wanted = update(table).where(table.c.id == row.id).values(**lease).returning(table)
    return Outgoing.of((await connection.execute(wanted)).one())


async def begin(connection: AsyncConnection, row: Outgoing, body: bytes) -> bool:
    """Note that the first byte is about to leave. False where the lease is no longer ours."""
    mine = and_(table.c.lease == row.lease, table.c.lease_until > await now(connection))
    values = {"attempts": table.c.attempts + 1, "control_id": row.id, "body": body}
    return await _move(connection, row, "begun", STEP, mine, "", actor=ACTOR, **values)


async def settle(site: Site, connection: AsyncConnection, row: Outgoing, receipt: Receipt, **values: Any) -> bool:
    """Move a row of ours to what the HIS says of it, and let the receipt follow. False where it is no longer ours."""
    mine = table.c.lease == row.lease
    values["said"] = heard(receipt)
    moved = await _move(connection, row, receipt.outcome, HIS, mine, receipt.code, actor=ACTOR, **_free(values))
    if moved:
        await send_receipt(site, connection, row, receipt)
    return moved


async def set_aside(connection: AsyncConnection, row: Outgoing, event: Event, code: str, **values: Any) -> bool:
    """Move a row of ours without an answer of the HIS. False where it is no longer ours, or somebody gave it up."""
    mine = and_(table.c.lease == row.lease, table.c.status.in_(WrittenBack.LEAVING))
    return await _move(connection, row, event, STEP, mine, code, actor=ACTOR, **_free(values))


async def put_off(connection: AsyncConnection, row: Outgoing, code: str, wait_s: float) -> None:
    """Leave a row in its state, and try again later."""
    time = await now(connection)
    values = {"not_before": time + timedelta(seconds=wait_s), "failures": table.c.failures + 1, "code": code}
    mine = and_(table.c.id == row.id, table.c.lease == row.lease, table.c.status.in_((QUEUED, UNDECIDED)))
    await connection.execute(update(table).where(mine).values(**_free(values)))


async def end_leases(connection: AsyncConnection) -> None:
    """End every lease at once: those who hold them are known to be gone."""
    past = await now(connection) - timedelta(seconds=1)
    await connection.execute(update(table).where(table.c.lease_until.is_not(None)).values(lease_until=past))


async def reclaim(connection: AsyncConnection) -> int:
    """Declare undecided what was being sent by somebody who is gone. Return how many."""
    time = await now(connection)
    lost = select(table).where(table.c.status == SENDING, table.c.lease_until < time).with_for_update(skip_locked=True)
    rows = [Outgoing.of(row) for row in await connection.execute(lost)]
    for row in rows:
        # The lease id stays: the answer, should it come after all, is still taken.
        mine = table.c.lease == row.lease
        await _move(connection, row, "lost", STEP, mine, "lost", actor=ACTOR, not_before=time)
    return len(rows)


async def stir(connection: AsyncConnection) -> bool:
    """Tell whether there is any row that may have something to do."""
    some = select(table.c.id).where(table.c.status.in_((*WrittenBack.LEAVING, UNDECIDED))).limit(1)
    return await connection.scalar(some) is not None


async def homeless(connection: AsyncConnection) -> list[Outgoing]:
    """Return, and lock, the rows that were inserted before their stay's chart was there."""
    wanted = select(table).where(table.c.connector == "", table.c.status.in_((QUEUED, UNDECIDED)))
    return [Outgoing.of(row) for row in await connection.execute(wanted.with_for_update(skip_locked=True))]


async def house(connection: AsyncConnection, row: Outgoing, connector: str) -> None:
    """Give a row the connector of its stay."""
    await connection.execute(update(table).where(table.c.id == row.id).values(connector=connector))


async def answer(
    site: Site, connection: AsyncConnection, row: Outgoing, found: Event, note: str, user: str, receipt: Receipt
) -> bool:
    """Take a person's answer. False where somebody was quicker."""
    mine = and_(table.c.status == row.status, table.c.changed == row.changed)
    values = {"note": note, "resolved_by": user, "not_before": receipt.received, "failures": 0}
    moved = await _move(connection, row, found, PERSON, mine, receipt.code, actor=f"user:{user}", **_free(values))
    if moved:
        await send_receipt(site, connection, row, receipt)
    return moved


def _free(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "lease": "", "lease_until": None}


async def _move(
    connection: AsyncConnection,
    row: Outgoing,
    event: Event,
    who: str,
    mine: ColumnElement[bool],
    code: str,
    *,
    actor: str,
    **values: Any,
) -> bool:
    """Move a row that is still ours to where the table of states leads, with its audit.

    Raises:
        Impossible: it is ours, and stands where this cannot happen.
    """
    sources, status = TABLE.way(event, who)
    ours = and_(table.c.id == row.id, mine)
    changed = {**values, "status": status, "code": code, "changed": datetime.now(UTC)}
    moved = await connection.execute(update(table).where(ours, table.c.status.in_(sources)).values(**changed))
    if not moved.rowcount:
        stands = await connection.scalar(select(table.c.status).where(ours))
        if stands is not None:
            TABLE.after(stands, event, who)
        return False
    await tell(connection, row.id, row.proposal, row.encounter, status, code, actor)
    return True


async def tell(
    connection: AsyncConnection, id: str, proposal: str, encounter: str, status: str, code: str, actor: str
) -> None:
    """Write the audit of a change of state, and the line that the reviewer sees."""
    await audit.record(connection, actor=actor, action=f"writeback.{status}", object=id, encounter=encounter, code=code)
    await audit.history(connection, proposal=proposal, status=f"writeback.{status}", actor=actor, detail=code)


def heard(receipt: Receipt) -> str:
    """Return what the HIS said as it is kept: for the operator alone, bounded, without what no database takes."""
    return receipt.said.replace("\0", "")[:LONGEST_SAID]


async def send_receipt(site: Site, connection: AsyncConnection, row: Outgoing, receipt: Receipt) -> None:
    """Append a receipt once this transaction has committed; what the HIS said stays here."""
    headers = site.headers(
        id=digest("receipt", row.id, row.attempts, receipt.outcome, receipt.code, receipt.received.isoformat()),
        type="writeback.answered",
        source="writeback",
        time=receipt.received,
        correlation=row.encounter,
        causation=row.decision,
    )
    await outbox.send(connection, NewRecord("receipts", row.encounter, receipt.model_dump_json().encode(), headers))


def receipt(row: Outgoing, outcome: Outcome, code: str) -> Receipt:
    """Return a receipt of ours, where the HIS gave none."""
    return Receipt(writeback=row.id, outcome=outcome, code=code, received=datetime.now(UTC))
