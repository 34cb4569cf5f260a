"""Rules that are judged without a part of theirs since the coverage changed: what that part found was not mended."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import charts, coverage, rules
from hisbus_schemas import Assessed, Coverage


class Head(NamedTuple):
    """The assessment that was last reconciled."""

    version: int = 0
    """Of the chart."""
    coverage: int = 0
    """Version of the coverage that it was judged by."""


async def of(connection: AsyncConnection, answers: Sequence[tuple[Assessed, Head]]) -> Mapping[str, frozenset[str]]:
    """Return by the id of an assessment which rules lack something that they did not lack before.

    Args:
        connection: of any transaction.
        answers: each with what was reconciled before it. Most were judged by the same coverage: then nothing is read.
    """
    moved = [(answer, head.coverage) for answer, head in answers if answer.coverage > head.coverage]
    if not moved:
        return {}
    said = await coverage.journal(connection)
    known = {version: coverage.told([one for one in said if one.version <= version])
             for version in {version for answer, before in moved for version in (answer.coverage, before)}}  # fmt: skip
    departments = await charts.departments(connection, {answer.encounter for answer, _ in moved})
    declared = await rules.read(connection)
    return {
        answer.id: frozenset(
            rule.rule
            for rule in declared
            if rule.agent == answer.agent
            and _loses(rule, known[before], known[answer.coverage], departments.get(answer.encounter, ""))
        )
        for answer, before in moved
    }


def _loses(rule: rules.Rule, before: Coverage, now: Coverage, department: str) -> bool:
    return any(need.lacking(now, department) and not need.lacking(before, department) for need in rule.needs)
