"""Where is my message, and what became of it? Reads the message ledger, and the log beyond it.

The ledger is written by translate. What lies in the log beyond translate's position is stored and not yet read;
it is listed as ``stored``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.cursors import Place
from hisbus_bus.kernel import positions, tables
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.parked import REPLAY
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import INTERNAL
from hisbus_mapping import Losses

TAIL = 500
"""Most messages of a partition beyond translate's position that are listed."""
SCAN = 2000
"""Most messages whose text one search reads."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One stored copy of a message."""

    id: str
    """Where it lies: ``PARTITION.OFFSET``."""
    message: str
    """The same for every copy of a message."""
    connector: str
    control_id: str
    type: str
    received: datetime
    status: str
    """``stored``, ``mapped``, ``unmapped``, ``not_production``, ``duplicate`` or ``parked``."""
    flags: tuple[str, ...]
    unmapped: tuple[str, ...]
    reason: str
    ack: str
    losses: Losses | None = None
    """What was taken of it and what was left; none where it was not read under this copy."""

    @property
    def place(self) -> Place:
        """Return its place in a list from the newest to the oldest."""
        return Place(self.received, self.id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to list."""

    connector: str = ""
    status: str = ""
    since: datetime | None = None
    control_id: str = ""
    patient: str = ""
    """A patient's number; merged numbers are one patient."""
    visit: str = ""
    text: str = ""
    """Part of the original text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of copies, and where the next begins."""

    items: Sequence[Copy]
    next: Place | None
    searched: int
    """Messages whose text was read."""


async def listing(site: Site, wanted: Wanted, limit: int, after: Place | None) -> Found:
    """Return the newest copies after a place.

    A search for text reads at most ``SCAN`` originals; the next page goes on where it stopped.
    """
    most = SCAN if wanted.text else limit
    candidates = await _newest(site, wanted, most + 1, after)
    items: list[Copy] = []
    seen = 0
    for copy in candidates[:most]:
        seen += 1
        if not wanted.text or await _holds(site, copy, wanted.text):
            items.append(copy)
        if len(items) == limit:
            break
    rest = seen < len(candidates)
    return Found(items, candidates[seen - 1].place if rest else None, seen if wanted.text else 0)


async def find(site: Site, id: str) -> Copy | None:
    """Return one stored copy, none where nothing lies under that id."""
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.messages).where(tables.messages.c.id == id))).one_or_none()
    if row is not None:
        return _of_row(row)
    record = await _record(site, id)
    return _of_record(record) if record is not None and _is_message(record) else None


async def body_of(site: Site, id: str) -> bytes | None:
    """Return the original bytes; none where the log no longer keeps them."""
    record = await _record(site, id)
    return None if record is None else record.value


async def key_of(site: Site, id: str) -> str:
    """Return the key that a copy lies under in the log; empty where the log no longer keeps it."""
    record = await _record(site, id)
    return "" if record is None else record.key


def decoded(body: bytes) -> str:
    """Return a message's bytes as text: UTF-8, else GB18030, else Latin-1; without a byte-order mark."""
    for charset in ("utf-8-sig", "gb18030"):
        try:
            return body.decode(charset)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


async def _newest(site: Site, wanted: Wanted, most: int, after: Place | None) -> list[Copy]:
    """Return what fits, newest first; whether its text does is for the caller to see."""
    table = tables.messages
    # The log is read before the ledger: what is translated in between is seen twice, never missed.
    tail = {copy.id: copy for copy in await _tail(site, wanted)}
    async with site.database.read() as connection:
        known = await connection.scalars(select(table.c.id).where(table.c.id.in_(tail)))
        for id in known:
            del tail[id]
        conditions = await _conditions(connection, wanted)
        if after is not None:
            conditions.append(after.before(table.c.received, table.c.id))
        query = select(table).where(*conditions).order_by(table.c.received.desc(), table.c.id.desc()).limit(most)
        copies = [_of_row(row) for row in await connection.execute(query)]
    copies += [copy for copy in tail.values() if after is None or copy.place < after]
    return sorted(copies, key=lambda copy: copy.place, reverse=True)[:most]


