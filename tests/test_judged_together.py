"""What waited of a stay is judged together, by the newest chart: at the end the same is found, for the same reasons.

What would have been found and closed again while it waited is found by nobody. Named here is what that can be: that
something was not there yet, or was taken back since. What came late is found late from the chart, however long it took.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ward import events_of, fold, ward_events

from hisbus import Case
from hisbus.testing import run
from hisbus_bus.lab.conversations import read_all
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_qc import Agent
from hisbus_schemas import Assessment, Event, Finding

CASES = Path(__file__).with_name("cases")
ARRIVED = datetime(2026, 3, 20, tzinfo=UTC)
PASSING = {"R48", "R49", "R27"}
"""Rules beside deadlines whose findings pass: a front page that comes before the end of its stay is compared with what
is not there yet, and a reading that was a slip is taken back. The chart keeps it, withdrawn."""


@cache
def stays() -> dict[str, Sequence[Event]]:
    """Return the events of every stay of the week and of the cases, by where it is from."""
    split = Hl7v2Connector({"name": "his", "type": "hl7v2"}).split
    found: dict[str, Sequence[Event]] = {f"week {visit}": events for visit, events in ward_events(1, 25).items()}
    for case in read_all([CASES], split):
        visits = events_of((body, ARRIVED) for body in case.messages)
        found |= {f"{case.name} {visit}": events for visit, events in visits.items()}
    return found


def judged(events: Sequence[Event], ends: Sequence[int]) -> list[Assessment]:
    """Return what an agent says each time, when it is called once for the events up to each end, and at its wakes.

    A wake finds the chart as it is until the next event that it is called for.
    """
    agent, said = Agent(), list[Assessment]()
    for at, count in _calls(events, ends, said):
        chart = fold(events[:count]).model_copy(update={"version": len(said) + 1, "now": at})
        said.append(asyncio.run(run(agent, Case(event=None, chart=chart, now=at))))
    return said


def _calls(events: Sequence[Event], ends: Sequence[int], said: Sequence[Assessment]) -> Iterator[tuple[datetime, int]]:
    """Yield when the agent is called, and for how many events; each answer names the next wakes."""
    read, now = 0, events[0].time.at
    for end in ends:
        arrived = max(now, *(event.time.at for event in events[:end]))
        while said and (dues := [wake.due for wake in said[-1].wakes if now < wake.due <= arrived]):
            now = min(dues)
            yield now, read
        read, now = end, arrived
        yield now, read


def batches(events: Sequence[Event], seed: int) -> list[int]:
    """Return ends of batches, at random: of one event, of some, of all."""
    rng = Random(seed)
    share = rng.choice((0.02, 0.2, 0.7))
    return [*(n for n in range(1, len(events)) if rng.random() < share), len(events)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(stays())), st.integers(0, 2**32))
def test_in_any_batches_the_end_is_the_same(stay: str, seed: int) -> None:
    events = stays()[stay]
    together = judged(events, batches(events, seed))
    (alone,) = judged(events, [len(events)])
    assert together[-1] == alone


@pytest.mark.parametrize("stay", sorted(stays())[::4])
def test_event_by_event_nothing_else_is_found_but_what_passes(stay: str) -> None:
    events = stays()[stay]
    said = judged(events, range(1, len(events) + 1))
    (alone,) = judged(events, [len(events)])
    assert said[-1] == alone
    at_the_end = {(one.key, one.state) for one in alone.proposals if isinstance(one, Finding)}
    for one in (one for each in said for one in each.proposals if isinstance(one, Finding)):
        if (one.key, one.state) not in at_the_end:
            assert one.state == "absent" or one.rule in PASSING, "late is late, and wrong is wrong"


def test_a_note_that_came_late_while_all_waited_is_found_late() -> None:
    events = stays()["03-first-note-late V1"]
    one_by_one, (alone,) = judged(events, range(1, len(events) + 1)), judged(events, [len(events)])
    found = [
        [(one.rule, one.state) for one in each.proposals if isinstance(one, Finding) and one.state]
        for each in (*one_by_one, alone)
    ]
    assert found[-3:] == [[("R02", "absent")], [("R02", "late")], [("R02", "late")]]
