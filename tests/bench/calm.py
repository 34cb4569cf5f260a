"""How soon a proposal is open when little is going on, and what an event costs then."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import select
from tests.bench.figures import Figure, compared
from tests.bench.flow import check, cut, engine, offer
from tests.bench.large import large_messages
from tests.bench.processes import ROOT, BenchError
from tests.bench.rates import serving
from tests.bench.sites import Site, floor, make, up

from hisbus_bus.kernel.tables import events, messages, proposals
from hisbus_simulator.load import hospital
from hisbus_simulator.oracle import JUDGED

WARM_UP = 200
STEADY, STEADY_RATE, TURNS = 800, 50, 3
"""Messages of a turn, and how many a second."""
CALM, CALM_RATE = 1800, 20
"""The end of the week: that is when most findings are made."""
LEAST = 10


def calm(folder: Path) -> Iterator[Figure]:
    """Measure on one site and beside its floor; at the end how large messages fare, and the memory that they take."""
    week = hospital(WARM_UP + TURNS * STEADY + CALM)
    warm_up, *turns, calmly = cut(week.messages, [WARM_UP, *[STEADY] * TURNS, CALM])
    site = make(folder / "calm", "bench-calm")
    with up(site) as running:
        with floor(make(folder / "calm-floor", "bench-calm-floor")) as bare:
            both = (bare, running)
            for one in both:
                offer(one, warm_up)
            costs = [[serving(offer(one, turn, STEADY_RATE)) for one in both] for turn in turns]
        yield compared("flow_cpu_us_50", "µs", [ours for _, ours in costs], [theirs for theirs, _ in costs])
        with watching(site) as seen:
            sent = offer(running, calmly, CALM_RATE).sent
        check(site, week, JUDGED)
        waits = [
            (seen[proposal] - sent[control_id]) * 1000
            for proposal, control_id in _causes(site)
            if proposal in seen and control_id in sent
        ]
        if len(waits) < LEAST:
            raise BenchError(f"{len(waits)} findings are too few to say how soon they are open.")
        yield Figure("flow_p50_ms_20", median(waits), "ms")
        yield Figure("flow_p99_ms_20", quantiles(waits, n=100)[98], "ms")
        yield from large_messages(running, make(folder / "large-floor", "bench-large-floor"))
        yield Figure("rss_mb_large", running.peak_rss_mb(), "MiB")


@contextmanager
def watching(site: Site) -> Iterator[dict[str, float]]:
    """Note when each proposal becomes visible; the times are there once the block has ended."""
    seen: dict[str, float] = {}
    watcher = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.watch", site.database],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield seen
    finally:
        said, _ = watcher.communicate("end\n")
    seen |= {id: float(when) for id, when in (line.split() for line in said.splitlines())}


def _causes(site: Site) -> list[tuple[str, str]]:
    """Return every proposal with the control id of the message that caused it; those of timers have none."""
    query = (
        select(proposals.c.id, messages.c.control_id)
        .join(events, events.c.id == proposals.c.event)
        .join(messages, messages.c.message == events.c.message)
        .where(messages.c.first)
    )
    with engine(site).connect() as connection:
        return [(id, control_id) for id, control_id in connection.execute(query)]
