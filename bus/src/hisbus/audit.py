"""The audit: one row per state change and per view of patient data, in the same transaction as what it tells of."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables


async def record(
    connection: AsyncConnection, *, actor: str, action: str, object: str, encounter: str = "", **detail: Any
) -> None:
    """Add a row. ``action`` is a dotted word (``proposal.accepted``); details carry no patient data."""
    row = {
        "time": datetime.now(UTC),
        "actor": actor,
        "action": action,
        "object": object,
        "encounter": encounter,
        "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
    }
    await connection.execute(tables.audit.insert(), row)
