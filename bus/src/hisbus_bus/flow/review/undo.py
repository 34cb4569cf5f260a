"""Undoing: who decided takes it back within its grace, before anything of it has left."""

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import Forbidden
from hisbus_bus.flow.review import drafts, notes, proposals
from hisbus_bus.flow.review.decide import locked
from hisbus_bus.flow.review.errors import Changed, NotDecided, NotYours, PreconditionRequired, Sent
from hisbus_bus.flow.review.proposals import ACTOR, Standing
from hisbus_bus.kernel import charts, outbox, people, tables
from hisbus_bus.kernel.people import Object, User, may
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import PERSON, STEP, Decided, Proposed

_decision, _proposal = tables.decisions.c, tables.proposals.c


async def undo(site: Site, *, proposal_id: str, user: str, role: str, if_match: str | None) -> None:
    """Take a decision back, so that nothing of it leaves and the proposal waits again.

    What became of the proposal meanwhile is made up for: one that a newer revision has followed is superseded, one
    that the agent no longer says is resolved, one whose rule is not connected is withdrawn, one whose reads changed is
    stale.

    Args:
        site: the site.
        proposal_id: the revision's id.
        user: the name of who takes it back: who decided, or an admin.
        role: the role they came with; the one in the table must do as well.
        if_match: the etag of what they saw.

    Raises:
        Refused: one of ``review.errors``; nothing was undone.
    """
    came = User(user, role)
    if not may(came, "answer"):
        raise Forbidden
    if not if_match:
        raise PreconditionRequired
    async with site.database.write() as connection:
        acting = await people.acting(connection, user, lock=True)
        row = await locked(connection, proposal_id)
        its = Object("proposal", department=row.department)
        action = drafts.action_on(proposals.body(row))
        if not (may(came, action) and may(acting, action)):
            raise Forbidden
        if row.etag != if_match:
            raise Changed
        wanted = select(_decision.id, _decision.user).where(
            _decision.proposal == row.id, _decision.state == Decided.STANDS
        )
        made = (await connection.execute(wanted)).one_or_none()
        if made is None:
            raise NotDecided
        if made.user != user and not (may(came, "take_back", its) and may(acting, "take_back", its)):
            raise NotYours
        if not await outbox.take_back(connection, "decisions", row.encounter, made.id):
            raise Sent
        opened = await revoke(connection, made.id, row, PERSON, f"user:{user}")
        if opened is None:
            raise Changed
        await _catch_up(connection, row, opened)


async def revoke(
    connection: AsyncConnection, decision: str, row: Standing | None, who: str, actor: str
) -> Standing | None:
    """Mark a decision undone, and open its proposal, whose row is locked.

    Returns:
        The proposal as it stands now; None where there is none.
    """
    await connection.execute(update(tables.decisions).where(_decision.id == decision).values(state=Decided.UNDONE))
    if row is None or row.status not in Proposed.DECIDED:
        return row
    return await proposals.turn(connection, row, "undo", who, actor)


async def _catch_up(connection: AsyncConnection, row: Standing, opened: Standing) -> None:
    """Do what would have become of a proposal, had nobody decided."""
    later = select(exists().where(_proposal.identity == row.identity, _proposal.revision > row.revision))
    if await connection.scalar(later):
        await proposals.turn(connection, opened, "replaced", STEP, ACTOR)
    elif row.rectified:
        await proposals.turn(connection, opened, "unsaid", STEP, ACTOR)
    elif await notes.is_not_connected(connection, row.encounter, row.agent, row.rule):
        await proposals.turn(connection, opened, "disconnected", STEP, ACTOR)
    else:
        await proposals.refresh(connection, opened, await charts.chart(connection, row.encounter))
