"""Rules that an agent cannot judge whatever a stay brings, as for want of a table of codes or a model."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review.notes import Notes
from hisbus_bus.kernel import tables
from hisbus_schemas import Text

RECENT = 100
"""Stays of each agent that are looked at, the newest."""
_OWN = frozenset({"model", "other"})
"""The reasons that may be the site's; the others are a stay's, or stand on the page already."""

_heads = tables.assessment_heads.c


async def unjudged(connection: AsyncConnection) -> Mapping[tuple[str, str], Text]:
    """Return by agent and rule what is missing: what it says on most of its newest stays that speak of the rule."""
    agents = await connection.scalars(select(_heads.agent).where(_heads.shadow.is_(False)).distinct())
    return {(agent, rule): text for agent in agents.all() for rule, text in (await _of(connection, agent)).items()}


async def _of(connection: AsyncConnection, agent: str) -> Mapping[str, Text]:
    newest = select(_heads.evaluated, _heads.notes).where(_heads.agent == agent, _heads.shadow.is_(False))
    spoken, said = Counter[str](), defaultdict[str, Counter[tuple[str, str]]](Counter)
    for evaluated, notes in await connection.execute(newest.order_by(_heads.time.desc()).limit(RECENT)):
        left_out = Notes.model_validate_json(notes).unevaluated if notes else []
        spoken.update({*json.loads(evaluated), *(one.rule for one in left_out)})
        for one in left_out:
            if one.reason in _OWN:
                said[one.rule][one.text.zh, one.text.en] += 1
    most = {rule: texts.most_common(1)[0] for rule, texts in said.items()}
    return {rule: Text(zh=zh, en=en) for rule, ((zh, en), count) in most.items() if 2 * count > spoken[rule]}
