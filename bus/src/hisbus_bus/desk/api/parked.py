"""``/parked``: what was set aside, and the way back."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import Row

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import Replayer, SiteOf, Viewer
from hisbus_bus.desk.words import Word

router = APIRouter(prefix="/parked", tags=["parked"])


class ParkedBody(BaseModel):
    """One record that was set aside. Its bytes are read as the message."""

    id: str
    step: str
    reason: str
    """A stable code."""
    stack: str
    """Where it was raised, as a hash."""
    attempts: int
    parked: datetime
    status: str
    """``parked``, ``replayed`` or ``closed``."""
    message: str
    encounter: str
    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, row: Row[Any]) -> "ParkedBody":
        """Return a row as the API shows it."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ReplayedBody(ParkedBody):
    """A record that was replayed, and what became of it."""

    outcome: str
    """``sent``: its step has it again. Of a message that was refused when it arrived: ``refused`` still, ``read``,
    ``waiting`` to be read, or ``parked`` again."""
    said: str
    """Why it is refused or parked, or how it was read (``mapped``, ...); else empty."""
    events: int | None
    """That it made, as far as charts know them."""


@router.get("")
async def list_parked(
    site: SiteOf,
    user: Viewer,
    status: Annotated[str, Query(pattern="^(|parked|replayed|closed)$")] = "",
    step: Word = "",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[ParkedBody]:
    """List what was set aside from the newest to the oldest."""
    rows, following = await operations.parked_rows(site, status, step, limit, cursors.read(cursor))
    return Items(items=[ParkedBody.of(row) for row in rows], next_cursor=following.word() if following else None)


@router.post("/{id}/replay")
async def replay_parked(request: Request, site: SiteOf, user: Replayer, id: Word, force: bool = False) -> ReplayedBody:
    """Append it to its step's input again.

    A message that was refused when it arrived is judged anew, and appended if it is accepted now. Where its sender has
    since stored another message under the same control id, that needs `force`.
    """
    one = await operations.replay(site, user, request.app.state.mappings, id, force=force)
    said = {"outcome": one.outcome, "said": one.said, "events": one.events}
    return ReplayedBody(**ParkedBody.of(one.row).model_dump(), **said)
