"""``/audit``: who looked, who changed what."""

import json
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Row

from hisbus_bus.desk import cursors
from hisbus_bus.desk.cursors import LIMIT, Cursor, Items, Limit
from hisbus_bus.desk.read import operations
from hisbus_bus.desk.security import Auditor, SiteOf
from hisbus_bus.desk.words import Word

router = APIRouter(prefix="/audit", tags=["audit"])


class AuditBody(BaseModel):
    """One row of the audit."""

    id: int
    time: datetime
    actor: str
    action: str
    object: str
    encounter: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: Row[Any]) -> "AuditBody":
        """Return a row as the API shows it."""
        values = {name: getattr(row, name) for name in cls.model_fields if name != "detail"}
        return cls(**values, detail=json.loads(row.detail))


@router.get("")
async def list_audit(
    site: SiteOf,
    user: Auditor,
    actor: Word = "",
    action: Word = "",
    encounter: Word = "",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Items[AuditBody]:
    """List the audit from the newest to the oldest."""
    start = cursors.number(cursor)
    rows, following = await operations.audit_rows(site, actor, action, encounter, limit, start)
    items = [AuditBody.of(row) for row in rows]
    return Items(items=items, next_cursor=cursors.word_of(str(following)) if following else None)
