"""``/proposals``: what agents say, and the one place where a program may hand over a person's decision."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.problems import MEDIA_TYPE, ProblemBody
from hisbus_bus.desk.read import sources
from hisbus_bus.desk.read import worklist as queue
from hisbus_bus.desk.read.sources import Source
from hisbus_bus.desk.read.worklist import Filter, StayLine
from hisbus_bus.desk.security import Answerer, Reader, SiteOf, actor
from hisbus_bus.desk.views import viewed
from hisbus_bus.desk.words import Note, Tree, Word
from hisbus_bus.flow.review import opinions, proposals
from hisbus_bus.flow.review.decide import decide
from hisbus_bus.flow.review.opinions import Voice
from hisbus_bus.flow.review.undo import undo
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Answer, Evidence, Reason, Text

router = APIRouter(prefix="/proposals", tags=["proposals"])


class Change(BaseModel):
    """Something that happened to a proposal."""

    time: datetime
    status: str
    actor: str
    """``user:NAME`` or ``step:NAME``."""
    detail: str


class OpinionBody(BaseModel):
    """What another agent says of a proposal."""

    agent: str
    verdict: str
    """``confirm``, ``dispute`` or ``duplicate``."""
    message: Text
    evidence: list[Evidence]
    of: str
    """Of a duplicate: the id of the proposal that it repeats."""


class ProposalBody(BaseModel):
    """One revision of what an agent proposed."""

    id: str
    kind: str
    """``finding``, ``codeset`` or ``draft``."""
    agent: str
    rule: str
    key: str
    status: str
    state: str
    """Deadline rules: ``absent`` or ``late``."""
    severity: str
    points: float
    model: str
    """The model that judged it, or helped to. Empty: rules alone."""
    message: Text
    encounter: str
    visit: str
    """The visit's number."""
    backfill: bool
    """Its stay was read in later, and nothing of that came as it happened."""
    evidence: list[Evidence]
    reads: list[str]
    opened: datetime
    due: datetime | None
    payload: dict[str, Any]
    history: list[Change]
    opinions: list[OpinionBody]

    @classmethod
    def of(
        cls, row: Row[Any], stay: StayLine | None, history: Sequence[Row[Any]], voices: Sequence[Voice]
    ) -> "ProposalBody":
        """Return a row as the API shows it."""
        said = proposals.body(row)
        return cls(
            id=row.id,
            kind=row.kind,
            agent=row.agent,
            rule=row.rule,
            key=row.key,
            status=row.status,
            state=row.state,
            severity=row.severity,
            points=row.points,
            model=said.model,
            message=said.message,
            encounter=row.encounter,
            visit=stay.visit if stay else "",
            backfill=stay is not None and stay.backfill,
            evidence=said.evidence,
            reads=said.reads,
            opened=row.opened,
            due=row.due,
            payload=said.payload,
            history=[
                Change(time=change.time, status=change.status, actor=change.actor, detail=change.detail)
                for change in history
            ],
            opinions=[
                OpinionBody(agent=agent, **opinion.model_dump(exclude={"proposal"}))
                for agent, opinion in voices
                if agent != row.agent
            ],
        )


class DecisionBody(BaseModel):
    """What a person answers."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    decision: Answer
    reason: Reason | None = None
    """Required for a rejection."""
    note: Note = ""
    payload: Tree | None = None
    """Required for an edit: what takes the place of the proposed payload."""


@router.get("")
async def list_proposals(
    site: SiteOf,
    user: Reader,
    kind: Word = "",
    status: Word = "",
    agent: Word = "",
    rule: Word = "",
    department: Word = "",
    backfill: bool = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[ProposalBody]:
    """List proposals from the newest to the oldest; with `backfill` also those of stays that were read in later."""
    wanted = Filter(kind=kind, status=status, agent=agent, rule=rule, department=department, backfill=backfill)
    async with site.database.read() as connection:
        rows, following = await queue.page(connection, wanted, limit, cursors.read(cursor))
        items = await _bodies(connection, rows)
    await viewed(site, actor(user), "proposals.listed", proposals=[item.id for item in items])
    return Items(items=items, next_cursor=following.word() if following else None)


@router.get("/{id}")
async def read_proposal(site: SiteOf, user: Reader, id: Word, response: Response) -> ProposalBody:
    """Read one proposal. Its `ETag` is what a decision names."""
    row, _ = await queue.look(site, actor(user), id)
    return await _answer(site, row, response)


class Sources(BaseModel):
    """The messages that a proposal rests on."""

    items: list[Source]


@router.get("/{id}/messages")
async def read_sources(site: SiteOf, user: Reader, id: Word) -> Sources:
    """Read which messages a proposal's evidence, and all that it read, came from."""
    async with site.database.read() as connection:
        row = await queue.one(connection, id)
        items = (await sources.of(connection, [row]))[id]
    await viewed(
        site, actor(user), "proposal.viewed", id, encounter=row.encounter, messages=[one.message for one in items]
    )
    return Sources(items=[*items])


@router.post(
    "/{id}/decision",
    responses={
        status: {"model": ProblemBody, "content": {MEDIA_TYPE: {}}, "description": description}
        for status, description in ((409, "Decided"), (412, "Changed"), (428, "No If-Match"))
    },
)
async def decide_proposal(
    site: SiteOf,
    user: Answerer,
    id: Word,
    body: DecisionBody,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=200)] = None,
) -> ProposalBody:
    """Record a person's decision on exactly what `If-Match` names."""
    await decide(
        site,
        proposal_id=id,
        user=user.name,
        role=user.role,
        if_match=if_match and if_match.strip().strip('"'),
        decision=body.decision,
        reason=body.reason,
        note=body.note,
        payload=body.payload,
    )
    async with site.database.read() as connection:
        row = await queue.one(connection, id)
    return await _answer(site, row, response)


@router.post(
    "/{id}/decision/undo",
    responses={
        status: {"model": ProblemBody, "content": {MEDIA_TYPE: {}}, "description": description}
        for status, description in (
            (403, "Not theirs"),
            (404, "No such proposal"),
            (409, "Nothing to take back, or it has left"),
            (412, "Changed"),
            (428, "No If-Match"),
        )
    },
)
async def undo_decision(
    site: SiteOf,
    user: Answerer,
    id: Word,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=200)] = None,
) -> ProposalBody:
    """Take the decision on a proposal back, while it has not left. Who decided may, and an admin."""
    await undo(site, proposal_id=id, user=user.name, role=user.role, if_match=if_match and if_match.strip().strip('"'))
    async with site.database.read() as connection:
        row = await queue.one(connection, id)
    return await _answer(site, row, response)


async def _answer(site: Site, row: Row[Any], response: Response) -> ProposalBody:
    async with site.database.read() as connection:
        (item,) = await _bodies(connection, [row])
    response.headers["ETag"] = f'"{row.etag}"'
    return item


async def _bodies(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[ProposalBody]:
    stays = await queue.stays(connection, (row.encounter for row in rows))
    histories = await queue.histories(connection, (row.id for row in rows))
    voices = await opinions.on(connection, (row.encounter for row in rows))
    return [ProposalBody.of(row, stays.get(row.encounter), histories[row.id], voices.get(row.id, ())) for row in rows]
