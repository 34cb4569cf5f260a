"""Deciding: what a person answers, in one transaction, and never anything else than they saw.

It fails closed: a missing user, role, reason or precondition is a refusal.
"""

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import payloads
from hisbus.errors import Forbidden
from hisbus_bus.flow.review import codes, drafts, proposals
from hisbus_bus.flow.review.errors import (
    AlreadyDecided,
    BadCodes,
    Changed,
    Closed,
    Invalid,
    NotAuthor,
    PreconditionRequired,
    Unknown,
)
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.kernel import charts, outbox, people, tables
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.people import Object, User, may
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import PERSON, Decided, Proposed
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Answer, Decision, Finding, Proposal, Reason, Text

MAX_EDIT = 256 * 1024
"""Largest edit, characters of JSON."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    zh: str = Field(min_length=1, max_length=2000)
    en: str = Field(min_length=1, max_length=2000)


class _Edit(BaseModel):
    """What a person changes: the message, and whatever else by its name in the proposal's payload."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    message: _Message | None = None
    note: str | None = Field(None, max_length=2000)

    @property
    def payload(self) -> dict[str, Any]:
        """The changed fields of the payload; a note stands among them."""
        return {**(self.model_extra or {}), **({} if self.note is None else {"note": self.note})}


async def decide(
    site: Site,
    *,
    proposal_id: str,
    user: str,
    role: str,
    if_match: str | None,
    decision: str,
    reason: str | None = None,
    note: str = "",
    payload: Any = None,
) -> Decision:
    """Record a decision, and let it follow to the topic. Of two people at once one wins.

    Args:
        site: the site.
        proposal_id: the revision's id.
        user: the name of who decides.
        role: the role they came with; the one in the table must do as well.
        if_match: the etag of what they saw.
        decision: ``accept``, ``edit`` or ``reject``.
        reason: coded; a rejection needs one.
        note: a sentence of theirs.
        payload: an edit's changes: ``message`` (``zh`` and ``en``), ``note``, and other fields of the payload.

    Raises:
        Refused: one of ``review.errors``; nothing was decided. ``Changed`` may have made the proposal stale.
    """
    if not may(User(user, role), "answer"):
        raise Forbidden
    if not if_match:
        raise PreconditionRequired
    edit = _checked(decision, reason, note, payload)
    loaded = await asyncio.to_thread(codes.systems, site.settings.terms_file) if edit else frozenset[str]()
    try:
        async with site.database.write() as connection:
            # Looked up now: a role or an account may have ended since the page was shown.
            acting = await people.acting(connection, user, lock=True)
            row = await locked(connection, proposal_id)
            await _admit(connection, acting, role, row, decision)
            _still_waiting(row, if_match)
            chart = await charts.chart(connection, row.encounter)
            if await proposals.refresh(connection, row, chart) == Proposed.OPEN:
                before = await _undone(connection, row)
                made = _made(row, before, user, decision, reason, note, edit, loaded)
                await _store(site, connection, row, made)
                return made
    except IntegrityError as error:
        raise AlreadyDecided from error
    # Outside of the transaction, so that what it noted of the proposal's becoming stale is kept.
    raise Changed


async def _admit(connection: AsyncConnection, acting: User | None, role: str, row: Standing, decision: str) -> None:
    """Let pass who may answer, by the role that they came with and by what the tables say of them now.

    A draft without an author is nobody's, so a reviewer may reject it.

    Raises:
        Forbidden: they may not.
        NotAuthor: it is a draft, and another's.
    """
    if acting is None:
        raise Forbidden
    proposal = proposals.body(row)
    author, action = drafts.author_of(proposal), drafts.action_on(proposal)
    known = (await people.authors(connection, [author])).get(author)
    about = drafts.object_of(proposal, row.department, orphaned=known is not None and known.left)
    if action == "answer" and not author and decision == "reject":
        action, about = "decide", Object("proposal", department=row.department)
    if not all(may(one, action, about) for one in (acting, replace(acting, role=role))):
        raise NotAuthor if action == "answer" else Forbidden


