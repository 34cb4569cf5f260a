"""Whose deadlines a stay is held to that was read in and goes on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hisbus.testing import make_chart
from hisbus_bus.host.past import held_to_the_present
from hisbus_schemas import Assessment, Evidence, Finding, Text, Wake

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOURS = st.integers(-48, 48)
FOUND = st.lists(st.tuples(st.sampled_from("ABC"), st.none() | HOURS), max_size=6)


def answer(found: list[tuple[str, int | None]]) -> Assessment:
    made = [
        Finding(
            key=str(number), rule=rule, message=Text(zh="", en=""), evidence=[Evidence(path="x", value="1")],
            due=None if hours is None else NOON + timedelta(hours=hours),
        )
        for number, (rule, hours) in enumerate(found)
    ]  # fmt: skip
    wakes = [Wake(name="A", due=NOON)]
    return Assessment(evaluated=frozenset("ABC"), proposals=made, wakes=wakes)


def chart(**more: Any) -> Any:
    return make_chart(now=NOON).model_copy(update=more)


@given(found=FOUND)
def test_property_a_stay_that_came_as_it_happened_is_held_to_all(found: Any) -> None:
    assert held_to_the_present(answer(found), chart()) == answer(found)


@given(found=FOUND, since=HOURS)
def test_property_one_that_goes_on_is_held_to_the_deadlines_from_then_on(found: Any, since: int) -> None:
    said = held_to_the_present(answer(found), chart(live_from=NOON + timedelta(hours=since)))
    assert [one.key for one in said.proposals] == [
        str(number) for number, (_, hours) in enumerate(found) if hours is None or hours >= since
    ]
    assert (said.evaluated, said.wakes) == (frozenset("ABC"), answer(found).wakes)
