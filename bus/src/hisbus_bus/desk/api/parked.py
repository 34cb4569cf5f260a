"""``/parked``: what was set aside, and the way back."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
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
async def replay_parked(site: SiteOf, user: Replayer, id: Word) -> ParkedBody:
    """Append it to its step's input again."""
    return ParkedBody.of(await operations.replay(site, user, id))
