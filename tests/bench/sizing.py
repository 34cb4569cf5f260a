"""What a site of so many events a second needs, from measured costs: ``python -m tests.bench.sizing`` prints the table.

The costs are those of ``flow_events_per_s_processes`` (``var/bench-profile.json``): everything on, each step in a
process of its own. What the page costs is left out: it is the bench's own looking at what is left to do.
"""

import json
import sys
from collections.abc import Mapping
from math import ceil

from tests.bench.processes import ROOT

from hisbus_bus.kernel.topics import STEPS

RATES = (25, 100, 200, 1000)
BUSY = 0.6
"""A core is planned to be so busy at most: the rest is for catching up after an outage."""
SERVERS = ("PostgreSQL", "Kafka")
LEFT_OUT = ("generator", "web")
PARTITIONS = (6, 12, 24, 48, 96)
"""Twice as many as the busiest step has processes, so that it can grow: their number is fixed once they are made."""
CONNECTIONS = 6
"""Of one process to PostgreSQL, as many as are open at a time; one that has much to do at once takes up to 26."""
PROCESS_MB, PLUGIN_MB, PLUGINS = 120, 70, 3
DATABASE_KIB, LOG_KIB, NETWORK_KIB = 11, 14, 100
"""Of a message: what it leaves in the database; on each replica of the log; what crosses the network, with three."""
DAY_S = 86_400
SERVER_MB = 2048
"""Of PostgreSQL and of each broker, at least; what is over serves as their cache."""


def processes(rate: float, costs: Mapping[str, float]) -> dict[str, int]:
    """Return how many processes of each step are wanted: one uses a core, and so does each of its plugins."""
    return {step: max(1, ceil(rate * _busiest(step, costs) / 1e6 / BUSY)) for step in STEPS}


def _limit(wanted: Mapping[str, int], costs: Mapping[str, float]) -> str:
    """Return which step is full first when more comes, and at what rate."""
    full = {step: count * BUSY * 1e6 / cost for step, count in wanted.items() if (cost := _busiest(step, costs))}
    first = min(full, key=lambda step: full[step])
    return f"{first} at {full[first]:,.0f}"


def _busiest(step: str, costs: Mapping[str, float]) -> float:
    """Return the CPU of a message in a step's own process or in its plugins', whichever is more."""
    return 0.0 if step in LEFT_OUT else max(costs.get(step, 0.0), costs.get(f"{step}: agents", 0.0))


def row(rate: float, costs: Mapping[str, float]) -> list[str]:
    """Return what a rate needs, as the columns of ``HEAD`` have it."""
    wanted = processes(rate, costs)
    served = {name: rate * cost / 1e6 / BUSY for name, cost in costs.items() if name not in LEFT_OUT}
    servers = [served.pop(name, 0.0) for name in SERVERS]
    running = sum(wanted.values())
    memory = running * PROCESS_MB + wanted["dispatch"] * PLUGINS * PLUGIN_MB
    several = ", ".join(f"{step} {count}" for step, count in wanted.items() if count > 1)
    partitions = next((count for count in PARTITIONS if count >= 2 * max(wanted.values())), PARTITIONS[-1])
    return [
        f"{rate:,}",
        f"{sum(served.values()):.1f}",
        f"{servers[0]:.1f}",
        f"{servers[1]:.1f}",
        several or "one of each",
        str(partitions),
        str((running - wanted["intake"]) * CONNECTIONS),
        f"{memory / 1024:.1f} + {2 * SERVER_MB / 1024:.0f}",
        f"{rate * DAY_S * DATABASE_KIB / 1024**2:,.0f}",
        f"{rate * DAY_S * LOG_KIB / 1024**2:,.0f}",
        f"{rate * NETWORK_KIB * 8 / 1024:,.0f}",
        _limit(wanted, costs),
    ]


HEAD = (
    "events/s",
    "cores: hisbus",
    "PostgreSQL",
    "Kafka",
    "processes, where more than one",
    "partitions",
    "database connections",
    "memory, GiB",
    "database, GiB a day",
    "each broker, GiB a day",
    "network, Mbit/s",
    "next full, at events/s",
)


def table(costs: Mapping[str, float]) -> str:
    """Return the table as ``ops/README.md`` shows it."""
    rows = [HEAD, ["---"] * len(HEAD), *(row(rate, costs) for rate in RATES)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    profile = json.loads((ROOT / "var/bench-profile.json").read_text("utf-8"))
    sys.stdout.write(table(profile["flow_events_per_s_processes"]))
