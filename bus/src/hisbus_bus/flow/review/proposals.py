"""What a stored proposal is: its identity, its states, and whether what it rests on still stands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review import states
from hisbus_bus.flow.review.states import TABLE, Event, State
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.hot import Asked, ask, inserted
from hisbus_bus.kernel.states import STEP, Proposed
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Chart, Proposal

ACTOR = "step:review"
"""Who acts where no person does."""

_proposal: TypeAdapter[Proposal] = TypeAdapter(Proposal)


@dataclass(frozen=True, slots=True)
class Standing:
    """One revision of a proposal, as it was read from its table."""

    id: str
    identity: str
    revision: int
    agent: str
    encounter: str
    key: str
    rule: str
    department: str
    fingerprint: str
    status: str
    rectified: bool
    etag: str
    body: bytes
    release: str
    shadow: bool

    @classmethod
    def of(cls, row: Row[Any]) -> "Standing":
        """Return what a row of ``proposals`` says."""
        return cls(*(getattr(row, name) for name in cls.__slots__))

    @property
    def state(self) -> State:
        """Return where it stands in the table of states."""
        return State(self.status, self.rectified)


def identity(site: str, agent: str, encounter: str, key: str, *, shadow: bool = False) -> str:
    """Return what a finding is known by, however often it is computed. One that is tried unseen is another."""
    return digest(site, agent, encounter, key, *(["shadow"] if shadow else []))


def revision_id(identity: str, revision: int) -> str:
    """Return the id of one revision: the same when it is computed again from the topics."""
    return digest(identity, revision)


def etag(body: bytes, revision: int) -> str:
    """Return the hash of what a person sees and decides on. The body holds payload and reads."""
    return digest(body.decode(), revision)


def body(row: Standing | Row[Any]) -> Proposal:
    """Return the proposal that a row of ``proposals`` holds."""
    return _proposal.validate_json(row.body)


def stands(row: Standing, chart: Chart | None) -> bool:
    """Tell whether everything that a proposal read is still as it was. Without a chart nothing is."""
    return chart is not None and all(chart.holds(ref) for ref in body(row).reads)


async def turn(connection: AsyncConnection, row: Standing, event: Event, who: str, actor: str) -> Standing | None:
    """Move a proposal from where it was read to where the table of states leads; with history and audit.

    Returns:
        It as it stands now; None where somebody else moved it first, or the agent let it rest on something else:
        nothing is written then.

    Raises:
        Impossible: the table leads nowhere from there.
    """
    now = TABLE.after(row.state, event, who)
    table = tables.proposals
    mine = (table.c.id == row.id) & (table.c.status == row.status) & (table.c.etag == row.etag)
    moved = await connection.execute(update(table).where(mine).values(now._asdict()))
    if moved.rowcount:
        told, why = states.told(row.state, event, now), states.WHY.get(event, "")
        await note(connection, actor, [Note(row.id, row.encounter, told, why)])
        return replace(row, status=now.status, rectified=now.rectified)
    return None


class Note(NamedTuple):
    """A change of a proposal's state."""

    id: str
    encounter: str
    status: str
    why: str = ""
    """A stable code, where the status does not say it."""


async def note(connection: AsyncConnection, actor: str, notes: Sequence[Note]) -> None:
    """Write history and audit of changes of state."""
    await ask(connection, *noted(actor, notes))


def noted(actor: str, notes: Sequence[Note]) -> list[Asked]:
    """Ask for history and audit of changes of state, for ``hot.ask``."""
    if not notes:
        return []
    lines = [audit.line(proposal=one.id, status=one.status, actor=actor, detail=one.why) for one in notes]
    entries = [_entry(actor, one) for one in notes]
    return [inserted(tables.proposal_history, lines), inserted(tables.audit, entries)]


def _entry(actor: str, one: Note) -> dict[str, Any]:
    reason = {"reason": one.why} if one.why else {}
    return audit.entry(actor=actor, action=f"proposal.{one.status}", object=one.id, encounter=one.encounter, **reason)


async def refresh(connection: AsyncConnection, row: Standing, chart: Chart | None) -> str:
    """Compare a proposal with the chart as it is shown, and return its status now.

    An open one whose reads changed becomes stale; a stale one whose reads hold again is open again.

    Args:
        connection: of a transaction that may write.
        row: as read.
        chart: the encounter's, read in the same transaction.
    """
    if row.status not in Proposed.LIVE:
        return row.status
    holds = stands(row, chart)
    if holds == (row.status == Proposed.OPEN):
        return row.status
    moved = await turn(connection, row, "holds" if holds else "changed", STEP, ACTOR)
    return (moved or row).status
