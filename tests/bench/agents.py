"""What an event costs each agent, and the dearest rules of ``qc`` (``python -m tests.bench.agents``); no model, no bus.

Every event of the simulated week, each stay's chart as it grows: CPU of the agent's own work, with what it remembers
and without it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from tests.ward import fold, ward_events

import hisbus_coding
import hisbus_documentation
import hisbus_qc
from hisbus import Case
from hisbus_qc import memory
from hisbus_schemas import Chart

DEAREST = 5
out = Console(highlight=False, markup=False, soft_wrap=True)


def charts() -> list[Chart]:
    """Return the charts of the week, event by event; stays are told apart by their visits."""
    made = []
    for visit, events in ward_events(1, 25).items():
        made += [fold(events[:count]).model_copy(update={"encounter": visit}) for count in range(1, len(events) + 1)]
    return made


def agents() -> list[Any]:
    """Return a new one of each bundled agent."""
    found: list[Any] = []
    for plugin in (hisbus_qc, hisbus_coding, hisbus_documentation):
        plugin.register_agents(found.append)
    return found


async def cost(agent: Any, week: Sequence[Chart], *, forgets: bool = False) -> float:
    """Return the CPU of an event, microseconds."""
    begun = time.process_time()
    for chart in week:
        if forgets:
            agent = type(agent)()
        await agent.assess(Case(event=None, chart=chart, now=chart.now))
    return (time.process_time() - begun) / len(week) * 1e6


def by_rule(week: Sequence[Chart], *, forgets: bool) -> Counter[str]:
    """Return what each rule of ``qc`` costs an event, microseconds."""
    spent, run = Counter[str](), memory._run

    def timed(judge: Any, record: Any) -> Any:
        begun = time.perf_counter()
        said = run(judge, record)
        spent[judge.rule.id] += round((time.perf_counter() - begun) * 1e9)
        return said

    memory._run = timed
    try:
        asyncio.run(cost(hisbus_qc.Agent(), week, forgets=forgets))
    finally:
        memory._run = run
    return Counter({rule: round(nanoseconds / len(week) / 1e3) for rule, nanoseconds in spent.items()})


def main() -> None:
    """Print both tables."""
    week = charts()
    for agent in agents():
        asyncio.run(cost(agent, week))  # what is read once is read now
    for first, second in zip(agents(), agents(), strict=True):
        with_memory = asyncio.run(cost(first, week))
        without = asyncio.run(cost(second, week, forgets=True))
        out.print(f"{first.name}: {without:.0f} us an event, {with_memory:.0f} with what it remembers")
    remembered, forgotten = (by_rule(week, forgets=forgets) for forgets in (False, True))
    out.print("Rules of qc, us an event: without the memory, with it")
    for rule, spent in forgotten.most_common(DEAREST):
        out.print(f"{rule}: {spent}, {remembered[rule]}")


if __name__ == "__main__":
    main()
