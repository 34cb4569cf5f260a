"""The chart step's tables: rows in, rows out. What they mean is said elsewhere."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables
from hisbus.chart.demographics import show
from hisbus.chart.entries import Key, Slot, items, slot_id
from hisbus.chart.said import Said
from hisbus.chart.visits import CIRCULAR, Claims, Merge
from hisbus_schemas import Event, PatientId, VisitId

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""The present of a stay that no clock has told of yet: no deadline has passed."""

CHUNK = 5000
"""Values in one IN list; databases bound them at some 30,000."""


@dataclass(slots=True)
class Patient:
    """A patient's number."""

    id: str
    authority: str
    number: str
    survivor: str
    shown: str
    said: Said = field(default_factory=dict)


@dataclass(slots=True)
class Encounter:
    """A stay, without its entries."""

    id: str
    authority: str
    number: str
    patient: str | None = None
    connector: str = ""
    timezone: str = "UTC"
    key: str = ""
    version: int = 0
    now: datetime = LONG_AGO
    status: str = "registered"
    begins: str | None = None
    ends: str | None = None
    claims: Claims = field(default_factory=Claims)
    named: Said = field(default_factory=dict)
    assigned: Said = field(default_factory=dict)
    stay: str = "{}"


@dataclass(slots=True)
class Stored:
    """An event as stored, without its body."""

    id: str
    message: str
    kind: str
    patient: str | None
    visit: str | None
    order: str
    connector: str
    timezone: str
    encounter: str | None = None
    flag: str = ""


_LIGHT = [tables.events.c[item.name] for item in fields(Stored)]


