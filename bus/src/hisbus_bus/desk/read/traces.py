"""What became of a message: its events, the proposals that rest on them, their write-backs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.read.messages import Copy
from hisbus_bus.flow.review import proposals
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Event

MOST = 500
"""Most proposals of the stays that are looked through."""


_sent, _said, _event, _copy = tables.writebacks.c, tables.proposals.c, tables.events.c, tables.messages.c
_revision, _made = tables.proposals.alias("revision"), tables.decisions.alias("made")
_ORIGIN = (
    select(
        _copy.id.label("message"),
        _said.event,
        _said.encounter,
        _said.version,
        _said.release,
        tables.releases.c.content,
        _sent.decision,
        _made.c.id.label("made"),
    )
    .select_from(
        tables.writebacks.join(tables.proposals, _said.id == _sent.proposal)
        .join(_revision, _revision.c.identity == _said.identity)
        .join(_made, _made.c.proposal == _revision.c.id)
        .outerjoin(tables.events, _event.id == _said.event)
        .outerjoin(tables.messages, (_copy.message == _event.message) & _copy.first)
        .outerjoin(tables.releases, tables.releases.c.id == _said.release)
    )
    .where(_sent.id == bindparam("its"))
    .order_by(_revision.c.revision)
)


class ProposalTrace(BaseModel):
    """A proposal that a message led to."""

    id: str
    agent: str
    rule: str
    status: str
    encounter: str


class WriteBackTrace(BaseModel):
    """A write-back that a message led to."""

    id: str
    proposal: str
    status: str
    code: str


@dataclass
class Trace:
    """What became of one message."""

    events: list[Event] = field(default_factory=list)
    proposals: list[ProposalTrace] = field(default_factory=list)
    writebacks: list[WriteBackTrace] = field(default_factory=list)
    encounters: list[str] = field(default_factory=list)
    duplicate_of: str | None = None
    parked: str | None = None


async def of_message(site: Site, copy: Copy) -> Trace:
    """Return what became of a stored copy. A duplicate makes nothing: it names the first copy."""
    trace = Trace()
    messages, parked = tables.messages, tables.parked
    async with site.database.read() as connection:
        trace.parked = await connection.scalar(
            select(parked.c.id)
            .where(parked.c.message == copy.message, parked.c.status == "parked")
            .order_by(parked.c.parked.desc())
            .limit(1)
        )
        if copy.status == "duplicate":
            first = select(messages.c.id).where(messages.c.message == copy.message, messages.c.first)
            trace.duplicate_of = await connection.scalar(first)
            return trace
        if copy.status == "stored":
            return trace
        await _follow(connection, copy.message, trace)
    return trace


@dataclass(frozen=True)
class Origin:
    """What a write-back goes back to."""

    message: str | None
    """Id in the ledger of the first copy of the message that woke the agent; None where none did, or it is gone."""
    event: str
    """That the message made: it woke the agent. A newer mapping may have replaced it."""
    encounter: str
    version: int
    """Of the chart that the agent read."""
    release: str
    """That the agent went by; empty: none was registered then."""
    content: str | None
    """What that release is, JSON."""
    decision: str
    """That approved it."""
    decisions: Sequence[str]
    """Every decision on a revision of the same proposal, first first; the one that approved it is among them."""


async def of_writeback(connection: AsyncConnection, id: str) -> Origin | None:
    """Return in one query where a write-back came from; None where there is none of that id."""
    rows = (await connection.execute(_ORIGIN, {"its": id})).all()
    if not rows:
        return None
    first = rows[0]
    return Origin(
        message=first.message,
        event=first.event,
        encounter=first.encounter,
        version=first.version,
        release=first.release,
        content=first.content,
        decision=first.decision,
        decisions=[row.made for row in rows],
    )


async def _follow(connection: AsyncConnection, message: str, trace: Trace) -> None:
    events = tables.events
    rows = (
        await connection.execute(select(events.c.body, events.c.encounter).where(events.c.message == message))
    ).all()
    trace.events = sorted((Event.model_validate_json(row.body) for row in rows), key=lambda event: event.ordinal)
    trace.encounters = sorted({row.encounter for row in rows if row.encounter})
    table, writebacks = tables.proposals, tables.writebacks
    shown = table.c.encounter.in_(trace.encounters) & table.c.shadow.is_(False)
    query = select(table).where(shown).order_by(table.c.opened.desc()).limit(MOST)
    made = {event.id for event in trace.events}
    for row in await connection.execute(query):
        if row.event in made or rests_on(row, made):
            trace.proposals.append(
                ProposalTrace(id=row.id, agent=row.agent, rule=row.rule, status=row.status, encounter=row.encounter)
            )
    ids: Sequence[str] = [proposal.id for proposal in trace.proposals]
    for row in await connection.execute(select(writebacks).where(writebacks.c.proposal.in_(ids))):
        trace.writebacks.append(WriteBackTrace(id=row.id, proposal=row.proposal, status=row.status, code=row.code))


def rests_on(row: Row[Any], events: set[str]) -> bool:
    """Tell whether a proposal read or quotes an entry as one of these events left it."""
    proposal = proposals.body(row)
    versions = {ref.rpartition("@")[2] for ref in proposal.reads}
    versions |= {item.version for item in proposal.evidence if item.version}
    return not versions.isdisjoint(events)
