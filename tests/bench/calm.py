"""How soon a proposal is open when little is going on, and what an event costs then."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import select
from tests.bench.figures import Figure, compared
from tests.bench.flow import check, cut, engine, offer
from tests.bench.large import large_messages
from tests.bench.processes import ROOT
from tests.bench.rates import serving
from tests.bench.sites import Site, floor, make, up

from hisbus_bus.kernel.tables import events, messages, proposals
from hisbus_simulator.load import hospital
from hisbus_simulator.oracle import JUDGED

WARM_UP = 200
CALM, CALM_RATE = 1200, 20
STEADY, STEADY_RATE, TURNS = 1000, 50, 3
"""Messages of a turn, and how many a second."""


def calm(folder: Path) -> Iterator[Figure]:
    """Measure on one site and beside its floor; at the end how large messages fare, and the memory that they take."""
    week = hospital(WARM_UP + CALM + TURNS * STEADY)
    warm_up, calmly, *pieces = cut(week.messages, [WARM_UP, CALM, *[STEADY] * TURNS])
    site = make(folder / "calm", "bench-calm")
    with ExitStack() as stack:
        running = stack.enter_context(up(site))
        bare = stack.enter_context(floor(make(folder / "calm-floor", "bench-calm-floor")))
        offer(running, warm_up)
        for piece in (warm_up, calmly):
            offer(bare, piece)
        with watching(site) as seen:
            sent = offer(running, calmly, CALM_RATE).sent
        waits = [
            (seen[proposal] - sent[control_id]) * 1000
            for proposal, control_id in _causes(site)
            if proposal in seen and control_id in sent
        ]
        yield Figure("flow_p50_ms_20", median(waits), "ms")
        yield Figure("flow_p99_ms_20", quantiles(waits, n=100)[98], "ms")
        turns = [
            (serving(offer(bare, piece, STEADY_RATE)), serving(offer(running, piece, STEADY_RATE))) for piece in pieces
        ]
        yield compared("flow_cpu_us_50", "µs", [ours for _, ours in turns], [bare for bare, _ in turns])
        check(site, week, JUDGED)
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
