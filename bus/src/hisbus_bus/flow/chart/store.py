"""The chart step's tables: rows in, rows out. What they mean is said elsewhere."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Table, bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.chart.demographics import show
from hisbus_bus.flow.chart.entries import Key, Slot, items, slot_id, trace
from hisbus_bus.flow.chart.said import Said
from hisbus_bus.flow.chart.visits import CIRCULAR, Claims, Merge
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, given, within, write, written
from hisbus_bus.kernel.hot import Hot, ask
from hisbus_schemas import Event, PatientId, VisitId

CHUNK = 100
"""Entries that one statement looks for by their trace in events; databases bound the depth of a condition."""

BY_HAND = "message.assigned"
"""Kind of the events that say to which stay a person gave a message."""

NONE: Mapping[str, Any] = {}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""The present of a stay that no clock has told of yet: no deadline has passed."""


@dataclass(slots=True)
class Patient:
    """A patient's number."""

    id: str
    authority: str
    number: str
    survivor: str
    shown: str
    numbers: int = 1
    """Numbers that ended in it, itself included; 0 once it is merged."""
    said: Said = field(default_factory=dict)


@dataclass(slots=True)
class Encounter:
    """A stay, without its entries."""

    id: str
    authority: str
    number: str
    counter: str = ""
    patient: str | None = None
    connector: str = ""
    timezone: str = "UTC"
    key: str = ""
    lanes: list[str] = field(default_factory=list)
    """Under which its messages came, and its wakes pass."""
    version: int = 0
    refolded: int = 0
    """The version by which all its entries were made anew; 0: never."""
    now: datetime = LONG_AGO
    status: str = ""
    begins: str | None = None
    ends: str | None = None
    claims: Claims = field(default_factory=Claims)
    named: Said = field(default_factory=dict)
    assigned: Said = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    stay: str = "{}"
    past: bool = False
    """Some of it was read in later, as backfill."""
    live: str = ""
    """Where the first lies in ``raw`` of what came as it happened, and its source time; empty: nothing did."""

    @property
    def of_backfill(self) -> bool:
        """Whether nothing of it came as it happened."""
        return self.past and not self.live

    @property
    def next_version(self) -> int:
        """The version that it has at least once this transaction is committed."""
        return self.version + 1

    def pass_by(self, lane: str | None) -> None:
        """Have its wakes pass a key."""
        if lane is not None and lane not in self.lanes:
            self.lanes.append(lane)


@dataclass(slots=True)
class Taken:
    """What was taken in of a message."""

    revision: int = 0
    """0: nothing yet."""
    outputs: str = "[]"
    """What was appended, JSON."""
    hand: str | None = None
    """The stay to which a person gave it."""
    hand_order: str = ""
    """Place in the fold of that decision; empty: there is none."""
    hand_by: str = ""
    """The message that brought it."""


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
    claim: str = ""
    """On the visit that it names: ``opens``; ``bare``, by a number of no certain authority; or none."""
    encounter: str | None = None
    hand: str | None = None
    """The stay to which a person gave its message; of such a decision: the stay that it names."""
    flag: str = ""
    touched: str = ""
    """What it touches in whichever stay it belongs to: the traces of keys."""
    lane: str = ""
    """The key under which its message came; empty: its patient's, or that message's alone."""


_event = tables.events.c
_LIGHT = [_event[item.name] for item in fields(Stored)]


def _light(*conditions: ColumnElement[bool]) -> Hot:
    return Hot(select(*_LIGHT).where(*conditions))


BY_ID = _light(within(_event.id, given("ids")))
OF_MESSAGES = _light(within(_event.message, given("ids")))
GIVEN = _light(within(_event.message, given("ids")), _event.kind != BY_HAND)
GIVEN_TO = _light(within(_event.hand, given("ids")))
NAMING = _light(within(_event.visit, given("ids")))
NAMED_BY = _light(within(_event.patient, given("ids")), _event.visit.is_not(None))
FREE = _light(within(_event.patient, given("ids")), _event.visit.is_(None), _event.kind.not_like("patient.%"))
"""Stored events, without their bodies: themselves; of messages, all or but the decisions of people; given by hand to
stays; naming visits; of patients' numbers, with a visit or without one, and then none that is about the patient alone.
"""

