"""What an agent's newest assessment says of itself: what it could not judge, and what it asked the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import tables
from hisbus_schemas import Asked, Assessment, Contract, Unevaluated

_heads = tables.assessment_heads.c


class Notes(Contract):
    """What an assessment says beside its proposals."""

    unevaluated: list[Unevaluated] = []
    """Rules that could not be judged, with the reason."""
    unverified: int = 0
    """Items left out because the words they rest on are not in the record."""
    asked: list[Asked] = []
    """What the model was asked."""


@dataclass(frozen=True, slots=True)
class Said:
    """The newest assessment of one agent, without its proposals."""

    agent: str
    version: int
    """Of the chart that it read."""
    time: datetime
    """The present of that chart."""
    evaluated: Sequence[str]
    notes: Notes


def stored(assessment: Assessment) -> str:
    """Return the notes as they are kept; nothing to note is an empty text."""
    notes = Notes(unevaluated=assessment.unevaluated, unverified=assessment.unverified, asked=assessment.asked)
    return notes.model_dump_json() if notes != Notes() else ""


async def of(connection: AsyncConnection, encounter: str) -> list[Said]:
    """Return the newest assessment of every agent that has judged an encounter, by the agents' names."""
    query = (
        select(tables.assessment_heads)
        .where(_heads.encounter == encounter, _heads.shadow.is_(False))
        .order_by(_heads.agent)
    )
    return [
        Said(
            agent=row.agent,
            version=row.version,
            time=row.time,
            evaluated=json.loads(row.evaluated),
            notes=Notes.model_validate_json(row.notes) if row.notes else Notes(),
        )
        for row in await connection.execute(query)
    ]


async def is_not_connected(connection: AsyncConnection, encounter: str, agent: str, rule: str) -> bool:
    """Tell whether an agent's newest assessment left a rule out because what it needs does not come."""
    unevaluated = [
        one for said in await of(connection, encounter) if said.agent == agent for one in said.notes.unevaluated
    ]
    return any(one.rule == rule and one.reason == "not_connected" for one in unevaluated)
