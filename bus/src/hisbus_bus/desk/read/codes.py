"""Codes that no table of a profile has: what is open, what hangs on it, and what people have said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.cursors import Place
from hisbus_bus.desk.security import actor
from hisbus_bus.kernel import codes, tables
from hisbus_bus.kernel.codes import Key, UnknownCode
from hisbus_bus.kernel.people import User
from hisbus_bus.kernel.site import Site
from hisbus_mapping import Asks
from hisbus_mapping import Mapping as Meaning

By = Mapping[str, Mapping[str, Asks]]
"""What is asked of people, by connector and table."""


def asked_by(mappings: Mapping[str, Meaning]) -> By:
    """Return what the profiles of connectors ask of people."""
    return {name: mapping.asks for name, mapping in mappings.items()}


@dataclass(frozen=True, slots=True)
class Open:
    """A code, with what waits for its answer."""

    row: Row[Any]
    """Its columns; ``standing``: the answer that it is read with; ``copy``: of the message it was seen in first."""
    stays: int
    messages: int
    words: Sequence[str]
    """What may be answered."""


async def listed(
    site: Site, asks: By, status: str, connector: str, limit: int, after: Place | None, one: str = ""
) -> tuple[list[Open], Place | None]:
    """Return codes from the newest to the oldest, and where the next page begins.

    Args:
        site: whose.
        asks: what is asked of people.
        status: ``open`` or ``answered``; empty: both.
        connector: whose messages send them; empty: any.
        limit: most codes.
        after: where the page before ended.
        one: only the code of this id; empty: any.
    """
    code = tables.codes.c
    query = _shown().order_by(code.seen.desc(), code.id.desc()).limit(limit + 1)
    if status:
        query = query.where(codes.unanswered() if status == "open" else codes.standing() != "")
    if connector:
        query = query.where(code.connector == connector)
    if one:
        query = query.where(code.id == one)
    if after is not None:
        query = query.where(after.before(code.seen, code.id))
    async with site.database.read() as connection:
        rows = (await connection.execute(query)).all()
        found = [await _of(connection, row, asks) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return found, Place(last.seen, last.id) if last else None


async def answer(site: Site, user: User, asks: By, key: Key, word: str) -> Open:
    """Say which word of ours a code is, and return it. Raises what ``codes.answer`` raises."""
    async with site.database.write() as connection:
        its = asks.get(key.connector, {})
        await codes.answer(connection, key, word, asks=its, who=actor(user))
        row = (await connection.execute(_shown().where(tables.codes.c.id == key.id))).one_or_none()
        if row is None:  # nobody had answered, nor sent it, and it is open as before
            raise UnknownCode
        return await _of(connection, row, asks)


async def answer_shown(site: Site, user: User, asks: By, id: str, word: str, *, any_sender: bool) -> None:
    """Answer a code of the list, for its sender or for any of its connector. Raises what ``codes.answer`` raises."""
    async with site.database.read() as connection:
        key = await codes.one(connection, id)
    await answer(site, user, asks, key.common if any_sender else key, word)


def _shown() -> Select[Any]:
    message = tables.messages.c
    copy = select(message.id).where(message.message == tables.codes.c.message, message.first).scalar_subquery()
    return codes.listed().add_columns(copy.label("copy"))


async def _of(connection: AsyncConnection, row: Row[Any], asks: By) -> Open:
    ask = asks.get(row.connector, {}).get(row.table)
    return Open(row, *await codes.hanging(connection, row.id), ask.words if ask else [])
