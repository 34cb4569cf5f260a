"""What became of a message: its events, the proposals that rest on them, their write-backs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.read.messages import Copy
from hisbus_bus.flow.review import proposals
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Event

MOST = 500
"""Most proposals of the stays that are looked through."""


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


async def _follow(connection: AsyncConnection, message: str, trace: Trace) -> None:
    events = tables.events
    rows = (
        await connection.execute(select(events.c.body, events.c.encounter).where(events.c.message == message))
    ).all()
    trace.events = sorted((Event.model_validate_json(row.body) for row in rows), key=lambda event: event.ordinal)
    trace.encounters = sorted({row.encounter for row in rows if row.encounter})
    table, writebacks = tables.proposals, tables.writebacks
    query = select(table).where(table.c.encounter.in_(trace.encounters)).order_by(table.c.opened.desc()).limit(MOST)
    made = {event.id for event in trace.events}
    for row in await connection.execute(query):
        if row.event in made or _rests_on(row, made):
            trace.proposals.append(
                ProposalTrace(id=row.id, agent=row.agent, rule=row.rule, status=row.status, encounter=row.encounter)
            )
    ids: Sequence[str] = [proposal.id for proposal in trace.proposals]
    for row in await connection.execute(select(writebacks).where(writebacks.c.proposal.in_(ids))):
        trace.writebacks.append(WriteBackTrace(id=row.id, proposal=row.proposal, status=row.status, code=row.code))


def _rests_on(row: Row[Any], events: set[str]) -> bool:
    """Tell whether a proposal read or quotes an entry as one of these events left it."""
    proposal = proposals.body(row)
    versions = {ref.rpartition("@")[2] for ref in proposal.reads}
    versions |= {item.version for item in proposal.evidence if item.version}
    return not versions.isdisjoint(events)
