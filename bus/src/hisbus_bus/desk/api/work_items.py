"""``/work-items``: what only a person can settle, in one list."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import work
from hisbus_bus.desk.security import SiteOf, Viewer
from hisbus_bus.desk.words import Word

router = APIRouter(prefix="/work-items", tags=["work items"])


class WorkItem(BaseModel):
    """Something that waits for a person. It says nothing of any patient."""

    kind: work.Kind
    """``unknown_code``: say what it is (`POST /codes`). ``unassigned``: give the message to a stay
    (`POST /messages/{id}/assignment`), or mend what names it. ``parked``: mend the cause, then
    `POST /parked/{id}/replay`. ``undecided``: look in the HIS, then `POST /writebacks/{id}/resolution`."""
    id: str
    """Of the code, of the message, of the parked row, of the write-back."""
    since: datetime
    connector: str
    about: str
    """What a code would say; why no stay has the message; why it was parked; the last receipt."""
    step: str
    """That parked it."""
    message: str
    """The message that it is about; empty: none, or it was not translated yet."""
    link: str
    """The page where it is settled."""

    @classmethod
    def of(cls, item: work.Item) -> "WorkItem":
        """Return an item as the API shows it."""
        return cls(**{name: getattr(item, name) for name in cls.model_fields})


@router.get("")
async def list_work_items(
    site: SiteOf,
    user: Viewer,
    kind: Annotated[str, Query(pattern=f"^(|{'|'.join(work.KINDS)})$")] = "",
    connector: Word = "",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[WorkItem]:
    """List what waits for a person, from the newest to the oldest."""
    found, following = await work.page(site, kind, connector, limit, cursors.read(cursor))
    return Items(items=[WorkItem.of(item) for item in found], next_cursor=following.word() if following else None)
