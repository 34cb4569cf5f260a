"""What a site of so many events a second needs, from measured costs: ``python -m tests.bench.sizing`` prints the table.

The costs are those of ``flow_events_per_s_processes`` (``var/bench-profile.json``): everything on, each step in a
process of its own.
"""

import json
import sys
from collections.abc import Mapping
from math import ceil

from tests.bench.processes import ROOT

RATES = (25, 100, 200, 1000)
BUSY = 0.6
"""A core is planned to be so busy at most: the rest is for catching up after an outage."""
SERVERS = ("PostgreSQL", "Kafka")
ALSO = ("translate", "chart", "dispatch", "timers", "review", "writeback", "web")
PARTITIONS = (6, 12, 24, 48, 96)
"""Twice as many as the busiest step has processes, so that it can grow: their number is fixed once they are made."""
CONNECTIONS = 6
"""Of one process to PostgreSQL, as many as are open at a time; one that has much to do at once takes up to 26."""
PROCESS_MB, PLUGIN_MB, PLUGINS = 120, 70, 3
SERVER_MB = 2048
"""Of PostgreSQL and of each broker, at least; what is over serves as their cache."""


def processes(rate: float, costs: Mapping[str, float]) -> dict[str, int]:
    """Return how many processes of each step are wanted: one uses a core, and so does each of its plugins."""
    busiest = {step: max(costs.get(step, 0.0), costs.get(f"{step}: agents", 0.0)) for step in ("intake", *ALSO)}
    return {step: max(1, ceil(rate * cost / 1e6 / BUSY)) for step, cost in busiest.items()}


def row(rate: float, costs: Mapping[str, float]) -> list[str]:
    """Return what a rate needs, as the columns of ``HEAD`` have it."""
    wanted = processes(rate, costs)
    served = {name: rate * cost / 1e6 / BUSY for name, cost in costs.items() if name != "generator"}
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
)


def table(costs: Mapping[str, float]) -> str:
    """Return the table as ``ops/README.md`` shows it."""
    rows = [HEAD, ["---"] * len(HEAD), *(row(rate, costs) for rate in RATES)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    profile = json.loads((ROOT / "var/bench-profile.json").read_text("utf-8"))
    sys.stdout.write(table(profile["flow_events_per_s_processes"]))