_OUTPUTS = Hot(
    select(tables.charted_messages.c.message, *(tables.charted_messages.c[item.name] for item in fields(Taken))).where(
        within(tables.charted_messages.c.message, given("ids"))
    )
)
_PATIENTS = Hot(
    select(*(tables.patients.c[item.name] for item in fields(Patient)))
    .where(within(tables.patients.c.id, given("ids")) | within(tables.patients.c.survivor, given("ids")))
    .order_by(tables.patients.c.id)
    .with_for_update()
)
_LOCKED = (
    select(*(tables.encounters.c[item.name] for item in fields(Encounter)))
    .order_by(tables.encounters.c.id)
    .with_for_update()
)
_ENCOUNTERS = Hot(_LOCKED.where(within(tables.encounters.c.id, given("ids"))))
_owned = _LOCKED.where(within(tables.encounters.c.patient, given("ids")))
_OWNED, _OPEN = Hot(_owned), Hot(_owned.where(tables.encounters.c.begins.is_not(None)))
_ASSIGN = Hot(
    update(tables.events)
    .where(_event.id == bindparam("event"))
    .values(encounter=bindparam("place"), flag=bindparam("why"))
)
_BY_HAND = (
    update(tables.events)
    .where(_event.message == bindparam("given"), _event.kind != BY_HAND)
    .values(hand=bindparam("place"))
)
_SLOTS = Hot(
    select(*(tables.entries.c[name] for name in ("entry", "part", "place", "last", "body"))).where(
        within(tables.entries.c.encounter, given("encounters")), within(tables.entries.c.entry, given("entries"))
    )
)


