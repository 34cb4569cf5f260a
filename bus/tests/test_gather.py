"""Nothing waits while little comes; under load batches grow."""

import pytest

from hisbus_bus.kernel.gather import BUSY, CALM, LONGEST_S, Arrivals, gather_s


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0, 0), (CALM, 0), ((CALM + BUSY) / 2, LONGEST_S / 2), (BUSY, LONGEST_S), (100 * BUSY, LONGEST_S)],
)
def test_the_more_comes_the_longer_is_gathered_up_to_a_bound(rate: float, expected: float) -> None:
    assert gather_s(rate) == expected


def test_what_came_more_than_a_second_ago_does_not_count() -> None:
    arrivals = Arrivals()
    assert arrivals.came(5, 10.0) == 5
    assert arrivals.came(2, 10.5) == 7
    assert arrivals.came(1, 11.0) == 3
    assert arrivals.came(0, 99.0) == 0
