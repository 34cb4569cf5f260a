"""Rates, their intervals, and paired tests: pure functions of counts. Every random draw has a seed.

- Wilson (1927): interval of a rate that holds for small counts and for rates of 0 and 1.
- Percentile bootstrap over cases (Efron 1979): for what is no simple rate; labels of one case hang together.
- McNemar (1947), exact: whether two runs are right on different cases more often one way than the other.
- Sign-flip randomisation (Fisher 1935): the same for scores.
- Holm (1979): correction where many labels are tested at once.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Z = 1.959963984540054
"""Of the normal distribution, for 95 %."""
DRAWS = 1000
"""Of a bootstrap."""
FLIPS = 10_000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Counts:
    """How often a label was rightly there, wrongly there, and missed."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def times(self, factor: int) -> "Counts":
        """Return the counts of a case that was drawn so often."""
        return Counts(self.tp * factor, self.fp * factor, self.fn * factor)

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall; None where nothing was there and nothing expected."""
        whole = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / whole if whole else None


def wilson(good: int, of: int) -> Interval | None:
    """Return the 95 % interval of a rate; None of nothing."""
    if of == 0:
        return None
    rate, z2 = good / of, Z * Z
    middle = rate + z2 / (2 * of)
    half = Z * math.sqrt(rate * (1 - rate) / of + z2 / (4 * of * of))
    low, high = (middle - half) / (1 + z2 / of), (middle + half) / (1 + z2 / of)
    return (0.0 if good == 0 else max(0.0, low), 1.0 if good == of else min(1.0, high))


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value below which a part (0 to 1) lies, between neighbours in proportion; of nothing: ValueError."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def draws(cases: int, seed: int, times: int = DRAWS) -> Iterable[list[int]]:
    """Yield samples of as many cases, drawn with replacement: how often each of them was."""
    random_ = random.Random(seed)  # noqa: S311 - a sample, no secret
    for _ in range(times):
        weights = [0] * cases
        for at in random_.choices(range(cases), k=cases):
            weights[at] += 1
        yield weights


def f1_intervals(labels: Mapping[str, Mapping[int, Counts]], cases: int, seed: int) -> dict[str, Interval | None]:
    """Return the 95 % interval of each label's F1.

    Args:
        labels: by label and number of the case: its counts there. What is left out is 0.
        cases: how many cases there are.
        seed: of the draws.
    """
    found: dict[str, list[float]] = {label: [] for label in labels}
    for weights in draws(cases, seed) if cases else ():
        for label, by_case in labels.items():
            total = sum((counts.times(weights[at]) for at, counts in by_case.items()), Counts())
            if (f1 := total.f1) is not None:
                found[label].append(f1)
    return {label: middle95(values) for label, values in found.items()}


def middle95(values: Sequence[float]) -> Interval | None:
    """Return between which values the middle 95 % lie; None of nothing."""
    return (percentile(values, 0.025), percentile(values, 0.975)) if values else None


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p of pairs that differ: 1 where none does.

    Args:
        first_only: pairs in which the first alone is right.
        second_only: pairs in which the second alone is.
    """
    of = first_only + second_only
    tail = sum(math.comb(of, k) for k in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / (1 << of))


def sign_flips(differences: Sequence[float], seed: int, flips: int = FLIPS) -> float:
    """Return the two-sided p that paired scores differ: how often signs at random give so large a sum.

    All signs are tried where that is no more work than ``flips``; else they are drawn, and what was seen counts too.
    """
    moved = [difference for difference in differences if difference]
    seen = abs(math.fsum(moved)) * (1 - 1e-12)
    if 2 ** len(moved) <= flips:
        sums = [0.0]
        for difference in moved:
            sums = [one + sign * difference for one in sums for sign in (1, -1)]
        return sum(abs(one) >= seen for one in sums) / len(sums)
    random_ = random.Random(seed)  # noqa: S311 - a sample, no secret
    extreme = 0
    for _ in range(flips):
        signs = random_.getrandbits(len(moved))
        total = math.fsum(value if signs >> at & 1 else -value for at, value in enumerate(moved))
        extreme += abs(total) >= seen
    return (extreme + 1) / (flips + 1)


def bootstrap_difference(cases: int, statistic: Callable[[Sequence[int]], float | None], seed: int) -> Interval | None:
    """Return the 95 % interval of a statistic of paired cases; it is given how often each case was drawn."""
    drawn = (statistic(weights) for weights in draws(cases, seed))
    return middle95([value for value in drawn if value is not None]) if cases else None


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for how many there are, in their order."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, values[at] * (len(values) - rank)))
        corrected[at] = highest
    return corrected
