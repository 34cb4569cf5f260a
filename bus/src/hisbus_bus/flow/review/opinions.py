"""What agents say of each other's proposals: kept with the assessment that said it, so that each replaces the last."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_schemas import Opinion

OPINIONS = TypeAdapter(list[Opinion])

_heads = tables.assessment_heads.c
_SAID = (
    select(_heads.agent, _heads.opinions)
    .where(within(_heads.encounter, given("ids")), _heads.opinions != "", _heads.shadow.is_(False))
    .order_by(_heads.agent)
)


class Voice(NamedTuple):
    """An opinion and whose it is."""

    agent: str
    opinion: Opinion


def stored(opinions: Sequence[Opinion]) -> str:
    """Return opinions as they are kept; none is an empty text."""
    return OPINIONS.dump_json(list(opinions)).decode() if opinions else ""


async def on(connection: AsyncConnection, encounters: Iterable[str]) -> Mapping[str, Sequence[Voice]]:
    """Return what is said of the proposals of encounters, by the proposal's id."""
    found: dict[str, list[Voice]] = defaultdict(list)
    for row in await connection.execute(_SAID, {"ids": sorted(set(encounters))}):
        for opinion in OPINIONS.validate_json(row.opinions):
            found[opinion.proposal].append(Voice(row.agent, opinion))
    return found
