"""How many events a second the flow takes, and what one costs, in turns with its floor."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import WHOSE, Figure, compared
from tests.bench.flow import Offer, check, cut, offer
from tests.bench.sites import floor, make, processes, up

from hisbus_simulator.load import hospital
from hisbus_simulator.oracle import JUDGED, RULES

TURNS = 5
TURN, FLOOR_TURN = 1470, 4410
"""Messages of a turn: the week is cut in as many as there are turns, and one before them to warm up."""
BEHIND, SHARE = 20_000, 0.8
"""Messages that are offered at this share of the rate found."""


def in_turns(folder: Path) -> Iterator[tuple[Figure, Offer | None]]:
    """Compare with the floor: the rules that are judged from facts alone, then all rules of all plugins.

    Yield each figure; with the rates what became of the middle turn.
    """
    week, long = hospital(TURN * (TURNS + 1)), hospital(FLOOR_TURN * (TURNS + 1))
    pieces, longer = cut(week.messages, [TURN] * (TURNS + 1)), cut(long.messages, [FLOOR_TURN] * (TURNS + 1))
    some, every = make(folder / "flow", "bench-flow"), make(folder / "flow-all", "bench-flow-all", everything=True)
    found: dict[str, list[Offer]] = {"floor": [], "": [], "_all": []}
    with ExitStack() as stack:
        bare = stack.enter_context(floor(make(folder / "flow-floor", "bench-flow-floor")))
        running = {"": stack.enter_context(up(some)), "_all": stack.enter_context(up(every))}
        for piece, long_piece in zip(pieces, longer, strict=True):
            found["floor"].append(offer(bare, long_piece))
            for which, one in running.items():
                found[which].append(offer(one, piece))
        calls = some.metric("hisbus_agent_calls_total")
        held = max(one.peak_rss_mb() for one in running.values())
    check(some, week, JUDGED)
    check(every, week, RULES)
    turns = {which: offers[1:] for which, offers in found.items()}
    for which in running:
        yield from _beside(which, turns[which], turns["floor"])
    yield Figure("agent_calls_per_event", calls / len(week.messages), "calls"), None
    yield Figure("rss_mb", held, "MiB"), None


def _beside(which: str, ours: list[Offer], floors: list[Offer]) -> Iterator[tuple[Figure, Offer | None]]:
    rates = [one.kept for one in ours], [one.kept for one in floors]
    middle = sorted(ours, key=lambda one: one.kept)[len(ours) // 2]
    yield compared(f"flow_events_per_s{which}", "events/s", *rates), middle
    costs = [serving(one) for one in ours], [serving(one) for one in floors]
    yield compared(f"flow_cpu_us{which}", "µs", *costs), None
    for whose, name in WHOSE.items():
        parts = [one.profile[name] for one in ours], [one.profile[name] for one in floors]
        yield compared(f"flow_cpu_us{which}_{whose}", "µs", *parts), None


def serving(offered: Offer) -> float:
    """Return the CPU of an event in all processes that serve it, microseconds."""
    return sum(offered.profile[name] for name in WHOSE.values())


def behind(folder: Path, rate: float) -> Offer:
    """Offer many messages at less than the rate that was found, to a site of its own."""
    site, week = make(folder / "behind", "bench-behind"), hospital(BEHIND)
    with up(site) as running:
        offered = offer(running, week.messages, rate * SHARE)
    check(site, week, JUDGED)
    return offered


def in_several(folder: Path) -> Offer:
    """Offer a week to a site with everything on and each step in a process of its own."""
    site, week = make(folder / "several", "bench-several", everything=True), hospital(TURN * 2)
    with processes(site) as running:
        first, rest = cut(week.messages, [TURN // 4, 0])
        offer(running, first)
        offered = offer(running, rest)
    check(site, week, RULES)
    return offered
