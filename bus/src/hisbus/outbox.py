"""The outbox: records that must follow a transaction whose input is not the log.

A row is inserted in the transaction; one relay at a time appends the rows that are there and deletes them.
It keeps no high-water mark, because rows commit out of order.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables
from hisbus.topics import Name


async def send(connection: AsyncConnection, topic: Name, key: str, value: bytes, headers: Mapping[str, str]) -> None:
    """Append a record once this transaction has committed."""
    row = {
        "topic": topic,
        "key": key,
        "value": value,
        "headers": json.dumps(dict(headers)),
        "created": datetime.now(UTC),
    }
    await connection.execute(tables.outbox.insert(), row)
