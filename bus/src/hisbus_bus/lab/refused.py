"""What was refused when it arrived is judged anew, from the bytes that were kept and with today's settings.

What is taken now goes to ``raw`` again under the key that its patient has, as a replay: charts give it the place of its
first copy. What is refused still stays parked.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import Refused
from hisbus_bus.flow.intake import told
from hisbus_bus.flow.translate import raw_of
from hisbus_bus.kernel import parked, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.topics import Keys
from hisbus_mapping import Mapping as Meaning

POLL_S = 0.05


class Judge(NamedTuple):
    """What a message that was refused is judged with."""

    keys: Keys
    mappings: Mapping[str, Meaning]
    """What messages mean by today's settings, by connector."""


Judging = Callable[[AsyncConnection], Awaitable[Judge]]


class Overtaken(Refused):
    """The sender has stored another message of the same control id since."""

    code = "overtaken"
    status = 409

    def __init__(self, since: str) -> None:
        self.since = since
        """Id of the first of them, as lists of messages have it."""
        super().__init__(
            f"Its sender has since stored message {since} under the same control id. Say that this one is wanted, too."
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """What today's settings say of a message that was refused."""

    code: str
    """What it is refused with still; empty: it is taken."""
    key: str = ""
    """Of its copy: its patient's."""
    headers: Mapping[str, str] | None = None
    """Of its copy; no verdict is among them."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A parked row that was to be replayed."""

    row: Row[Any]
    """As it was before."""
    refused: str = ""
    """The code with which the message is refused still; empty: it is on its way."""


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a message that was replayed."""

    status: Literal["waiting", "read", "parked"]
    """``parked``: it was set aside again."""
    said: str = ""
    """How it was read: ``mapped``, ``unmapped``, ...; or why it was set aside again."""
    events: int | None = None
    """That it made; None: they have reached no chart yet."""


def is_refused(row: Row[Any]) -> bool:
    """Tell whether a parked row is a message that was refused when it arrived."""
    return row.step == "translate" and "verdict" in json.loads(row.headers)


def examine(keys: Keys, mapping: Meaning | None, record: Record, received: datetime) -> Examined:
    """Judge a record that was refused as if its message arrived now. Pure.

    Args:
        keys: of the site.
        mapping: of its connector; None: there is none of that name.
        record: as stored, with its verdict.
        received: when the first copy came.
    """
    if mapping is None:
        return Examined("no_connector")
    arrival, judged = mapping.judge_again(raw_of(record, received), record.headers["verdict"])
    if judged.code:
        return Examined(judged.code)
    found = told(arrival, judged)
    rest = {name: value for name, value in record.headers.items() if name != "verdict" and name not in found}
    headers = rest | {name: value for name, value in found.items() if value}
    return Examined("", keys.arrived(judged.patient, arrival.id), headers)


async def since(connection: AsyncConnection, headers: Mapping[str, str], received: datetime) -> str:
    """Return the first other message of this sender and control id that was stored after a time; empty: none was."""
    row = tables.messages.c
    control_id = headers.get("control_id", "")
    if not control_id:
        return ""
    same = (row.control_id == control_id) & (row.sender == headers["connector"])
    other = row.first & (row.message != headers["message"]) & (row.received > received)
    return await connection.scalar(select(row.id).where(same, other).order_by(row.received, row.id).limit(1)) or ""


async def replay(connection: AsyncConnection, judge: Judging, id: str, *, force: bool) -> Replayed:
    """Append a parked record to its step's input again; a message that was refused, if it is taken now.

    Args:
        connection: of a transaction that may write.
        judge: returns what a message that was refused is judged with; not called for any other.
        id: of the parked row.
        force: also where the sender has since stored another message of the same control id.

    Raises:
        Overtaken: it has; nothing was appended.
        NotParked: there is none parked under that id.
    """
    row = await parked.waiting(connection, id)
    if not is_refused(row):
        await parked.replay(connection, id)
        return Replayed(row)
    headers = json.loads(row.headers)
    received = await _received(connection, row)
    record = Record("raw", row.partition, row.offset, row.key, row.value, headers, received)
    keys, mappings = await judge(connection)
    found = examine(keys, mappings.get(headers["connector"]), record, received)
    if found.headers is None:
        await parked.renew(connection, id, found.code)
        return Replayed(row, found.code)
    if not force and (other := await since(connection, found.headers, received)):
        raise Overtaken(other)
    await parked.replay(connection, id, key=found.key, headers=found.headers)
    return Replayed(row)


async def _received(connection: AsyncConnection, row: Row[Any]) -> datetime:
    """Return when the first copy of a message was stored."""
    messages = tables.messages.c
    first = select(messages.received).where(messages.message == row.message, messages.first)
    received: datetime = await connection.scalar(first) or row.parked
    return received


async def became(database: Database, replayed: Iterable[Replayed], patience_s: float) -> dict[str, Became]:
    """Wait until messages that are on their way have been read. Return what became of each, by the id of its row.

    Args:
        database: where it is noted.
        replayed: rows of translate's, not refused.
        patience_s: seconds after which those that nobody has taken are ``waiting``.
    """
    open_ = {one.row.id: one.row.message for one in replayed}
    found: dict[str, Became] = {}
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        async with database.read() as connection:
            for id, message in open_.items():
                found[id] = await of_row(connection, id, message)
        open_ = {id: message for id, message in open_.items() if not _is_final(found[id])}
        if not open_ or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(POLL_S)


def _is_final(one: Became) -> bool:
    return one.status == "parked" or (one.status == "read" and one.events is not None)


async def of_row(connection: AsyncConnection, id: str, message: str) -> Became:
    """Return what became of a message since its parked row was replayed."""
    table, messages = tables.parked.c, tables.messages.c
    again = select(table.reason).where(
        table.step == "translate", table.status == "parked", table.message == message, table.id != id
    )
    if reason := await connection.scalar(again.order_by(table.parked.desc()).limit(1)):
        return Became("parked", reason)
    first = select(messages.status, messages.revision).where(messages.message == message, messages.first)
    row = (await connection.execute(first)).one_or_none()
    closed = await connection.scalar(select(table.status).where(table.id == id)) == "closed"
    if row is None or not row.revision or not closed:
        return Became("waiting")
    return Became("read", row.status, await _events(connection, message, row.revision))


async def _events(connection: AsyncConnection, message: str, revision: int) -> int | None:
    """Return how many events of a message charts know; None: they do not know it yet."""
    table, events = tables.charted_messages.c, tables.events.c
    known = await connection.scalar(select(table.revision).where(table.message == message))
    if known is None or known < revision:
        return None
    return await connection.scalar(select(func.count()).select_from(tables.events).where(events.message == message))
