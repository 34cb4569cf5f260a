"""A rule whose inputs have not changed is not run again, and what is said is the same as if it had been."""

import asyncio
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ward import fold, ward_events

from hisbus import Case
from hisbus.testing import make_coverage, run
from hisbus_qc import Agent
from hisbus_qc.memory import Answers
from hisbus_schemas import Assessment, Chart

WEEK = ward_events(1, 25)


def judge(agent: Agent, chart: Chart, now: datetime, *missing: str) -> Assessment:
    return asyncio.run(run(agent, Case(event=None, chart=chart, now=now, coverage=make_coverage(*missing))))


def runs(agent: Agent) -> int:
    """Return how many rules an agent has run by now."""
    return sum(one.run for one in _answers(agent))


def _answers(agent: Agent) -> list[Answers]:
    return list(agent.memory._stays.values())


@pytest.mark.parametrize("visit", sorted(WEEK)[::3])
def test_event_by_event_an_agent_that_remembers_says_what_one_says_that_does_not(visit: str) -> None:
    events, remembering = WEEK[visit], Agent()
    for count in range(1, len(events) + 1):
        chart = fold(events[:count]).model_copy(update={"version": 2 * count})
        said = judge(remembering, chart, chart.now)
        assert said == judge(Agent(), chart, chart.now)
        dues = sorted(wake.due for wake in said.wakes)
        if dues and (count == len(events) or dues[0] < events[count].time.at):  # a timer wakes it in between
            again = chart.model_copy(update={"version": 2 * count + 1, "now": dues[0]})
            assert judge(Agent(), again, dues[0]) == judge(remembering, again, dues[0])


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(WEEK)), st.integers(0, 2**32))
def test_whatever_is_left_out_late_or_not_connected_it_says_the_same(visit: str, seed: int) -> None:
    rng, remembering, now = Random(seed), Agent(), None
    events = WEEK[visit][:1]
    for version, event in enumerate(WEEK[visit][1:], 2):
        if rng.random() < 0.8:
            events.append(event)
        if rng.random() < 0.3:
            rng.shuffle(events)
        chart = fold(events)
        now = max(now or chart.now, chart.now) + timedelta(minutes=rng.choice((0, 0, 1, 600, 6000)))
        chart = chart.model_copy(update={"version": version, "now": now})
        missing = rng.choice(((), (), ("document:C0049",), ("vital",)))
        assert judge(remembering, chart, now, *missing) == judge(Agent(), chart, now, *missing)


def test_few_rules_are_run_again_when_a_reading_comes() -> None:
    events = max(WEEK.values(), key=len)
    remembering, run_again = Agent(), list[int]()
    for count in range(1, len(events) + 1):
        chart = fold(events[:count])
        before = runs(remembering)
        judge(remembering, chart, chart.now)
        if events[count - 1].kind == "vitals.recorded":
            run_again.append(runs(remembering) - before)
    (answers,) = _answers(remembering)
    assert len(run_again) > 3 and max(run_again) < len(answers.book.judges) / 3
