"""``/signals``: changes of state of the parts of the site."""

from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import SiteOf, Viewer

router = APIRouter(prefix="/signals", tags=["signals"])


class SignalBody(BaseModel):
    """One state of one part, from its beginning to its end."""

    id: int
    part: str
    """``step:NAME``, ``connector:NAME`` or ``agent:NAME``."""
    kind: str
    """``outage``: it waits for what it depends on. ``down``: it cannot be called. ``held``: by an operator."""
    since: datetime
    ended: datetime | None
    """Null: it lasts."""
    detail: str
    """A stable code."""
    count: int
    """How often it was said to begin while it lasted."""


@router.get("")
async def list_signals(site: SiteOf, user: Viewer, limit: Limit = LIMIT, cursor: Cursor = None) -> Items[SignalBody]:
    """List signals from the newest to the oldest."""
    found, following = await operations.signalled(site, limit, cursors.number(cursor))
    items = [SignalBody(**asdict(signal)) for signal in found]
    return Items(items=items, next_cursor=cursors.word_of(str(following)) if following else None)
