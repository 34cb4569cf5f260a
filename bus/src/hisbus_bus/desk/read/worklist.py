"""Proposals that wait for a person, and those that were answered: as lists, with what belongs to them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.cursors import Place
from hisbus_bus.desk.problems import Problem
from hisbus_bus.flow.review import proposals
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.kernel import audit, charts, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Proposed
from hisbus_schemas import Chart, Location, Patient


@dataclass(frozen=True, slots=True)
class Filter:
    """Which proposals; empty: any."""

    kind: str = ""
    """``finding``, ``codeset`` or ``draft``."""
    status: str = ""
    agent: str = ""
    rule: str = ""
    department: str = ""
    author: str = ""
    """Staff number of who answers a draft."""
    authors: frozenset[str] | None = None
    """Those of these alone; None: whoever's."""
    backfill: bool = False
    """Those of stays of backfill, too."""

    def conditions(self, *without: str) -> list[ColumnElement[bool]]:
        """Return it as conditions, leaving some fields out."""
        left_out = {*without, "authors", "backfill"}
        named = [field.name for field in fields(self) if field.name not in left_out and getattr(self, field.name)]
        shown = [tables.proposals.c.shadow.is_(False)]
        if self.authors is not None and "author" not in without:
            shown.append(tables.proposals.c.author.in_(self.authors))
        if not self.backfill:
            past = select(tables.encounters.c.id).where(charts.of_backfill())
            shown.append(tables.proposals.c.encounter.not_in(past))
        return [*shown, *(tables.proposals.c[name] == getattr(self, name) for name in named)]


async def page(
    connection: AsyncConnection, wanted: Filter, limit: int, after: Place | None
) -> tuple[Sequence[Row[Any]], Place | None]:
    """Return proposals from the newest to the oldest, and where the next page begins."""
    table = tables.proposals
    conditions = wanted.conditions()
    if after is not None:
        conditions.append(after.before(table.c.opened, table.c.id))
    query = select(table).where(*conditions).order_by(table.c.opened.desc(), table.c.id.desc()).limit(limit + 1)
    rows = (await connection.execute(query)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], Place(last.opened, last.id) if last else None


async def one(connection: AsyncConnection, id: str) -> Row[Any]:
    """Return one revision of a proposal. Raises Problem where there is none."""
    its = (tables.proposals.c.id == id) & tables.proposals.c.shadow.is_(False)
    row = (await connection.execute(select(tables.proposals).where(its))).one_or_none()
    if row is None:
        raise Problem("not_found")
    return row


async def counts(connection: AsyncConnection, wanted: Filter, column: str) -> dict[str, int]:
    """Count by one column what the other filters let through."""
    by = tables.proposals.c[column]
    query = select(by, func.count()).where(*wanted.conditions(column)).group_by(by).order_by(by)
    return {row[0]: row[1] for row in await connection.execute(query)}


@dataclass(frozen=True, slots=True)
class StayLine:
    """A stay as lists name it."""

    visit: str
    """The visit's number."""
    patient: Patient | None
    location: Location
    timezone: str
    connector: str
    backfill: bool = False
    """Nothing of it came as it happened."""


async def stays(connection: AsyncConnection, encounters: Iterable[str]) -> Mapping[str, StayLine]:
    """Return stays by encounter, without what the chart holds of documents and readings."""
    table, patients = tables.encounters, tables.patients
    columns = (table.c.id, table.c.number, table.c.timezone, table.c.connector, table.c.stay, patients.c.shown)
    past = charts.of_backfill().label("backfill")
    joined = table.outerjoin(patients, patients.c.id == table.c.patient)
    query = select(*columns, past).select_from(joined).where(table.c.id.in_(set(encounters)))
    return {
        row.id: StayLine(
            visit=row.number,
            patient=Patient.model_validate_json(row.shown) if row.shown else None,
            location=Location.model_validate(json.loads(row.stay).get("location") or {}),
            timezone=row.timezone,
            connector=row.connector,
            backfill=bool(row.backfill),
        )
        for row in await connection.execute(query)
    }


async def histories(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Return what happened to each proposal, in order."""
    table = tables.proposal_history
    found: dict[str, list[Row[Any]]] = {id: [] for id in ids}
    for row in await connection.execute(select(table).where(table.c.proposal.in_(found)).order_by(table.c.id)):
        found[row.proposal].append(row)
    return found


async def look(site: Site, actor: str, id: str) -> tuple[Row[Any], Chart | None]:
    """Return a proposal as it stands now, with the chart it is about; the look is audited.

    What it read is compared with the chart: one that rests on something else by now becomes stale.

    Raises:
        Problem: there is none of that id.
    """
    async with site.database.read() as connection:
        row = await one(connection, id)
        chart = await charts.chart(connection, row.encounter)
    async with site.database.write() as connection:
        row = await renewed(connection, row, chart)
        await audit.record(
            connection, actor=actor, action="proposal.viewed", object=id, encounter=row.encounter, version=row.version
        )
    return row, chart


async def renewed(connection: AsyncConnection, row: Row[Any], chart: Chart | None) -> Row[Any]:
    """Return a proposal compared with the chart; it is read again where the two have parted."""
    if row.status not in Proposed.LIVE or proposals.stands(Standing.of(row), chart) == (row.status == Proposed.OPEN):
        return row
    row = await one(connection, row.id)
    await proposals.refresh(connection, Standing.of(row), await charts.chart(connection, row.encounter))
    return await one(connection, row.id)
