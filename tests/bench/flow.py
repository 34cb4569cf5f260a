"""The whole flow beside Kafka and PostgreSQL: how many events a second, and how soon a proposal is open."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, create_engine, func, select
from tests.bench.processes import ROOT, BenchError, cpu_s, listener, run
from tests.bench.sites import KAFKA, POSTGRES, Running, Site, make, processes, up

from hisbus_bus.kernel.tables import events, messages, proposals
from hisbus_simulator.api import GONE
from hisbus_simulator.load import hospital
from hisbus_simulator.oracle import JUDGED

SECONDS = 60.0
GRACE_S = 5.0
"""After the last message all lags must be 0 within so long."""
BEHIND_S = 1.0
"""If a message leaves later than this after it was due, the rate was not offered."""
SEARCH_S, SEARCH_RATE = 10.0, 1000
"""A short burst, more than it can take, tells where to begin."""
STEP = 25
"""Rates are multiples of this."""
CALM_RATE = 200
CONNECTIONS = 8
POLL_S = 0.25
"""Asking for the lag costs what it measures."""
PATIENCE_S = 300.0

Start = Callable[[Site], AbstractContextManager[Running]]


@dataclass
class Offer:
    """What became of messages offered at a fixed rate."""

    rate: float
    sent: Mapping[str, float]
    """By control id: when its frame was handed to the socket."""
    drained_s: float
    """From the last acknowledgement until all lags were 0."""
    seconds: float
    behind_s: float
    """How much later than it was due a message left, at worst."""
    agent_calls: float
    rss_mb: float
    """Most memory that a process of hisbus held, MiB."""
    profile: Mapping[str, float] = field(default_factory=dict)
    """CPU microseconds a message, by process."""

    @property
    def kept_up(self) -> bool:
        """Tell whether the rate was kept up with."""
        return self.drained_s <= GRACE_S and self.behind_s <= BEHIND_S


def flow(folder: Path, name: str, start: Start) -> Offer:
    """Find the greatest rate that is kept up with for a minute.

    Raises:
        BenchError: there is none, or what came of it is wrong.
    """
    tried = offer(make(folder / f"{name}-burst", f"{name}-burst"), start, SEARCH_RATE, SEARCH_S)
    while (rate := _below(tried)) > 0:
        tried = offer(make(folder / f"{name}-{rate}", f"{name}-{rate}"), start, rate, SECONDS)
        if tried.kept_up:
            return tried
    raise BenchError("No rate can be kept up with.")


def _below(tried: Offer) -> int:
    """Return the next rate to try: what was worked through, and less than what was too much."""
    worked = len(tried.sent) / (tried.seconds + tried.drained_s)
    return int(min(worked, tried.rate - STEP) / STEP) * STEP


def offer(site: Site, start: Start, rate: float, seconds: float) -> Offer:
    """Offer a hospital's messages to a fresh site at a fixed rate, and wait until all is done and right."""
    with start(site) as running:
        return offered(running, rate, seconds)


def offered(running: Running, rate: float, seconds: float) -> Offer:
    """Do the same with a site that runs already."""
    site, report = running.site, running.site.folder / "fired.json"
    week = hospital(round(rate * seconds))
    before = _used(running)
    said = ["--to", f"127.0.0.1:{site.mllp}", "--rate", str(rate), "--seconds", str(seconds)]
    run(["-m", "hisbus_simulator", "load", *said, "--connections", str(CONNECTIONS), "--report", report])
    ended = time.monotonic()
    drained = _drained_s(site, ended)
    used = _used(running)
    fired = json.loads(report.read_text("utf-8"))
    if fired["refused"]:
        raise BenchError(f"{fired['refused']} messages were refused.")
    expected, found = Counter((each.rule, each.state) for each in week.expected if each.rule in JUDGED), _found(site)
    if found != expected:
        raise BenchError(f"Missing at {rate}/s: {expected - found}; too many: {found - expected}.")
    return Offer(
        rate,
        fired["sent"],
        drained,
        fired["seconds"],
        fired["behind_s"],
        site.metric("hisbus_agent_calls_total"),
        running.peak_rss_mb(),
        {name: (used[name] - before.get(name, 0)) / fired["stored"] * 1e6 for name in used}
        | {"generator": fired["cpu_s"] / fired["stored"] * 1e6},
    )


def _drained_s(site: Site, since: float) -> float:
    while any(site.lag().values()):
        if time.monotonic() > since + PATIENCE_S:
            raise BenchError(f"Work is left after {PATIENCE_S:.0f} s: {site.lag()}.")
        time.sleep(POLL_S)
    return time.monotonic() - since


def _used(running: Running) -> dict[str, float]:
    """Return CPU seconds so far, by process."""
    used = {}
    for name, process in running.parents.items():
        used[name] = cpu_s(process)
        used[f"{name}: agents"] = cpu_s(process, family=True) - used[name]
    for name, url in (("Kafka", KAFKA), ("PostgreSQL", POSTGRES.rpartition("/")[0])):
        used[name] = cpu_s(listener(int(url.rpartition(":")[2])), family=True)
    return {name: seconds for name, seconds in used.items() if seconds}


def _engine(site: Site) -> Engine:
    return create_engine(site.database.replace("postgresql:", "postgresql+psycopg:", 1))


def _found(site: Site) -> Counter[tuple[str, str]]:
    """Count what is proposed, by rule and state."""
    row = proposals.c
    query = select(row.rule, row.state, func.count()).where(row.status.not_in(GONE)).group_by(row.rule, row.state)
    with _engine(site).connect() as connection:
        return Counter({(rule, state): count for rule, state, count in connection.execute(query)})


# --- how soon ---------------------------------------------------------------------------------------------------------


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


def calm(running: Running) -> tuple[Offer, list[float]]:
    """Return how many ms pass at a calm rate from handing a frame to the socket until its proposals are seen."""
    with watching(running.site) as seen:
        calmly = offered(running, CALM_RATE, SECONDS)
    waits = sorted(
        (seen[proposal] - calmly.sent[control_id]) * 1000
        for proposal, control_id in _causes(running.site)
        if proposal in seen and control_id in calmly.sent
    )
    return calmly, waits


def _causes(site: Site) -> list[tuple[str, str]]:
    """Return every proposal with the control id of the message that caused it; those of timers have none."""
    query = (
        select(proposals.c.id, messages.c.control_id)
        .join(events, events.c.id == proposals.c.event)
        .join(messages, messages.c.message == events.c.message)
        .where(messages.c.first)
    )
    with _engine(site).connect() as connection:
        return [(id, control_id) for id, control_id in connection.execute(query)]


IN_ONE: Start = up
IN_SEVERAL: Start = processes
