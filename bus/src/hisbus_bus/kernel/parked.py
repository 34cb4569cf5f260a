"""What was set aside: rows with the original bytes, a stable reason, and a way back."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import reason_code, stack_hash
from hisbus_bus.kernel import outbox, tables
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.topics import Name, digest

REPLAY = "replay"
"""Header of a replayed record: the id of the parked row."""


async def park(connection: AsyncConnection, step: str, record: Record, error: BaseException, attempts: int) -> str:
    """Set a record aside and return the row's id. The same record of the same step is parked once."""
    id = digest(step, record.topic, record.partition, record.offset)
    known = await connection.scalar(select(tables.parked.c.id).where(tables.parked.c.id == id))
    if known is None:
        row = {
            "id": id,
            "step": step,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": record.key,
            "headers": json.dumps(dict(record.headers)),
            "value": record.value,
            "reason": reason_code(error),
            "stack": stack_hash(error),
            "attempts": attempts,
            "parked": datetime.now(UTC),
            "status": "parked",
            "message": record.headers.get("message", ""),
            "encounter": record.headers.get("ce_correlationid", ""),
        }
        await connection.execute(tables.parked.insert(), row)
    return id


async def replay(connection: AsyncConnection, id: str) -> bool:
    """Append a parked record to its step's input again. False where there is none parked under that id.

    The copy carries where the first one lies (``origin``), so that the fold keeps its place.
    """
    row = (
        await connection.execute(
            select(tables.parked).where(tables.parked.c.id == id, tables.parked.c.status == "parked")
        )
    ).one_or_none()
    if row is None:
        return False
    headers = json.loads(row.headers)
    headers[REPLAY] = id
    headers.setdefault("origin", f"{row.partition}:{row.offset}")
    topic: Name = row.topic
    await outbox.send(connection, NewRecord(topic, row.key, row.value, headers))
    await connection.execute(update(tables.parked).where(tables.parked.c.id == id).values(status="replayed"))
    return True


async def succeeded(connection: AsyncConnection, ids: Iterable[str]) -> None:
    """Close the rows whose replays were processed."""
    await connection.execute(
        update(tables.parked)
        .where(tables.parked.c.id.in_(list(ids)), tables.parked.c.status == "replayed")
        .values(status="closed")
    )


async def close(connection: AsyncConnection, *, step: str, encounter: str) -> None:
    """Close a step's parked calls for an encounter: a newer one succeeded."""
    await connection.execute(
        update(tables.parked)
        .where(tables.parked.c.encounter == encounter, tables.parked.c.step == step, tables.parked.c.status == "parked")
        .values(status="closed")
    )