def _checked(decision: str, reason: str | None, note: str, payload: Any) -> _Edit | None:
    """Return the edit, where there is one. Raises Invalid."""
    complete = (
        decision in get_args(Answer)
        and (reason is None or reason in get_args(Reason))
        and (decision != "reject" or reason is not None)
        and len(note) <= 2000
    )
    if not complete:
        raise Invalid
    if decision != "edit":
        return None
    try:
        edit = _Edit.model_validate(payload)
    except ValidationError:
        raise Invalid from None
    changed = edit.payload
    nothing = edit.message is None and not changed
    # Rule, evidence and the like are the agent's: nobody shall believe to have changed them.
    if nothing or changed.keys() & Finding.model_fields.keys() or len(json.dumps(changed)) > MAX_EDIT:
        raise Invalid
    return edit


async def locked(connection: AsyncConnection, proposal_id: str) -> Standing:
    """Return a proposal, locked until the transaction ends. Raises Unknown."""
    its = (tables.proposals.c.id == proposal_id) & tables.proposals.c.shadow.is_(False)
    wanted = select(tables.proposals).where(its).with_for_update()
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        raise Unknown
    return Standing.of(row)


def _still_waiting(row: Standing, if_match: str) -> None:
    if row.etag != if_match or row.status == Proposed.STALE:
        raise Changed
    if row.status in Proposed.DECIDED:
        raise AlreadyDecided
    if row.status != Proposed.OPEN:
        raise Closed


async def _undone(connection: AsyncConnection, row: Standing) -> int:
    """Count the decisions on it that were taken back: the next one has an id of its own."""
    table = tables.decisions
    query = select(func.count()).where(table.c.proposal == row.id, table.c.state == Decided.UNDONE)
    return await connection.scalar(query) or 0


def _made(
    row: Standing,
    before: int,
    user: str,
    decision: str,
    reason: str | None,
    note: str,
    edit: _Edit | None,
    loaded: Collection[str],
) -> Decision:
    return Decision(
        id=digest("decision", row.id, before),
        proposal=row.id,
        revision=row.revision,
        agent=row.agent,
        rule=row.rule,
        encounter=row.encounter,
        decision=decision,
        reason=reason,
        note=note,
        user=user,
        decided=datetime.now(UTC),
        etag=row.etag,
        approved=_approved(proposals.body(row), decision, edit, loaded),
        release=row.release,
        shadow=row.shadow,
    )


def _approved(proposal: Proposal, decision: str, edit: _Edit | None, loaded: Collection[str]) -> Proposal:
    """Return what a person answered to, with their changes. Raises where that may not leave."""
    approved = _edited(proposal, edit, loaded)
    document, coded = payloads.drafted(proposal), payloads.coded(approved)
    if document is not None and decision != "reject":
        drafts.check(document, payloads.drafted(approved))
    if coded is not None and decision != "reject" and not coded.codes:
        raise BadCodes
    return approved


def _edited(proposal: Proposal, edit: _Edit | None, loaded: Collection[str]) -> Proposal:
    if edit is None:
        return proposal
    changes: dict[str, Any] = {}
    if edit.message is not None:
        changes["message"] = Text(zh=edit.message.zh, en=edit.message.en)
    if edit.payload:
        changes["payload"] = {**proposal.payload, **edit.payload}
    edited = proposal.model_copy(update=changes)
    proposed = payloads.coded(proposal)
    if proposed is not None:
        codes.check(proposed, payloads.coded(edited), loaded)
    # The fingerprint is of what the agent said, and stays so.
    return edited.model_copy(update={"fingerprint": proposal.stamp()})


async def _store(site: Site, connection: AsyncConnection, row: Standing, made: Decision) -> None:
    await keep(connection, made)
    await proposals.turn(connection, row, made.decision, PERSON, f"user:{made.user}")
    headers = site.headers(
        id=made.id,
        type="proposal.decided",
        source="review",
        time=made.decided,
        correlation=made.encounter,
        causation=made.proposal,
    )
    record = NewRecord("decisions", made.encounter, made.model_dump_json().encode(), headers)
    await outbox.send(connection, record, grace_s=site.settings.review.grace_s)


async def keep(connection: AsyncConnection, made: Decision) -> None:
    """Insert a decision with exactly what was approved."""
    row = {
        "id": made.id,
        "proposal": made.proposal,
        "user": made.user,
        "decided": made.decided,
        "body": made.model_dump_json().encode(),
        "payload": made.approved.model_dump_json().encode() if made.approved else b"",
        "state": Decided.STANDS,
        "release": made.release,
        "shadow": made.shadow,
    }
    await connection.execute(tables.decisions.insert(), row)
