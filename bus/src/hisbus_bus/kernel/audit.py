"""The audit: one row per state change and per view of patient data, in the same transaction as what it tells of.

``seals`` chains the rows, so that one that was changed later is found.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.hot import ask, inserted

if TYPE_CHECKING:  # it takes a tenth of a second to import
    from sqlalchemy.ext.asyncio import AsyncConnection


async def record(
    connection: "AsyncConnection", *, actor: str, action: str, object: str, encounter: str = "", **detail: Any
) -> None:
    """Add a row. ``action`` is a dotted word (``proposal.accepted``); details carry no patient data."""
    await records(connection, [entry(actor=actor, action=action, object=object, encounter=encounter, **detail)])


async def records(connection: "AsyncConnection", entries: Sequence[dict[str, Any]]) -> None:
    """Add rows that ``entry`` made."""
    if entries:
        await ask(connection, inserted(tables.audit, entries))


def entry(*, actor: str, action: str, object: str, encounter: str = "", **detail: Any) -> dict[str, Any]:
    """Return a row of the audit; arguments as for ``record``."""
    return {
        "time": datetime.now(UTC),
        "actor": actor,
        "action": action,
        "object": object,
        "encounter": encounter,
        "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
    }


async def history(connection: "AsyncConnection", *, proposal: str, status: str, actor: str, detail: str = "") -> None:
    """Add a line to what the page tells of a proposal. The audit's own row is recorded beside it."""
    await histories(connection, [line(proposal=proposal, status=status, actor=actor, detail=detail)])


async def histories(connection: "AsyncConnection", lines: Sequence[dict[str, Any]]) -> None:
    """Add lines that ``line`` made."""
    if lines:
        await ask(connection, inserted(tables.proposal_history, lines))


def line(*, proposal: str, status: str, actor: str, detail: str = "") -> dict[str, Any]:
    """Return a line of a proposal's history."""
    return {"proposal": proposal, "time": datetime.now(UTC), "status": status, "actor": actor, "detail": detail}
