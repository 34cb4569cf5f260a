"""Reading charts: one snapshot, a few queries. Charts are written by the chart step alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import JSON, ColumnElement, Row, cast, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_schemas import DIED, GRANTS, Chart, ChartUnknown, Event

OPEN = ("preadmitted", "registered", "admitted")
"""Statuses of stays that are not closed."""

_UNKNOWN = TypeAdapter(list[ChartUnknown])

_STAYS = (
    select(tables.encounters, tables.patients.c.shown)
    .outerjoin_from(tables.encounters, tables.patients, tables.patients.c.id == tables.encounters.c.patient)
    .where(within(tables.encounters.c.id, given("ids")), tables.encounters.c.version > 0)
)
_ENTRIES = (
    select(tables.entries.c.encounter, tables.entries.c.part, tables.entries.c.body)
    .where(within(tables.entries.c.encounter, given("ids")), tables.entries.c.part != "")
    .order_by(tables.entries.c.place, tables.entries.c.entry)
)
_DEPARTMENTS = select(tables.encounters.c.id, tables.encounters.c.stay).where(
    within(tables.encounters.c.id, given("ids"))
)
_EVENTS = select(tables.events.c.id, tables.events.c.body).where(within(tables.events.c.id, given("ids")))


@dataclass(frozen=True, slots=True)
class StoredChart:
    """A stay as it stands, for whoever hands it on without looking inside: nothing of it has been read.

    Making a ``Chart`` of it costs some fifty times as much as storing or sending its text.
    """

    encounter: str
    version: int
    now: datetime
    key: str
    _fields: Mapping[str, str]
    """The other fields of the chart by their names, each as JSON; what is missing has its default."""
    _stay: str
    """The stay's own fields, a JSON object."""

    def json(self, grants: Collection[str] = GRANTS) -> str:
        """Return the chart as JSON that ``Chart`` reads, with the parts that are granted."""
        own = {"encounter": self.encounter, "version": self.version, "now": self.now.isoformat(), "key": self.key}
        parts = [f'"{name}":{value}' for name, value in self._fields.items() if name not in GRANTS or name in grants]
        return f"{to_json(own).decode()[:-1]},{','.join((*parts, self._stay[1:]))}"

    @property
    def backfill(self) -> bool:
        """Whether nothing of the stay came as it happened."""
        return "backfill" in self._fields

    @property
    def live_from(self) -> datetime | None:
        """Since when a stay that was read in later came as it happened; None: it has not, or was never read in."""
        said = self._fields.get("live_from")
        return datetime.fromisoformat(from_json(said)) if said else None

    @property
    def department(self) -> str:
        """Where the patient lies, or lay last."""
        return str(from_json(self._stay).get("department", ""))

    @property
    def unknown(self) -> list[ChartUnknown]:
        """The codes that nobody has answered yet: most stays have none, and then nothing is read."""
        said = self._fields.get("unknown")
        return _UNKNOWN.validate_json(said) if said else []

    def chart(self) -> Chart:
        """Return the chart itself."""
        return Chart.model_validate_json(self.json())


@dataclass(frozen=True, slots=True)
class Unassigned:
    """An event that no chart holds: work for a person."""

    event: str
    message: str
    kind: str
    connector: str
    flag: str
    """Why: ``unassigned_visit`` (no stay, or several), ``visit_not_registered`` (its number is of no certain authority,
    and nobody registered it), ``visit_of_another_patient``, ``visit_number_reused`` or ``circular_merge``."""


async def stored(connection: AsyncConnection, encounters: Collection[str]) -> dict[str, StoredChart]:
    """Return stays by their ids, in two queries; those that no event has opened are left out."""
    ids = {"ids": sorted(set(encounters))}
    rows = (await connection.execute(_STAYS, ids)).all()
    parts: dict[tuple[str, str], list[str]] = {}
    for encounter, part, body in await connection.execute(_ENTRIES, ids):
        for each, line in zip(part.split(), body.split("\n"), strict=True):
            parts.setdefault((encounter, each), []).append(line[1:-1])
    fields: dict[str, dict[str, str]] = {row.id: _own(row) for row in rows}
    for (encounter, part), items in parts.items():
        fields[encounter][part] = f"[{','.join(filter(None, items))}]"
    return {row.id: StoredChart(row.id, row.version, row.now, row.key, fields[row.id], row.stay) for row in rows}