async def _tail(site: Site, wanted: Wanted) -> list[Copy]:
    """Return what lies beyond translate's position and fits; nothing says yet whose message it is."""
    if wanted.status not in {"", "stored"} or wanted.patient or wanted.visit:
        return []
    begins, ends = await site.log.begins("raw"), await site.log.ends("raw")
    done = await positions.reached(site, "raw", site.group("translate"), ends.keys(), stores=True)
    copies: list[Copy] = []
    for partition, end in ends.items():
        start = max(done[partition], begins.get(partition, 0), end - TAIL)
        while start < end:
            # Bodies may be large: few are held at a time, and the log may hand over fewer than asked for.
            records = await site.log.read("raw", partition, start, min(50, end - start))
            if not records:
                break
            copies += [_of_record(record) for record in records if _is_message(record)]
            start = records[-1].offset + 1
    return [
        copy
        for copy in copies
        if (not wanted.connector or copy.connector == wanted.connector)
        and (not wanted.control_id or copy.control_id == wanted.control_id)
        and (wanted.since is None or copy.received >= wanted.since)
    ]


async def _conditions(connection: AsyncConnection, wanted: Wanted) -> list[ColumnElement[bool]]:
    table = tables.messages
    conditions: list[ColumnElement[bool]] = []
    if wanted.connector:
        conditions.append(table.c.connector == wanted.connector)
    if wanted.status:
        conditions.append(table.c.status == wanted.status)
    if wanted.since is not None:
        conditions.append(table.c.received >= wanted.since)
    if wanted.control_id:
        conditions.append(table.c.control_id == wanted.control_id)
    events = tables.events
    if wanted.patient:
        patients = tables.patients
        merged = select(patients.c.survivor).where(patients.c.number == wanted.patient)
        aliases = select(patients.c.id).where(patients.c.survivor.in_(merged))
        conditions.append(table.c.message.in_(select(events.c.message).where(events.c.patient.in_(aliases))))
    if wanted.visit:
        encounters = tables.encounters
        stays = select(encounters.c.id).where(encounters.c.number == wanted.visit)
        of_visit = or_(events.c.encounter.in_(stays), events.c.visit.in_(stays))
        conditions.append(table.c.message.in_(select(events.c.message).where(of_visit)))
    return conditions


async def _holds(site: Site, copy: Copy, text: str) -> bool:
    body = await body_of(site, copy.id)
    return body is not None and text in decoded(body)


async def _record(site: Site, id: str) -> Record | None:
    """Return the record that an id names, from the log."""
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,18})", id, re.ASCII)
    if match is None:
        return None
    partition, offset = int(match[1]), int(match[2])
    if partition not in await site.log.ends("raw"):
        return None
    return next((item for item in await site.log.read("raw", partition, offset) if item.offset == offset), None)


def _is_message(record: Record) -> bool:
    """Tell a message from what the bus itself puts into ``raw``, and from the replay of one that is listed."""
    return record.headers.get("connector", INTERNAL) != INTERNAL and REPLAY not in record.headers


def _of_row(row: Row[Any]) -> Copy:
    return Copy(
        row.id,
        row.message,
        row.connector,
        row.control_id,
        row.type,
        row.received,
        row.status,
        tuple(json.loads(row.flags)),
        tuple(json.loads(row.unmapped)),
        row.reason,
        row.ack,
        Losses.of(row.losses) if row.losses else None,
    )


def _of_record(record: Record) -> Copy:
    headers = record.headers
    return Copy(
        f"{record.partition}.{record.offset}",
        headers.get("message", ""),
        headers["connector"],
        headers.get("control_id", ""),
        headers.get("msgtype", ""),
        record.time,
        "stored",
        tuple(filter(None, headers.get("flags", "").split(","))),
        (),
        "",
        headers.get("ack", ""),
    )
