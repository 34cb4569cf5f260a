"""After a restore from a backup: the topic knows decisions that the table has lost."""

from collections.abc import AsyncIterator, Sequence

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review import drafts, proposals
from hisbus_bus.flow.review.decide import keep
from hisbus_bus.flow.review.proposals import ACTOR, Standing
from hisbus_bus.flow.review.undo import revoke
from hisbus_bus.kernel import audit, outbox, people, tables
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.people import may
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import TOPIC, Decided, Proposed
from hisbus_bus.kernel.telemetry import logger
from hisbus_schemas import Decision

CHUNK = 500
"""Records read at a time."""

log = logger(step="review")


async def take_over(site: Site) -> int:
    """Insert the decisions that the topic holds and the table lacks; return how many. Before new ones are accepted.

    A decision of somebody who may not decide, as far as the table of users knows, is left out and logged.
    Where nothing is missing this only reads.

    Raises:
        RetryLater: log or database is away.
    """
    taken = 0
    async for records in _chunks(site):
        made = {decision.id: decision for decision in map(_read, records) if decision is not None}
        async with site.database.read() as connection:
            known = set(await connection.scalars(select(tables.decisions.c.id).where(tables.decisions.c.id.in_(made))))
        missing = [decision for id, decision in made.items() if id not in known]
        if missing:
            async with site.database.write() as connection:
                for decision in missing:
                    taken += await _take(connection, decision)
    return taken


async def _chunks(site: Site) -> AsyncIterator[Sequence[Record]]:
    ends = await site.log.ends("decisions")
    for partition, offset in (await site.log.begins("decisions")).items():
        while offset < ends.get(partition, 0):
            records = await site.log.read("decisions", partition, offset, CHUNK)
            if not records:
                break
            yield records
            offset = records[-1].offset + 1


def _read(record: Record) -> Decision | None:
    try:
        return Decision.model_validate_json(record.value)
    except ValidationError:
        log.error("a decision cannot be read", topic=record.topic, partition=record.partition, offset=record.offset)
        return None


async def _take(connection: AsyncConnection, decision: Decision) -> bool:
    table = tables.proposals
    if not may(await people.once_known(connection, decision.user), drafts.action_on(decision.approved)):
        log.warning("a decision of an unknown user is not taken over", user=decision.user, proposal=decision.proposal)
        return False
    found = (await connection.execute(select(table).where(table.c.id == decision.proposal))).one_or_none()
    row = await _make_room(connection, decision, Standing.of(found) if found else None)
    await keep(connection, decision)
    await audit.record(
        connection,
        actor=ACTOR,
        action="decision.taken_over",
        object=decision.id,
        encounter=decision.encounter,
        user=decision.user,
    )
    same = row is not None and decision.approved is not None and row.fingerprint == decision.approved.stamp()
    if row is not None and same and row.status not in Proposed.DECIDED:
        await proposals.turn(connection, row, decision.decision, TOPIC, f"user:{decision.user}")
    return True


async def _make_room(connection: AsyncConnection, decision: Decision, row: Standing | None) -> Standing | None:
    """Undo what stands where the topic holds another decision: it was taken back after the backup, and never left.

    Returns:
        The proposal as it stands now.
    """
    decisions = tables.decisions.c
    stands = (decisions.proposal == decision.proposal) & (decisions.state == Decided.STANDS)
    other = await connection.scalar(select(decisions.id).where(stands))
    if other is None:
        return row
    await outbox.take_back(connection, "decisions", decision.encounter, other, overdue=True)
    return await revoke(connection, other, row, TOPIC, ACTOR)