class Store:
    """The chart's tables, within one transaction.

    What is to be inserted or written back waits until ``flush``, which sends it all at once. Whoever reads what may be
    waiting flushes before.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.saved: list[tuple[str, Slot]] = []
        """The entries that were written so far, each with its encounter; of one written twice the last counts."""
        self._waiting: dict[Table, list[dict[str, Any]]] = {}

    def _put(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        self._waiting.setdefault(table, []).extend(rows)

    async def flush(self, *more: Rows, last: bool = False) -> None:
        """Write what waits, and more beside it; ``last``: nothing follows in the transaction."""
        waiting, self._waiting = self._waiting, {}
        await write(self.connection, *(Rows(table, rows) for table, rows in waiting.items()), *more, last=last)

    # --- messages

    async def taken(self, messages: Collection[str]) -> dict[str, Taken]:
        """Return, by message, what was taken in of it, and to which stay a person gave it."""
        rows = await _OUTPUTS.rows(self.connection, ids=sorted(messages))
        return {message: Taken(*known) for message, *known in rows}

    def keep_taken(self, messages: Mapping[str, Taken]) -> None:
        """Keep what was taken in of messages."""
        rows = ({"message": message, **_values(taken)} for message, taken in messages.items())
        self._put(tables.charted_messages, rows)

    async def circular(self, message: str) -> bool:
        """Tell whether a message carries a merge that would close a circle."""
        table = tables.events
        query = select(table.c.id).where(table.c.message == message, table.c.flag == CIRCULAR).limit(1)
        return await self.connection.scalar(query) is not None

    # --- patients and encounters

    async def lock_patients(self, ids: Collection[str], new: Mapping[str, PatientId] = NONE) -> dict[str, Patient]:
        """Lock and return patients and every number merged with them, in id order.

        Args:
            ids: of patients.
            new: of them those that are inserted before, unless somebody else has done it.
        """
        wanted = set(ids)
        made = (Patient(id, who.authority, who.number, id, show(who)) for id, who in sorted(new.items()))
        inserts = written(self.connection, Rows(tables.patients, list(map(_values, made)), "keep"))
        while True:
            *_, rows = await ask(self.connection, *inserts, _PATIENTS(ids=sorted(wanted)))
            found = {row.id: _patient(row) for row in rows}
            inserts = []
            numbers = Counter(patient.survivor for patient in found.values())
            # Who was merged into these while the statement waited for its locks is seen by the next one only.
            if all(id in found and found[id].numbers == count for id, count in numbers.items()):
                return found
            wanted |= numbers.keys()

    async def lock_encounters(self, ids: Collection[str], new: Mapping[str, VisitId] = NONE) -> dict[str, Encounter]:
        """Lock and return encounters, in id order; of them the new ones are inserted before, unless they are there."""
        made = (Encounter(id, visit.authority, visit.number, visit.counter) for id, visit in sorted(new.items()))
        inserts = written(self.connection, Rows(tables.encounters, list(map(_values, made)), "keep"))
        *_, rows = await ask(self.connection, *inserts, _ENCOUNTERS(ids=sorted(ids)))
        return {row.id: _encounter(row) for row in rows}

    async def lock_stays(self, patients: Collection[str], *, open_only: bool) -> dict[str, Encounter]:
        """Lock and return the encounters that patients own, in id order; on request only those with a beginning."""
        rows = await (_OPEN if open_only else _OWNED).rows(self.connection, ids=sorted(patients))
        return {row.id: _encounter(row) for row in rows}

    def save(self, patients: Iterable[Patient], encounters: Iterable[Encounter]) -> None:
        """Write rows back."""
        self._put(tables.patients, map(_values, patients))
        self._put(tables.encounters, map(_values, encounters))

    # --- merges and moves

    async def connected(self, patients: Collection[str]) -> tuple[set[str], list[Merge]]:
        """Return every patient that merges connect with these, applied or not, and those merges."""
        table, found, merges = tables.merges, set(patients), list[Merge]()
        while True:
            ends = or_(within(table.c.patient, found), within(table.c.prior, found))
            rows = await self.connection.execute(select(table).where(table.c.visit.is_(None), ends))
            merges = [Merge(*row) for row in rows]
            reached = {end for merge in merges for end in (merge.patient, merge.prior) if end is not None}
            if reached <= found:
                return found, merges
            found |= reached

    async def merges_of(self, events: Collection[str]) -> list[Merge]:
        """Return the merges and moves that events made."""
        return await self._merges(within(tables.merges.c.event, events)) if events else []

    async def moves(self, visits: Collection[str]) -> list[Merge]:
        """Return the moves of visits."""
        return await self._merges(within(tables.merges.c.visit, visits))

    async def _merges(self, condition: ColumnElement[bool]) -> list[Merge]:
        return [Merge(*row) for row in await self.connection.execute(select(tables.merges).where(condition))]

    def add_merges(self, merges: Iterable[Merge]) -> None:
        """Insert merges and moves."""
        self._put(tables.merges, map(_values, merges))

    # --- events

    async def light(self, which: Hot, ids: Collection[str]) -> list[Stored]:
        """Return stored events without their bodies: ``BY_ID`` and the like, of what is named."""
        return [Stored(*row) for row in await which.rows(self.connection, ids=sorted(ids))] if ids else []

    async def events(self, *conditions: ColumnElement[bool]) -> list[tuple[Stored, Event]]:
        """Return stored events in the order of the fold."""
        table = tables.events
        rows = await self.connection.execute(
            select(*_LIGHT, table.c.body).where(*conditions).order_by(table.c.order, table.c.id)
        )
        return [(Stored(*row[: len(_LIGHT)]), Event.model_validate_json(row.body)) for row in rows]

    def add_events(self, rows: Iterable[tuple[Stored, Event]]) -> None:
        """Insert events."""
        bodies = ((stored, event.model_dump_json(exclude_none=True)) for stored, event in rows)
        self._put(tables.events, (_values(stored) | {"body": body} for stored, body in bodies))

    async def assign(self, rows: Iterable[Stored]) -> None:
        """Write where stored events belong now."""
        if places := [{"event": row.id, "place": row.encounter, "why": row.flag} for row in rows]:
            await ask(self.connection, _ASSIGN.each(places))

    async def give(self, messages: Mapping[str, str | None]) -> None:
        """Write to which stays messages were given by hand."""
        if rows := [{"given": message, "place": encounter} for message, encounter in sorted(messages.items())]:
            await self.connection.execute(_BY_HAND, rows)

    async def drop_events(self, ids: Collection[str]) -> None:
        """Delete events and their merges."""
        if ids:
            for column in (tables.events.c.id, tables.merges.c.event):
                await self.connection.execute(delete(column.table).where(within(column, ids)))

    # --- entries

    async def slots(self, encounters: Collection[str], keys: Mapping[str, Key]) -> dict[str, Slot]:
        """Return stored entries of encounters by their ids, under which their keys are given."""
        rows = await _SLOTS.rows(self.connection, encounters=sorted(encounters), entries=sorted(keys))
        return {
            entry: Slot(entry, part, place, last, items(keys[entry], part, body))
            for entry, part, place, last, body in rows
        }

    async def touching(self, encounters: Collection[str], keys: Collection[Key]) -> dict[str, list[Event]]:
        """Return, by the ids of entries, the events that touched those with such keys, in the order of the fold."""
        table, found, named = tables.events, dict[str, list[Event]](), {trace(key): key for key in keys}
        for start in range(0, len(named), CHUNK):
            touched = or_(*(table.c.touched.contains(name) for name in list(named)[start : start + CHUNK]))
            query = select(table.c.encounter, table.c.touched, table.c.body).order_by(table.c.order)
            query = query.where(within(table.c.encounter, encounters), touched)
            for encounter, names, body in await self.connection.execute(query):
                event = Event.model_validate_json(body)
                for name in named.keys() & set(names.split()):
                    found.setdefault(slot_id(encounter, named[name]), []).append(event)
        return found

    def save_slots(self, slots: Iterable[tuple[Encounter, Slot]]) -> None:
        """Write entries, each with its encounter, whose version was not raised yet."""
        saved = list(slots)
        self.saved += [(encounter.id, slot) for encounter, slot in saved]
        rows = (
            {
                "encounter": encounter.id,
                "entry": slot.id,
                "part": slot.part,
                "place": slot.place,
                "last": slot.last,
                "body": slot.body(),
                "version": encounter.next_version,
            }
            for encounter, slot in saved
        )
        self._put(tables.entries, rows)

    async def clear(self, encounters: Collection[str]) -> None:
        """Delete the entries of encounters."""
        await self.connection.execute(delete(tables.entries).where(within(tables.entries.c.encounter, encounters)))


def _patient(row: Any) -> Patient:
    patient = Patient(*row)
    patient.said = from_json(row.said)
    return patient


def _encounter(row: Any) -> Encounter:
    encounter = Encounter(*row)
    first, owner, moves, *more = from_json(row.claims)
    encounter.claims = Claims(first and tuple(first), owner and tuple(owner), [tuple(move) for move in moves], *more)
    encounter.named, encounter.assigned = from_json(row.named), from_json(row.assigned)
    encounter.lies, encounter.lanes = from_json(row.lies), from_json(row.lanes)
    return encounter


def _values(row: Patient | Encounter | Stored | Merge | Taken) -> dict[str, Any]:
    """Return a row as its table has it; what is neither text nor number nor time is JSON there."""
    values = {name: getattr(row, name) for name in row.__slots__}
    if isinstance(row, Encounter):
        claims = [getattr(row.claims, name) for name in Claims.__slots__]
        texts = {name: _json(values[name]) for name in ("lanes", "named", "assigned", "lies")}
        return values | texts | {"claims": _json(claims)}
    return values | {"said": _json(row.said)} if isinstance(row, Patient) else values


def _json(value: Any) -> str:
    return to_json(value).decode()
