"""What was set aside: rows with the original bytes, a stable reason, and a way back."""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import Refused, reason_code, stack_hash
from hisbus_bus.kernel import outbox, tables
from hisbus_bus.kernel.bulk import within
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.topics import Name, digest

REPLAY = "replay"
"""Header of a replayed record: the id of the parked row."""


class NotParked(Refused):
    """Nothing is parked under this id, or not any more."""

    code = "not_waiting"
    status = 409

    def __init__(self) -> None:
        super().__init__("It is not parked (any more). `hisbus parked` lists what is.")


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


async def waiting(connection: AsyncConnection, id: str) -> Row[Any]:
    """Return a row that is parked.

    Raises:
        NotParked: there is none of that id, or it is parked no more.
    """
    mine = select(tables.parked).where(tables.parked.c.id == id, tables.parked.c.status == "parked")
    row = (await connection.execute(mine)).one_or_none()
    if row is None:
        raise NotParked
    return row


async def replay(
    connection: AsyncConnection, id: str, *, key: str = "", headers: Mapping[str, str] | None = None
) -> None:
    """Append a parked record to its step's input again.

    The copy carries where the first one lies (``origin``), so that the fold keeps its place.

    Args:
        connection: of a transaction that may write.
        id: of the row.
        key: of the copy; empty: the record's own.
        headers: of the copy; None: the record's own.

    Raises:
        NotParked: there is none parked under that id.
    """
    row = await waiting(connection, id)
    copied = {**(json.loads(row.headers) if headers is None else headers), REPLAY: id}
    copied.setdefault("origin", f"{row.partition}:{row.offset}")
    topic: Name = row.topic
    await outbox.send(connection, NewRecord(topic, key or row.key, row.value, copied))
    await connection.execute(update(tables.parked).where(tables.parked.c.id == id).values(status="replayed"))


async def renew(connection: AsyncConnection, id: str, reason: str) -> None:
    """Say why a row is parked still."""
    await connection.execute(update(tables.parked).where(tables.parked.c.id == id).values(reason=reason))


async def succeeded(connection: AsyncConnection, ids: Iterable[str]) -> None:
    """Close the rows whose replays were processed."""
    await connection.execute(
        update(tables.parked)
        .where(tables.parked.c.id.in_(list(ids)), tables.parked.c.status == "replayed")
        .values(status="closed")
    )


async def read(connection: AsyncConnection, step: str, messages: Collection[str]) -> None:
    """Close a step's rows for messages that it has read by now, whichever copy of them."""
    table = tables.parked.c
    still = (table.step == step) & table.status.in_(("parked", "replayed"))
    its = update(tables.parked).where(still, within(table.message, messages))
    await connection.execute(its.values(status="closed"))


async def close(connection: AsyncConnection, *, step: str, encounter: str) -> None:
    """Close a step's parked calls for an encounter: a newer one succeeded."""
    await connection.execute(
        update(tables.parked)
        .where(tables.parked.c.encounter == encounter, tables.parked.c.step == step, tables.parked.c.status == "parked")
        .values(status="closed")
    )
