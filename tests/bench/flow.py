"""The whole flow beside Kafka and PostgreSQL: messages are offered to it, and it is waited for until all is done."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf

import uvloop
from sqlalchemy import Engine, create_engine, func, select
from tests.bench.processes import BenchError, cpu_s, listener
from tests.bench.sites import KAFKA, POSTGRES, Running, Site

from hisbus_bus.kernel.tables import proposals
from hisbus_simulator.api import GONE
from hisbus_simulator.load import fire, lanes
from hisbus_simulator.week import Message, Week

AT_ONCE = inf
"""A rate: as fast as they are acknowledged."""
CONNECTIONS = 8
PATIENCE_S = 300.0


@dataclass
class Offer:
    """What became of messages that were offered."""

    rate: float
    """Messages a second."""
    sent: Mapping[str, float]
    """By control id: when its frame was handed to the socket."""
    seconds: float
    """Until the last acknowledgement."""
    drained_s: float
    """From then until nothing was left to do."""
    behind_s: float
    """How much later than it was due a message left, at worst."""
    profile: Mapping[str, float] = field(default_factory=dict)
    """CPU microseconds a message, by process."""

    @property
    def kept(self) -> float:
        """Messages a second from the first one until nothing was left to do."""
        return len(self.sent) / (self.seconds + self.drained_s)


def cut(messages: Sequence[Message], counts: Sequence[int]) -> list[Sequence[Message]]:
    """Cut a week in pieces of so many messages each, in order; the last one gets what is over."""
    ends = [0, *accumulate(counts[:-1]), len(messages)]
    return [messages[begin:end] for begin, end in pairwise(ends)]


def offer(running: Running, messages: Sequence[Message], rate: float = AT_ONCE) -> Offer:
    """Offer messages to a site at a fixed rate, and wait until nothing is left to do.

    Raises:
        BenchError: some were refused, or work is left after ``PATIENCE_S``.
    """
    dealt = lanes(messages, CONNECTIONS, rate)
    before = used(running)
    try:
        fired = uvloop.run(fire("127.0.0.1", running.site.mllp, dealt))
    except OSError as error:  # TimeoutError is one, too
        raise BenchError(f"{running.site.name} takes no messages: {error}") from error
    running.told += len(messages)
    ended = time.monotonic()
    while left := running.left():
        if time.monotonic() > ended + PATIENCE_S:
            raise BenchError(f"{left} are left to do after {PATIENCE_S:.0f} s.")
        time.sleep(running.poll_s)
    drained, after = time.monotonic() - ended, used(running)
    if fired.refused:
        raise BenchError(f"{fired.refused} messages were refused.")
    profile = {name: (after[name] - before.get(name, 0)) / fired.stored * 1e6 for name in after}
    profile["generator"] = fired.cpu_s / fired.stored * 1e6
    return Offer(rate, fired.sent, fired.seconds, drained, fired.behind_s, profile)


def used(running: Running) -> dict[str, float]:
    """Return CPU seconds so far, by process."""
    found = {}
    for name, process in running.parents.items():
        found[name] = cpu_s(process)
        found[f"{name}: agents"] = cpu_s(process, family=True) - found[name]
    for name, url in (("Kafka", KAFKA), ("PostgreSQL", POSTGRES.rpartition("/")[0])):
        found[name] = cpu_s(listener(int(url.rpartition(":")[2])), family=True)
    return {name: seconds for name, seconds in found.items() if seconds}


def check(site: Site, week: Week, rules: Collection[str]) -> None:
    """Hold what is open against what must be, once a week has been taken.

    Raises:
        BenchError: findings are missing, or too many.
    """
    expected = Counter((each.rule, each.state) for each in week.expected if each.rule in rules)
    row = proposals.c
    query = select(row.rule, row.state, func.count()).where(row.status.not_in(GONE), row.rule.in_(rules))
    with engine(site).connect() as connection:
        answer = connection.execute(query.group_by(row.rule, row.state))
        found = Counter({(rule, state): count for rule, state, count in answer})
    if found != expected:
        raise BenchError(f"{site.name}: missing {expected - found}; too many {found - expected}.")


def engine(site: Site) -> Engine:
    """Return a way into a site's database."""
    return create_engine(site.database.replace("postgresql:", "postgresql+psycopg:", 1))
