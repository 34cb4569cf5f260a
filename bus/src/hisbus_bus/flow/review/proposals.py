"""What a stored proposal is: its identity, its states, and whether what it rests on still stands."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Chart, Proposal

ACTOR = "step:review"
"""Who acts where no person does."""

LIVE = frozenset({"open", "stale"})
APPROVED = frozenset({"accepted", "edited"})
DECIDED = APPROVED | {"rejected"}

STATUS = {"accept": "accepted", "edit": "edited", "reject": "rejected"}
"""What a proposal becomes by a decision."""

_proposal: TypeAdapter[Proposal] = TypeAdapter(Proposal)


def identity(site: str, agent: str, encounter: str, key: str, *, shadow: bool = False) -> str:
    """Return what a finding is known by, however often it is computed. One that is tried unseen is another."""
    return digest(site, agent, encounter, key, *(["shadow"] if shadow else []))


def revision_id(identity: str, revision: int) -> str:
    """Return the id of one revision: the same when it is computed again from the topics."""
    return digest(identity, revision)


def etag(body: bytes, revision: int) -> str:
    """Return the hash of what a person sees and decides on. The body holds payload and reads."""
    return digest(body.decode(), revision)


def body(row: Row[Any]) -> Proposal:
    """Return the proposal that a row of ``proposals`` holds."""
    return _proposal.validate_json(row.body)


def stands(row: Row[Any], chart: Chart | None) -> bool:
    """Tell whether everything that a proposal read is still as it was. Without a chart nothing is."""
    return chart is not None and all(chart.holds(ref) for ref in body(row).reads)


async def turn(connection: AsyncConnection, row: Row[Any], status: str, actor: str, **values: Any) -> bool:
    """Move a proposal from the status it was read in to another; with history and audit.

    Returns:
        False where somebody else moved it first, or the agent let it rest on something else; nothing is written then.
    """
    table = tables.proposals
    mine = (table.c.id == row.id) & (table.c.status == row.status) & (table.c.etag == row.etag)
    moved = await connection.execute(update(table).where(mine).values(status=status, **values))
    if moved.rowcount:
        await note(connection, actor, [Note(row.id, row.encounter, status)])
    return bool(moved.rowcount)


class Note(NamedTuple):
    """A change of a proposal's state."""

    id: str
    encounter: str
    status: str


async def note(connection: AsyncConnection, actor: str, notes: Sequence[Note]) -> None:
    """Write history and audit of changes of state."""
    await audit.histories(connection, [audit.line(proposal=one.id, status=one.status, actor=actor) for one in notes])
    await audit.records(
        connection,
        [
            audit.entry(actor=actor, action=f"proposal.{one.status}", object=one.id, encounter=one.encounter)
            for one in notes
        ],
    )


async def refresh(connection: AsyncConnection, row: Row[Any], chart: Chart | None) -> str:
    """Compare a proposal with the chart as it is shown, and return its status now.

    An open one whose reads changed becomes stale; a stale one whose reads hold again is open again.

    Args:
        connection: of a transaction that may write.
        row: of ``proposals``, as read.
        chart: the encounter's, read in the same transaction.
    """
    status: str = row.status
    if status in LIVE:
        now = "open" if stands(row, chart) else "stale"
        if now != status and await turn(connection, row, now, ACTOR):
            return now
    return status