class Store:
    """The chart's tables, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def _rows(self, table: Table, column: Any, values: Collection[str], *more: Any) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        for chunk in _chunks(values):
            found += (await self.connection.execute(select(table).where(column.in_(chunk), *more))).all()
        return found

    async def _upsert(self, table: Table, rows: Sequence[dict[str, Any]], *, replace: bool = True) -> None:
        if not rows:
            return
        dialect = postgresql if self.connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(table)
        keys = [column.name for column in table.primary_key]
        if replace:
            new = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=new)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
        await self.connection.execute(statement, rows)

    # --- messages

    async def outputs(self, messages: Collection[str]) -> dict[str, tuple[int, bytes]]:
        """Return, by message, the revision taken in and what was appended for it."""
        table = tables.charted_messages
        return {row.message: (row.revision, row.outputs) for row in await self._rows(table, table.c.message, messages)}

    async def keep_outputs(self, rows: Sequence[tuple[str, int, bytes]]) -> None:
        """Keep what is appended for messages."""
        names = ("message", "revision", "outputs")
        await self._upsert(tables.charted_messages, [dict(zip(names, row, strict=True)) for row in rows])

    async def circular(self, message: str) -> bool:
        """Tell whether a message carries a merge that would close a circle."""
        table = tables.events
        query = select(table.c.id).where(table.c.message == message, table.c.flag == CIRCULAR).limit(1)
        return await self.connection.scalar(query) is not None

    # --- patients and encounters

    async def lock_patients(self, ids: Collection[str]) -> dict[str, Patient]:
        """Lock and return patients and every number merged with them, in id order."""
        table, wanted, before = tables.patients, set(ids), set[str]()
        alone = self.connection.dialect.name == "sqlite"
        while True:
            of_cluster = or_(table.c.id.in_(wanted), table.c.survivor.in_(wanted))
            rows = await self.connection.execute(select(table).where(of_cluster).order_by(table.c.id).with_for_update())
            found = {row.id: Patient(**{**row._mapping, "said": json.loads(row.said)}) for row in rows}
            survivors = {patient.survivor for patient in found.values()}
            # Who was merged into these while the statement waited for its locks is seen by the next one only.
            if survivors <= wanted and (alone or found.keys() == before):
                return found
            wanted |= survivors
            before = set(found)

    async def lock_encounters(self, condition: ColumnElement[bool]) -> dict[str, Encounter]:
        """Lock and return encounters, in id order."""
        table = tables.encounters
        rows = await self.connection.execute(select(table).where(condition).order_by(table.c.id).with_for_update())
        return {row.id: _encounter(row) for row in rows}

    async def add_patients(self, new: dict[str, PatientId]) -> None:
        """Insert patients that do not exist yet."""
        rows = [_values(Patient(id, who.authority, who.number, id, shown=show(who))) for id, who in sorted(new.items())]
        await self._upsert(tables.patients, [row | {"said": "{}"} for row in rows], replace=False)

    async def add_encounters(self, new: dict[str, VisitId]) -> None:
        """Insert encounters that do not exist yet."""
        rows = [_row(Encounter(id, visit.authority, visit.number)) for id, visit in sorted(new.items())]
        await self._upsert(tables.encounters, rows, replace=False)

    async def save(self, patients: Iterable[Patient], encounters: Iterable[Encounter]) -> None:
        """Write rows back."""
        changed = [_values(patient) | {"said": json.dumps(patient.said, ensure_ascii=False)} for patient in patients]
        await self._upsert(tables.patients, changed)
        await self._upsert(tables.encounters, [_row(encounter) for encounter in encounters])

    # --- merges and moves

    async def connected(self, patients: Collection[str]) -> tuple[set[str], list[Merge]]:
        """Return every patient that merges connect with these, applied or not, and those merges."""
        table, found, merges = tables.merges, set(patients), list[Merge]()
        while True:
            ends = or_(table.c.patient.in_(found), table.c.prior.in_(found))
            rows = await self.connection.execute(select(table).where(table.c.visit.is_(None), ends))
            merges = [Merge(**row._mapping) for row in rows]
            reached = {end for merge in merges for end in (merge.patient, merge.prior) if end is not None}
            if reached <= found:
                return found, merges
            found |= reached

    async def merges_of(self, events: Collection[str]) -> list[Merge]:
        """Return the merges and moves that events made."""
        table = tables.merges
        return [Merge(**row._mapping) for row in await self._rows(table, table.c.event, events)]

    async def moves(self, visits: Collection[str]) -> list[Merge]:
        """Return the moves of visits."""
        table = tables.merges
        return [Merge(**row._mapping) for row in await self._rows(table, table.c.visit, visits)]

    async def add_merges(self, merges: Sequence[Merge]) -> None:
        """Insert merges and moves."""
        await self._upsert(tables.merges, [_values(merge) for merge in merges])

    # --- events

    async def light(self, *conditions: ColumnElement[bool]) -> list[Stored]:
        """Return stored events without their bodies."""
        rows = await self.connection.execute(select(*_LIGHT).where(*conditions))
        return [Stored(**row._mapping) for row in rows]

    async def events(self, *conditions: ColumnElement[bool]) -> list[tuple[Stored, Event]]:
        """Return stored events in the order of the fold."""
        table = tables.events
        rows = await self.connection.execute(
            select(*_LIGHT, table.c.body).where(*conditions).order_by(table.c.order, table.c.id)
        )
        return [(Stored(*row[: len(_LIGHT)]), Event.model_validate_json(row.body)) for row in rows]

    async def add_events(self, rows: Iterable[tuple[Stored, Event]]) -> None:
        """Insert events."""
        new = [_values(stored) | {"body": event.model_dump_json().encode()} for stored, event in rows]
        if new:
            await self.connection.execute(tables.events.insert(), new)

    async def assign(self, rows: Iterable[Stored]) -> None:
        """Write where stored events belong now."""
        table = tables.events
        for row in rows:
            place = update(table).where(table.c.id == row.id).values(encounter=row.encounter, flag=row.flag)
            await self.connection.execute(place)

    async def drop_events(self, ids: Collection[str]) -> None:
        """Delete events, their merges, and the trace of what they touched."""
        for chunk in _chunks(ids):
            for column in (tables.events.c.id, tables.merges.c.event, tables.touches.c.event):
                await self.connection.execute(delete(column.table).where(column.in_(chunk)))

    # --- entries

    async def slots(self, encounters: Collection[str], keys: dict[str, Key]) -> dict[str, Slot]:
        """Return stored entries of encounters by their ids, under which their keys are given."""
        table = tables.entries
        found = await self._rows(table, table.c.entry, keys, table.c.encounter.in_(encounters))
        return {
            row.entry: Slot(row.entry, row.part, row.place, row.last, items(keys[row.entry], row.body)) for row in found
        }

    async def touching(self, encounters: Collection[str], entries: Collection[str]) -> dict[str, list[Event]]:
        """Return the events that touched entries of encounters, in the order of the fold."""
        table, found = tables.touches, dict[str, list[Event]]()
        for chunk in _chunks(entries):
            joined = table.join(tables.events, tables.events.c.id == table.c.event)
            query = (
                select(table.c.entry, tables.events.c.body)
                .select_from(joined)
                .where(table.c.encounter.in_(encounters), table.c.entry.in_(chunk))
            )
            for row in await self.connection.execute(query.order_by(tables.events.c.order)):
                found.setdefault(row.entry, []).append(Event.model_validate_json(row.body))
        return found

    async def save_slots(self, slots: Iterable[tuple[str, Slot]]) -> None:
        """Write entries, each with its encounter."""
        await self._upsert(
            tables.entries,
            [
                {
                    "encounter": encounter,
                    "entry": slot.id,
                    "part": slot.part,
                    "place": slot.place,
                    "last": slot.last,
                    "body": slot.body(),
                }
                for encounter, slot in slots
            ],
        )

    async def add_touches(self, touches: Iterable[tuple[str, Key, str]]) -> None:
        """Insert (encounter, key, event): the event touches that entry."""
        rows = [
            {"encounter": encounter, "entry": slot_id(encounter, key), "event": event}
            for encounter, key, event in touches
        ]
        if rows:
            await self.connection.execute(tables.touches.insert(), rows)

    async def clear(self, encounters: Collection[str]) -> None:
        """Delete the entries of encounters, and the trace of what touched them."""
        for table in (tables.entries, tables.touches):
            await self.connection.execute(delete(table).where(table.c.encounter.in_(encounters)))


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def _encounter(row: Row[Any]) -> Encounter:
    claims = json.loads(row.claims)
    claims = Claims(
        tuple(claims["first"]) if claims["first"] else None,
        tuple(claims["owner"]) if claims["owner"] else None,
        [tuple(move) for move in claims["moves"]],
    )
    said = {"named": json.loads(row.named), "assigned": json.loads(row.assigned)}
    return Encounter(**{**row._mapping, "claims": claims, **said})


def _row(encounter: Encounter) -> dict[str, Any]:
    row = _values(encounter) | {"claims": asdict(encounter.claims)}
    return row | {name: json.dumps(row[name], ensure_ascii=False) for name in ("claims", "named", "assigned")}


def _values(row: Patient | Encounter | Stored | Merge) -> dict[str, Any]:
    # dataclasses.asdict copies every value deeply, which costs more than the statement.
    return {item.name: getattr(row, item.name) for item in fields(row)}
