"""Reading charts: one snapshot, a few queries. Charts are written by the chart step alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import tables
from hisbus_schemas import (
    Chart,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    Entry,
    Event,
    Patient,
    VisitId,
)

DIED = "20"
"""Discharge disposition (HL7 v2 PV1-36) of a patient who died."""

_PARTS: Mapping[str, TypeAdapter[Any]] = {
    "documents": TypeAdapter(list[ChartDocument]),
    "diagnoses": TypeAdapter(list[ChartDiagnosis]),
    "procedures": TypeAdapter(list[ChartProcedure]),
    "orders": TypeAdapter(list[ChartOrder]),
    "results": TypeAdapter(list[ChartReading]),
    "vitals": TypeAdapter(list[ChartReading]),
    "charges": TypeAdapter(list[ChartCharge]),
}


@dataclass(frozen=True, slots=True)
class Unassigned:
    """An event that no chart holds: work for a person."""

    event: str
    message: str
    kind: str
    connector: str
    flag: str
    """Why: ``unassigned_visit``, ``visit_of_another_patient`` or ``circular_merge``."""


async def chart(connection: AsyncConnection, encounter: str) -> Chart | None:
    """Return a stay as it stands; None where no event has named it. Call it within ``Database.read``."""
    table, patients, entries = tables.encounters, tables.patients, tables.entries
    joined = table.outerjoin(patients, patients.c.id == table.c.patient)
    query = select(table, patients.c.shown).select_from(joined).where(table.c.id == encounter)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    parts: dict[str, list[Entry]] = {}
    shown_entries = select(entries.c.part, entries.c.body).where(entries.c.encounter == encounter, entries.c.part != "")
    for entry in await connection.execute(shown_entries.order_by(entries.c.place, entries.c.entry)):
        parts.setdefault(entry.part, []).extend(_PARTS[entry.part].validate_json(entry.body))
    patient = Patient.model_validate_json(row.shown) if row.shown else None
    stay = json.loads(row.stay)
    known = {
        "encounter": row.id,
        "version": row.version,
        "now": row.now,
        "timezone": row.timezone,
        "key": row.key,
        "connector": row.connector,
        "visit": VisitId(authority=row.authority, number=row.number),
        "patient": patient,
        "died": stay.get("disposition") == DIED or (patient is not None and patient.dead),
    }
    return Chart.model_validate({**stay, **known, **parts})


async def event(connection: AsyncConnection, id: str) -> Event | None:
    """Return a stored event; None where there is none, as after a newer mapping has replaced it."""
    body = await connection.scalar(select(tables.events.c.body).where(tables.events.c.id == id))
    return Event.model_validate_json(body) if body is not None else None


async def find(connection: AsyncConnection, *, visit: str = "", patient: str = "") -> list[str]:
    """Return the encounters of a visit number, or of a patient number (aliases resolved), the latest active first."""
    table, patients = tables.encounters, tables.patients
    query = select(table.c.id).order_by(table.c.now.desc(), table.c.id)
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
