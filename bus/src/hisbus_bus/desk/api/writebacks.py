"""``/writebacks``: what went back to the HIS, and a person's answer where nobody knows whether it arrived."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import Reviewer, SiteOf, Viewer
from hisbus_bus.desk.words import Note, Word
from hisbus_bus.kernel.people import Object, User, may
from hisbus_bus.kernel.states import WrittenBack

router = APIRouter(prefix="/writebacks", tags=["writebacks"])


class WriteBackBody(BaseModel):
    """One write-back."""

    id: str
    proposal: str
    decision: str
    encounter: str
    connector: str
    status: str
    """``queued``, ``sending``, ``applied``, ``rejected_by_his``, ``stale`` or ``undecided``."""
    attempts: int
    code: str
    """A stable word for the last receipt."""
    said: str
    """What the HIS said in it, in its own words; empty for who may not decide."""
    created: datetime
    changed: datetime
    note: str
    resolved_by: str

    @classmethod
    def of(cls, row: Row[Any], user: User) -> "WriteBackBody":
        """Return a row as the API shows it to a user."""
        shown = {name: getattr(row, name) for name in cls.model_fields}
        return cls(**shown if may(user, "decide", Object("writeback")) else {**shown, "said": ""})


class ResolutionBody(BaseModel):
    """A person's answer to an undecided write-back."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    resolution: Literal["applied", "not_applied"]
    note: Note


@router.get("")
async def list_writebacks(
    site: SiteOf,
    user: Viewer,
    status: Annotated[str, Query(pattern=f"^(|{'|'.join(WrittenBack.ALL)})$")] = "",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[WriteBackBody]:
    """List write-backs from the newest to the oldest."""
    rows, following = await operations.writebacks(site, status, limit, cursors.read(cursor))
    items = [WriteBackBody.of(row, user) for row in rows]
    return Items(items=items, next_cursor=following.word() if following else None)


@router.post("/{id}/resolution")
async def resolve_writeback(site: SiteOf, user: Reviewer, id: Word, body: ResolutionBody) -> WriteBackBody:
    """Say whether an undecided write-back took effect."""
    return WriteBackBody.of(await operations.resolve(site, user, id, body.resolution, body.note), user)
