"""How far behind is each step of the flow?

Lag is exact: what waits in a topic and what waits in a table are read so that nothing on its way from one to the
other is missed. All steps write a table or the log before they commit what they read, so: the ends of all topics,
the committed positions, one snapshot of the database, the ends again. Where the ends moved, it is read again.
"""

from collections.abc import Mapping, Sequence

from hisbus_bus.flow import timers, writeback
from hisbus_bus.kernel import codes, outbox, positions
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import FLOW, TOPICS, Name

TRIES = 5


async def lag(site: Site, agents: Sequence[str]) -> Mapping[str, int]:
    """Return, by step, how much is waiting or being worked on."""
    steps = _steps(agents)
    most: dict[str, int] = {}
    for _ in range(TRIES):
        ends = await _ends(site)
        waiting = {
            step: await positions.lag(site, reads, site.group(step), stores=stores, ends=ends[reads])
            for step, (reads, stores) in steps.items()
        }
        for step, count in (await _rows(site)).items():
            waiting[step] = waiting.get(step, 0) + count
        if await _ends(site) == ends:
            return waiting
        most = {step: max(count, most.get(step, 0)) for step, count in waiting.items()}
    return most


def _steps(agents: Sequence[str]) -> dict[str, tuple[Name, bool]]:
    """Return every consuming step with its topic and whether it stores its position, dispatch once for each agent."""
    steps: dict[str, tuple[Name, bool]] = {}
    for step, hop in FLOW.items():
        if hop.reads is not None:
            names = [f"dispatch.{agent}" for agent in agents] if step == "dispatch" else [step]
            steps |= dict.fromkeys(names, (hop.reads, hop.stores))
    return steps


async def _ends(site: Site) -> dict[str, Mapping[int, int]]:
    return {name: dict(await site.log.ends(name)) for name in TOPICS}


async def _rows(site: Site) -> dict[str, int]:
    """Count what waits in tables: one snapshot."""
    async with site.database.read() as connection:
        return {
            "translate": await codes.waiting(connection),
            "timers": await timers.due(connection),
            "writeback": await writeback.waiting(connection),
            "outbox": await outbox.waiting(connection),
        }
