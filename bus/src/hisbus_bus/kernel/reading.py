"""What agents are called with, read once for all of them: who asks while others are served shares the next snapshot."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BusError
from hisbus_bus.kernel import charts, coverage, tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.kept import Kept
from hisbus_bus.kernel.states import Proposed
from hisbus_bus.kernel.stored import StoredChart
from hisbus_schemas import Coverage

_row = tables.proposals.c
_OPEN = select(_row.id, _row.agent, _row.encounter, _row.kind, _row.body).where(
    within(_row.encounter, given("ids")),
    _row.status == Proposed.OPEN,
    _row.shadow.is_(False),
    within(_row.kind, given("kinds")),
)
_PARKED = select(tables.parked.c.step, tables.parked.c.encounter).where(
    tables.parked.c.status == "parked", within(tables.parked.c.encounter, given("ids"))
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step asks for its batch."""

    encounters: Collection[str]
    events: Collection[str]
    hears: Collection[str] = ()
    """Kinds of proposals."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is in one snapshot: what this step asked for, and others beside it."""

    charts: Mapping[str, StoredChart]
    events: Mapping[str, str]
    """JSON, by their ids."""
    coverage: Coverage
    parked: Collection[tuple[str, str]]
    """Steps and the encounters of which each has a parked call."""
    proposals: Mapping[str, Sequence[Mapping[str, Any]]]
    """That are open, by encounter."""

    def said(self, encounter: str, agent: str, hears: Collection[str]) -> tuple[Mapping[str, Any], ...]:
        """Return the open proposals of a stay that other agents made, of the kinds that this one hears."""
        said = self.proposals.get(encounter, ())
        return tuple(one for one in said if one["agent"] != agent and one["kind"] in hears)


@dataclass(slots=True)
class _Turn:
    asked: list[Asked] = field(default_factory=list)
    found: Found | None = None
    error: BusError | None = None


class Reading:
    """Reads for all steps of a process that call agents."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept = Kept(database)
        self._coverage = coverage.Reader()
        self._reads = asyncio.Lock()
        self._next = _Turn()

    async def read(self, asked: Asked) -> Found:
        """Return what is asked for, from a snapshot that begins no earlier than this call.

        Raises:
            RetryLater: the database is away.
        """
        turn = self._next
        turn.asked.append(asked)
        async with self._reads:
            if turn.found is None and turn.error is None:
                self._next = _Turn()  # the first of a turn reads for all; where it is cancelled, the second does
                try:
                    turn.found = await self._snapshot(turn.asked)
                except BusError as error:
                    turn.error = error
        if turn.found is None:
            raise turn.error or AssertionError
        return turn.found

    async def _snapshot(self, asked: Sequence[Asked]) -> Found:
        encounters = {id for one in asked for id in one.encounters}
        events = {id for one in asked for id in one.events}
        hears = {kind for one in asked for kind in one.hears}
        async with self._database.read() as connection:
            stays = await self._kept.read(connection, encounters)
            return Found(
                stays,
                await charts.stored_events(connection, events),
                await self._coverage.read(connection),
                await _parked(connection, [id for id, stay in stays.items() if stay.waits]),
                await _proposals(connection, sorted(stays), hears) if hears else {},
            )


async def _parked(connection: AsyncConnection, encounters: Sequence[str]) -> set[tuple[str, str]]:
    if not encounters:
        return set()
    return {(step, encounter) for step, encounter in await connection.execute(_PARKED, {"ids": encounters})}


async def _proposals(
    connection: AsyncConnection, encounters: Sequence[str], kinds: Collection[str]
) -> dict[str, list[Mapping[str, Any]]]:
    said: dict[str, list[Mapping[str, Any]]] = {}
    for row in await connection.execute(_OPEN, {"ids": encounters, "kinds": sorted(kinds)}):
        proposal = from_json(row.body) | {"id": row.id, "agent": row.agent, "kind": row.kind}
        said.setdefault(row.encounter, []).append(proposal)
    return {encounter: sorted(its, key=lambda one: str(one["id"])) for encounter, its in said.items()}
