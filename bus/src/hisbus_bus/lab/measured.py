"""What a site's machine can take, from what a load has cost it: figures, and where the limit lies in words."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab.usage import OURS, Usage

FULL = 0.85
"""Of a core, or of all cores: more than that is not to be had for long."""
BUSY = 0.6
"""How busy a machine should be at most when the hospital is at its busiest: there is a rest for catching up."""
OTHERS = 0.3
"""Share of a machine that others use, the simulator's sender among them, from which a measurement tells nothing."""
RATES = (25, 100, 200, 1000)
"""Events a second that a site may want."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load has cost."""

    events: int
    """Messages that were taken and worked through."""
    seconds: float
    """From the first until nothing was left to do."""
    before: Usage
    after: Usage
    stored: Mapping[str, int]
    """Bytes that it has left behind: in the ``database``, and in the ``log`` where that is a file."""

    @property
    def kept(self) -> float:
        """Messages a second."""
        return self.events / self.seconds

    @property
    def cpu_ms(self) -> Mapping[str, float]:
        """CPU of a message by who used it, milliseconds."""
        spent = {name: used - self.before.cpu_s.get(name, 0.0) for name, used in self.after.cpu_s.items()}
        return {name: used / self.events * 1000 for name, used in spent.items() if used > 0}

    @property
    def whole_ms(self) -> float:
        """CPU of a message in all processes that were seen, milliseconds."""
        return sum(self.cpu_ms.values())

    @property
    def busy(self) -> float:
        """Share of all cores that was in use, by whatever ran here."""
        return (self.after.busy_s - self.before.busy_s) / self.seconds / cores()

    @property
    def others(self) -> float:
        """Share of all cores that was in use by what is not counted here: the load's sender, and other programs."""
        return self.busy - self.whole_ms / 1000 * self.kept / cores()

    def share_of_a_core(self, name: str) -> float:
        """Return how much of one core somebody used."""
        return self.cpu_ms.get(name, 0.0) / 1000 * self.kept


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit(load: Load) -> Iterator[str]:
    """Say where the limit lies, and what would move it; one sentence each."""
    busiest = max(load.cpu_ms, key=lambda name: load.cpu_ms[name])
    if load.others > OTHERS:
        yield f"Other programs took {load.others:.0%} of this machine: these figures say little. Wait for a quiet hour."
    elif load.busy >= FULL:
        yield f"The limit is the processor: its {cores()} cores were {load.busy:.0%} busy, most of it by {busiest}."
        yield "More cores help; so do Kafka and PostgreSQL on machines of their own, if they run here."
        yield "On more than two, run each step in a process of its own (`hisbus run STEP`)."
    elif load.share_of_a_core(busiest) >= FULL:
        yield f"The limit is one core: {busiest} filled it, and one process uses no more; the others had time."
        yield (
            "Run each step in a process of its own (`hisbus run STEP`), the busy ones several times."
            if busiest == OURS
            else "Run `hisbus run dispatch` several times: each has its own process of this plugin."
        )
    else:
        yield f"No core was full ({load.busy:.0%} busy): it waits for what it stores in, on each commit."
        yield "Look at the disks of log and database, and at the way to Kafka and PostgreSQL."


def wanted(load: Load) -> dict[int, float]:
    """Return by rate how many cores it takes, for all processes that were seen together."""
    return {rate: rate * load.whole_ms / 1000 / BUSY for rate in RATES}


async def taken(site: Site) -> int:
    """Return how many messages a site has taken in."""
    row = tables.messages.c
    async with site.database.read() as connection:
        return (await connection.execute(select(func.count()).where(row.first))).scalar_one()


async def stored(site: Site) -> dict[str, int]:
    """Return how many bytes the database takes, and the log where it is a file."""
    settings = site.settings
    found = {name: _size(url) for name, url in (("log", settings.log.url), ("database", settings.database.url))}
    if not site.database.sqlite:
        async with site.database.read() as connection:
            query = select(func.pg_database_size(func.current_database()))
            found["database"] = (await connection.execute(query)).scalar_one()
    return {name: size for name, size in found.items() if size}


def _size(url: str) -> int:
    """Return the size of an embedded log or database with what is not yet moved into its file."""
    if not url.startswith("sqlite:///"):
        return 0
    path = Path(url.removeprefix("sqlite:///"))
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


async def waits_ms(site: Site) -> list[float]:
    """Return from a message's arrival in the log until a proposal that it caused was open, milliseconds, sorted."""
    proposals, events, messages = tables.proposals.c, tables.events.c, tables.messages.c
    query = (
        select(proposals.opened, messages.received)
        .join(tables.events, events.id == proposals.event)
        .join(tables.messages, (messages.message == events.message) & messages.first)
    )
    async with site.database.read() as connection:
        found = [opened - received for opened, received in await connection.execute(query)]
    return sorted(max(one / timedelta(milliseconds=1), 0.0) for one in found)
