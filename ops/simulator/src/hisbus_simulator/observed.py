"""What an agent says of a kind of hospital that is judged by what its feeds bring, without a server.

The site reads in its past as backfill, for which no agent is called and which counts for coverage; then its week is
folded, and every chart is judged by the coverage that was found.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hisbus import Agent, Case
from hisbus.answer import declared
from hisbus.testing import run
from hisbus_bus.host.connected import judged_by_what_comes
from hisbus_bus.kernel import coverage, rules
from hisbus_bus.kernel.settings import Settings
from hisbus_schemas import Coverage
from hisbus_simulator.export import FEED, SITE, folding
from hisbus_simulator.sites import BY_HAND, Kind
from hisbus_simulator.week import past, ward_week


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of a site's week."""

    coverage: Coverage
    found: Counter[tuple[str, str, str]]
    """Findings by visit, rule and state."""
    lacking: Mapping[str, str]
    """The rules that are not connected on any stay, with the item that does not come."""


async def judge(kind: Kind, agent: Agent, seed: int = 1) -> Judged:
    """Let an agent judge a site's week."""
    observed = {"default": "observed", "items": BY_HAND[kind]}
    settings = Settings.model_validate({"site": SITE, "connectors": [FEED], "coverage": observed})
    info, week = declared(agent), ward_week(seed, site=kind)
    async with folding(settings) as folder:
        async with folder.site.database.write() as connection:
            await rules.keep(connection, info)
            await coverage.configure(connection, folder.site.headers, settings.coverage)
        await folder.take(past(seed, site=kind).messages, backfill=True)
        await folder.take(week.messages)
        async with folder.site.database.read() as connection:
            known = await coverage.read(connection)
        charts = await folder.charts(week)
    found: Counter[tuple[str, str, str]] = Counter()
    lacking: dict[str, str] = {}
    could: set[str] = set()
    for chart in charts:
        case = Case(event=None, chart=chart, now=week.clock, coverage=known)
        answer = judged_by_what_comes(await run(agent, case), info, known, chart.department)
        found.update((chart.visit.number, item.rule, item.state) for item in answer.proposals)
        lacking |= {one.rule: one.item for one in answer.unevaluated}
        could |= answer.evaluated
    return Judged(known, found, {rule: item for rule, item in lacking.items() if rule not in could})
