"""``/messages``: where is my message, and what became of it?"""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, MOST, Cursor, Items, Limit
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.process import Process
from hisbus_bus.desk.read import followed, traces
from hisbus_bus.desk.read import messages as ledger
from hisbus_bus.desk.read.assignments import assign
from hisbus_bus.desk.read.messages import Copy, Found, Wanted
from hisbus_bus.desk.security import Assigner, Reader, SiteOf, Viewer, actor
from hisbus_bus.desk.views import message_viewed, viewed
from hisbus_bus.desk.words import Word
from hisbus_mapping import Losses

router = APIRouter(prefix="/messages", tags=["messages"])


STATES = "^(|stored|mapped|unmapped|not_production|duplicate|parked)$"


class MessageLine(BaseModel):
    """One stored copy of a message, as lists show it."""

    id: str
    """Of this copy."""
    message: str
    """The same for every copy of one message."""
    connector: str
    control_id: str
    type: str
    received: datetime
    status: str
    """``stored``, ``mapped``, ``unmapped``, ``not_production``, ``duplicate`` or ``parked``."""
    flags: list[str]
    reason: str

    @classmethod
    def of(cls, copy: Copy) -> "MessageLine":
        """Return a copy as lists show it."""
        return cls(**{name: getattr(copy, name) for name in cls.model_fields if name != "flags"}, flags=[*copy.flags])


class Message(MessageLine):
    """One stored copy of a message, with everything that became of it."""

    raw: str | None
    """As text; null where the log no longer keeps it."""
    ack: str
    events: list[dict[str, Any]]
    unmapped: list[str]
    """Segments that nothing reads."""
    losses: Losses | None
    """What was taken of it and what was left, in numbers and names of fields; null where it was not read."""
    proposals: list[traces.ProposalTrace]
    writebacks: list[traces.WriteBackTrace]
    duplicate_of: str | None
    """The first copy, where this is another."""
    parked: str | None
    """The parked row that waits for a replay."""
    way: followed.Way
    """Event by event: to which stay, to which agents, to which rules; or why not."""


class MessageSearch(BaseModel):
    """What to look for; everything that is given must hold."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    control_id: Word = ""
    patient: Word = ""
    """The patient's number."""
    visit: Word = ""
    """The visit's number."""
    text: Word = ""
    """Part of the original text."""
    limit: Annotated[int, Field(ge=1, le=MOST)] = LIMIT
    cursor: Annotated[str | None, Field(max_length=300)] = None

    @model_validator(mode="after")
    def _something(self) -> "MessageSearch":
        if not (self.control_id or self.patient or self.visit or self.text):
            raise ValueError("name at least one thing to search for")
        return self


class AssignmentBody(BaseModel):
    """To which stay a message belongs."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    encounter: Word
    """The stay's id, as `POST /charts/search` finds it; empty: the message goes where its own numbers lead."""
    force: bool = False
    """Also where the message names another patient than the stay's (`other_patient`)."""


class MessagesFound(Items[MessageLine]):
    """What a search found."""

    searched: int
    """Originals whose text was read; the next page goes on from there."""


@router.get("")
async def list_messages(
    site: SiteOf,
    user: Viewer,
    connector: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[str, Query(max_length=20, pattern=STATES)] = "",
    since: AwareDatetime | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[MessageLine]:
    """List messages from the newest to the oldest."""
    wanted = Wanted(connector=connector, status=status, since=since)
    found = await ledger.listing(site, wanted, limit, cursors.read(cursor))
    return Items(items=_lines(found), next_cursor=_next(found))


@router.post("/search")
async def search_messages(site: SiteOf, user: Reader, search: MessageSearch) -> MessagesFound:
    """Find messages by what identifies them or a patient.

    A search for text reads at most 2000 originals, the newest first, and says in `searched` how many it has read;
    the next page goes on from there.
    """
    wanted = Wanted(control_id=search.control_id, patient=search.patient, visit=search.visit, text=search.text)
    found = await ledger.listing(site, wanted, search.limit, cursors.read(search.cursor))
    by = [name for name in ("control_id", "patient", "visit", "text") if getattr(search, name)]
    await viewed(site, actor(user), "message.searched", by=by, found=len(found.items))
    return MessagesFound(items=_lines(found), next_cursor=_next(found), searched=found.searched)


@router.get("/{id}")
async def read_message(request: Request, site: SiteOf, user: Reader, id: Word) -> Message:
    """Read one message, and what became of it."""
    process: Process = request.app.state.process
    copy = await ledger.find(site, id)
    if copy is None:
        raise Problem("not_found")
    trace = await traces.of_message(site, copy)
    way = await followed.of_message(site, copy, process.agents)
    body = await ledger.body_of(site, id)
    await message_viewed(site, actor(user), id, trace.encounters)
    return Message(
        **MessageLine.of(copy).model_dump(),
        raw=None if body is None else ledger.decoded(body),
        ack=copy.ack,
        events=[json.loads(event.model_dump_json()) for event in trace.events],
        unmapped=[*copy.unmapped],
        losses=copy.losses,
        proposals=trace.proposals,
        writebacks=trace.writebacks,
        duplicate_of=trace.duplicate_of,
        parked=trace.parked,
        way=way,
    )


@router.post("/{id}/assignment")
async def assign_message(site: SiteOf, user: Assigner, id: Word, body: AssignmentBody) -> MessageLine:
    """Say to which stay a message belongs. It holds for every later reading of it, until somebody says otherwise."""
    return MessageLine.of(await assign(site, user, id, body.encounter, force=body.force))


def _lines(found: Found) -> list[MessageLine]:
    return [MessageLine.of(copy) for copy in found.items]


def _next(found: Found) -> str | None:
    return found.next.word() if found.next else None
