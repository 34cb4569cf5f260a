"""Reading charts: one snapshot, a few queries. Charts are written by the chart step alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import JSON, ColumnElement, cast, exists, select, text, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_bus.kernel.stored import EMPTY, NOTHING, Row, StoredChart, row
from hisbus_schemas import DIED, Chart, Event

OPEN = ("preadmitted", "registered", "admitted")
"""Statuses of stays that are not closed."""

_NONE: Mapping[str, StoredChart] = {}
_CALL = tables.parked.c

_SAYS = ("id", "version", "refolded", "now", "key", "stay", "authority", "number", "counter", "timezone", "connector")
_STAYS = (
    select(
        *(tables.encounters.c[name] for name in (*_SAYS, "past", "live")),
        tables.patients.c.shown,
        exists().where(_CALL.encounter == tables.encounters.c.id, _CALL.status == "parked").label("waits"),
    )
    .outerjoin_from(tables.encounters, tables.patients, tables.patients.c.id == tables.encounters.c.patient)
    .where(within(tables.encounters.c.id, given("ids")), tables.encounters.c.version > 0)
)
# Of each stay what changed since the version under which it is known; of one that is not (-1) whatever is shown. The
# stays come first, and their entries by the index: a plan that was made for an empty table would read it whole.
_CHANGED = {
    "postgresql": text("""
        SELECT e.encounter, e.entry, e.part, e.place, e.version, e.body
        FROM json_each_text(CAST(:known AS json)) AS k CROSS JOIN LATERAL (
            SELECT * FROM entries
            WHERE entries.encounter = k.key AND entries.version > CAST(k.value AS integer)
            AND (entries.part <> '' OR CAST(k.value AS integer) >= 0) OFFSET 0
        ) AS e"""),
    "sqlite": text("""
        SELECT e.encounter, e.entry, e.part, e.place, e.version, e.body
        FROM json_each(:known) AS k CROSS JOIN entries AS e
        WHERE e.encounter = k.key AND e.version > k.value AND (e.part <> '' OR k.value >= 0)"""),
}
_DEPARTMENTS = select(tables.encounters.c.id, tables.encounters.c.stay).where(
    within(tables.encounters.c.id, given("ids"))
)
_EVENTS = select(tables.events.c.id, tables.events.c.body).where(within(tables.events.c.id, given("ids")))


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


async def stored(
    connection: AsyncConnection, encounters: Collection[str], known: Mapping[str, StoredChart] = _NONE
) -> dict[str, StoredChart]:
    """Return stays by their ids, in two queries; those that no event has opened are left out.

    Args:
        connection: of a snapshot.
        encounters: their ids.
        known: how they stood in earlier snapshots. Of these no more is read than what changed since.
    """
    heads = {row.id: row for row in await connection.execute(_STAYS, {"ids": sorted(set(encounters))})}
    before = {id: known[id] for id, head in heads.items() if id in known and _goes_on(known[id], head)}
    changed = {
        id: before[id].version if id in before else -1
        for id, head in heads.items()
        if id not in before or before[id].version < head.version
    }
    rows: dict[str, dict[str, list[Row]]] = {}
    if changed:
        found = await connection.execute(_CHANGED[connection.dialect.name], {"known": to_json(changed).decode()})
        for encounter, *entry in found:
            _sort_in(rows.setdefault(encounter, {}), before.get(encounter), *entry)
    return {id: _chart(head, before.get(id), rows.get(id, {})) for id, head in heads.items()}


def _goes_on(known: StoredChart, head: Any) -> bool:
    """Tell whether a stay can be brought up to date: no newer snapshot knew it, and its rows were not made anew."""
    return bool(head.refolded <= known.version <= head.version)


def _sort_in(
    rows: dict[str, list[Row]], before: StoredChart | None, entry: str, part: str, place: str, version: int, body: str
) -> None:
    """Put an entry that changed into the parts that show it, or did before."""
    shown = dict(zip(part.split(), body.split("\n"), strict=False))
    gone = [name for name, its in before.parts.items() if entry in its.by_entry] if before else []
    for name in {*shown, *gone}:
        rows.setdefault(name, []).append(row(name, entry, place, version, shown.get(name, NOTHING)))


def _chart(head: Any, before: StoredChart | None, rows: Mapping[str, Sequence[Row]]) -> StoredChart:
    if before is not None and before.head == tuple(head):
        return before
    parts = {} if before is None else dict(before.parts)
    for name, changed in rows.items():
        parts[name] = parts.get(name, EMPTY).after(changed)
    since = head.version if before is None else before.since
    return StoredChart(
        head.id, head.version, head.now, head.key, _own(head), head.stay, parts, since, head.waits, tuple(head)
    )


def _own(row: Any) -> dict[str, str]:
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