def _own(row: Row[Any]) -> dict[str, str]:
    """Return what the stay and its patient say of themselves, each as JSON."""
    patient = from_json(row.shown) if row.shown else {}
    visit = {"authority": row.authority, "number": row.number, "counter": row.counter}
    died = from_json(row.stay).get("disposition") == DIED or patient.get("dead", False)
    own = {"timezone": row.timezone, "connector": row.connector, "visit": visit, "died": died}
    if row.past:
        own |= {"live_from": row.live.partition(" ")[2]} if row.live else {"backfill": True}
    return {name: to_json(value).decode() for name, value in own.items()} | {"patient": row.shown or "null"}


async def charts(connection: AsyncConnection, encounters: Collection[str]) -> dict[str, Chart]:
    """Return stays by their ids, in two queries; those that no event has named are left out."""
    return {id: found.chart() for id, found in (await stored(connection, encounters)).items()}


async def departments(connection: AsyncConnection, encounters: Collection[str]) -> dict[str, str]:
    """Return the departments of stays by their ids, without reading the charts."""
    rows = await connection.execute(_DEPARTMENTS, {"ids": sorted(set(encounters))})
    return {id: from_json(stay).get("department", "") for id, stay in rows}


async def departments_met(connection: AsyncConnection) -> set[str]:
    """Return the departments of all stays."""
    stay = tables.encounters.c.stay
    said = cast(stay, JSON) if connection.dialect.name == "postgresql" else type_coerce(stay, JSON)
    rows = await connection.scalars(select(said["department"].as_string()).distinct())
    return {name for name in rows if name}


async def chart(connection: AsyncConnection, encounter: str) -> Chart | None:
    """Return a stay as it stands; None where no event has named it. Call it within ``Database.read``."""
    return (await charts(connection, [encounter])).get(encounter)


async def stored_events(connection: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    """Return stored events by their ids as JSON that ``Event`` reads; those that there are no more are left out."""
    return {id: body for id, body in await connection.execute(_EVENTS, {"ids": sorted(set(ids))})}


async def events(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Event]:
    """Return stored events by their ids; those that there are no more are left out."""
    return {id: Event.model_validate_json(body) for id, body in (await stored_events(connection, ids)).items()}


async def event(connection: AsyncConnection, id: str) -> Event | None:
    """Return a stored event; None where there is none, as after a newer mapping has replaced it."""
    return (await events(connection, [id])).get(id)


def of_backfill() -> ColumnElement[bool]:
    """Tell which stays are of backfill: nothing of them came as it happened."""
    return tables.encounters.c.past & (tables.encounters.c.live == "")


async def find(connection: AsyncConnection, *, visit: str = "", patient: str = "") -> list[str]:
    """Return the encounters of a visit number, or of a patient number (aliases resolved), the latest active first."""
    table, patients = tables.encounters, tables.patients
    query = select(table.c.id).where(table.c.version > 0).order_by(table.c.now.desc(), table.c.id)
    if not visit and not patient:
        return []
    if visit:
        query = query.where(table.c.number == visit)
    if patient:
        query = query.where(table.c.patient.in_(select(patients.c.survivor).where(patients.c.number == patient)))
    return list(await connection.scalars(query))


async def unassigned(connection: AsyncConnection, limit: int) -> list[Unassigned]:
    """Return events that no chart holds, the newest in the fold first."""
    table = tables.events
    query = select(table.c.id, table.c.message, table.c.kind, table.c.connector, table.c.flag)
    rows = await connection.execute(query.where(table.c.flag != "").order_by(table.c.order.desc()).limit(limit))
    return [Unassigned(*row) for row in rows]
