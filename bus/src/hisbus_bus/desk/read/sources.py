"""Back from a finding: the messages that its evidence, and all that it read, came from."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.proofs import prove
from hisbus_bus.flow.review import proposals
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_schemas import Chart, Evidence

_event, _message, _stay = tables.events.c, tables.messages.c, tables.encounters.c
_COLUMNS = (
    _message.id.label("message"), _message.type, _message.connector, _message.received, _event.id.label("event"),
    _event.kind, _event.encounter, _event.order,
)  # fmt: skip
_FROM = tables.events.join(tables.messages, (_message.message == _event.message) & _message.first)
_BY_EVENT: Select[Any] = select(*_COLUMNS).select_from(_FROM).where(within(_event.id, given("ids")))
_BY_PLACE: Select[Any] = (
    select(*_COLUMNS)
    .select_from(_FROM)
    .where(within(_event.encounter, given("stays")), within(_event.order, given("orders")))
)
_TOLD: Select[Any] = select(_stay.id, _stay.named, _stay.assigned).where(within(_stay.id, given("stays")))
_MARKS = {"admitted": "encounter.admitted", "discharged": "encounter.discharged"}
"""What stands in for a time of the stay that no message gives."""


class Source(BaseModel):
    """A message that a finding rests on."""

    message: str
    """Of its first copy."""
    type: str
    connector: str
    received: datetime
    kind: str
    """Of the event in it."""
    event: str
    evidence: list[int]
    """Which pieces of evidence came from it, counted from 0; none: the agent read it, and cites nothing of it."""


async def of(connection: AsyncConnection, rows: Iterable[Row[Any]]) -> Mapping[str, Sequence[Source]]:
    """Return the messages behind proposals, by the proposal's id: first those that evidence came from.

    What a newer mapping has replaced, and what the ledger does not know, is left out.
    """
    rows = list(rows)
    stays = sorted({row.encounter for row in rows})
    known = await charts.charts(connection, stays)
    told = {row.id: _told(row) for row in await connection.execute(_TOLD, {"stays": stays})}
    wanted: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        said, its = proposals.body(row), defaultdict[str, list[int]](list)
        for number, evidence in enumerate(said.evidence):
            if place := _place(known.get(row.encounter), told.get(row.encounter, {}), evidence):
                its[place].append(number)
        for ref in said.reads:
            name, _, version = ref.rpartition("@")
            its[version if not name.startswith("stay.") else _order(told, row.encounter, name)] += []
        wanted[row.id] = its
    places = sorted({place for its in wanted.values() for place in its} - {""})
    found = {row.event: row for row in await connection.execute(_BY_EVENT, {"ids": places})}
    in_order = await connection.execute(_BY_PLACE, {"stays": stays, "orders": places})
    by_place = {(row.encounter, row.order): row for row in in_order}
    return {
        row.id: _sources(
            (found.get(place) or by_place.get((row.encounter, place)), numbers) for place, numbers in its.items()
        )
        for row in rows
        for its in (wanted[row.id],)
    }


def _sources(found: Iterable[tuple[Row[Any] | None, list[int]]]) -> list[Source]:
    """Return each message once."""
    sources: dict[str, Source] = {}
    for row, numbers in found:
        if row is None:
            continue
        one = {name: getattr(row, name) for name in ("message", "type", "connector", "received", "kind", "event")}
        known = sources.setdefault(row.message, Source(**one, evidence=[]))
        known.evidence = sorted({*known.evidence, *numbers})
    return sorted(sources.values(), key=lambda one: (not one.evidence, one.received, one.message))


def _place(chart: Chart | None, told: Mapping[str, str], evidence: Evidence) -> str:
    """Return the event that a piece of evidence came from, or that event's place in the fold; empty: nobody knows."""
    if evidence.version:
        return evidence.version
    if evidence.path is None:
        return ""
    entry = prove(chart, evidence).entry
    return entry.version if entry is not None else told.get(evidence.path, "")


def _order(told: Mapping[str, Mapping[str, str]], stay: str, name: str) -> str:
    return told.get(stay, {}).get(name.removeprefix("stay."), "")


def _told(row: Row[Any]) -> dict[str, str]:
    """Return, by field of the stay, the place in the fold of the event that said it last."""
    newest: dict[str, list[Any]] = {}
    for said in (from_json(row.named), from_json(row.assigned)):
        for name, word in said.items():
            if name not in newest or word[:2] > newest[name][:2]:
                newest[name] = word
    marks = {name: newest[mark] for name, mark in _MARKS.items() if mark in newest and name not in newest}
    return {name: word[1] for name, word in (newest | marks).items()}
