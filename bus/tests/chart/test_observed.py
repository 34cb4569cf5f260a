"""When what was seen is enough to judge by, whatever the order in which it was seen."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hisbus_bus.flow.chart.observed import Count, Limits, words
from hisbus_bus.kernel.coverage import ANYTHING, CONFIGURED, FOUND, Said, State, Word, told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits(stays=20, share=0.3)
NOTE = "document:C0034"


@pytest.mark.parametrize(
    ("needed", "seen", "enough"),
    [(20, 20, True), (20, 19, False), (66, 20, True), (67, 20, False), (0, 20, True), (0, 19, False), (0, 0, False)],
)
def test_it_must_come_on_so_many_stays_and_on_so_many_of_those_that_call_for_it(
    needed: int, seen: int, enough: bool
) -> None:
    found = words(NOTE, {"": Count(needed, seen)}, {}, LIMITS)
    assert found == ([Word(NOTE, "", "connected")] if enough else [])


def test_a_site_is_the_sum_of_its_departments() -> None:
    counts = {"内科": Count(12, 11), "外科": Count(9, 9)}
    assert words(NOTE, counts, {}, LIMITS) == [Word(NOTE, "", "connected")]


@pytest.mark.parametrize(
    ("needed", "seen", "before", "now"),
    [
        (19, 0, None, None),  # too few to say anything for itself
        (20, 5, None, "not_connected"),
        (20, 6, None, None),  # enough of too few: as the site
        (30, 20, None, "connected"),
        (200, 20, "connected", None),  # once met it stays
        (21, 7, "not_connected", "observed"),
        (60, 20, "not_connected", "connected"),
        (60, 20, "observed", "connected"),
        (60, 2, "not_connected", None),
    ],
)
def test_a_department_speaks_for_itself_once_enough_of_its_stays_call_for_it(
    needed: int, seen: int, before: State | None, now: State | None
) -> None:
    found: dict[str, State] = {"": "connected"} | ({"骨科": before} if before else {})
    said = words(NOTE, {"骨科": Count(needed, seen)}, found, LIMITS)
    assert said == ([Word(NOTE, "骨科", now)] if now else [])


def test_while_the_site_is_not_connected_no_department_is() -> None:
    assert words(NOTE, {"骨科": Count(70, 20)}, {}, LIMITS) == []


def test_where_the_site_comes_to_be_connected_a_department_without_it_does_not() -> None:
    counts = {"内科": Count(30, 30), "骨科": Count(25, 0)}
    assert words(NOTE, counts, {}, LIMITS) == [
        Word(NOTE, "", "connected"),
        Word(NOTE, "内科", "connected"),
        Word(NOTE, "骨科", "not_connected"),
    ]


# --- any order of the same stays --------------------------------------------------------------------------------------


class Stay(NamedTuple):
    department: str
    called: bool
    came: bool


DEPARTMENTS = ("内科", "骨科")
STAYS = st.lists(st.builds(Stay, st.sampled_from(("", *DEPARTMENTS)), st.booleans(), st.booleans()), max_size=40)
FEW = Limits(stays=4, share=0.5)


def counted(stays: Iterable[Stay]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for stay in stays:
        before = counts.get(stay.department, Count(0, 0))
        if stay.called:
            counts[stay.department] = Count(before.needed + 1, before.seen + stay.came)
    return counts


def learned(stays: list[Stay]) -> Mapping[str, State]:
    """Let a site learn, stay by stay; return what was found by the end."""
    found: dict[str, State] = {}
    for number in range(1, len(stays) + 1):
        for word in words(NOTE, counted(stays[:number]), found, FEW):
            found[word.department] = word.state
    return found


def judged(found: Mapping[str, State]) -> list[bool]:
    """Return what is judged of the item in each department, and elsewhere."""
    said = [Said(Word(NOTE, at, state), FOUND, 1, NOON) for at, state in found.items()]
    observed = Said(Word(ANYTHING, "", "observed"), CONFIGURED, 1, NOON)
    return [told([observed, *said]).brings(NOTE, at) for at in ("", *DEPARTMENTS)]


def met(found: Mapping[str, State]) -> set[str]:
    return {at for at, state in found.items() if state == "connected"}


@given(st.data())
def test_what_all_stays_make_connected_is_so_in_any_order_and_what_too_few_bring_is_so_in_none(
    data: st.DataObject,
) -> None:
    stays = data.draw(STAYS)
    found = learned(data.draw(st.permutations(stays)))
    assert met(found) >= met({word.department: word.state for word in words(NOTE, counted(stays), {}, FEW)})
    if sum(stay.called and stay.came for stay in stays) < FEW.stays:
        assert not any(judged(found))


@given(st.data())
def test_any_order_of_the_same_stays_gives_the_same_coverage_where_nothing_was_met_only_on_the_way(
    data: st.DataObject,
) -> None:
    # What was met once stays met, so a share that falls again is the one thing that an order can tell.
    stays = data.draw(STAYS)
    at_once = {word.department: word.state for word in words(NOTE, counted(stays), {}, FEW)}
    found = learned(data.draw(st.permutations(stays)))
    assume(met(found) == met(at_once))
    assert judged(found) == judged(at_once)


@given(STAYS.filter(lambda stays: all(stay.called for stay in stays)), st.randoms(use_true_random=False))
def test_where_all_that_call_for_it_get_it_the_order_is_nothing(stays: list[Stay], dice: object) -> None:
    every = [stay._replace(came=True) for stay in stays]
    shuffled = every.copy()
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert judged(learned(every)) == judged(learned(shuffled))
