"""Rates, intervals and paired tests, against values computed by hand."""

from typing import Any

import pytest

from hisbus_bus.lab.evaluate.figures import (
    Counts,
    bootstrap_difference,
    f1_intervals,
    holm,
    mcnemar,
    percentile,
    sign_flips,
    wilson,
)
from hisbus_bus.lab.evaluate.report import Cases, LabelFigures, LabelItem


@pytest.mark.parametrize(
    ("good", "of", "low", "high"),
    [(8, 10, 0.490162, 0.943318), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (1, 2, 0.094531, 0.905469)],
)
def test_the_interval_of_a_rate_is_wilsons(good: int, of: int, low: float, high: float) -> None:
    assert wilson(good, of) == pytest.approx((low, high), abs=1e-5)


def test_a_rate_of_nothing_has_no_interval() -> None:
    assert wilson(0, 0) is None


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert Counts(tp=6, fp=2, fn=4).f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert Counts(fn=3).f1 == 0
    assert Counts().f1 is None


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 2.5
    assert percentile([4, 1, 3, 2], 0.95) == pytest.approx(3.85)
    assert percentile([7], 0.95) == 7


def test_the_bootstrap_draws_cases_and_not_labels() -> None:
    # Of two cases, one found and one missed: a quarter of the draws is both times the one, a quarter the other.
    found = f1_intervals({"R01": {0: Counts(tp=1), 1: Counts(fn=1)}, "R02": {0: Counts(tp=5)}}, cases=2, seed=1)
    assert found["R01"] == (0.0, 1.0)
    assert found["R02"] == (1.0, 1.0), "a draw without the label says nothing of it"


def test_the_same_seed_gives_the_same_interval() -> None:
    labels = {"R01": {at: Counts(tp=at % 3, fp=at % 2, fn=1) for at in range(20)}}
    assert f1_intervals(labels, 20, seed=7) == f1_intervals(labels, 20, seed=7)
    assert f1_intervals(labels, 20, seed=7) != f1_intervals(labels, 20, seed=8)


def test_without_cases_there_is_no_interval() -> None:
    assert f1_intervals({"": {}}, 0, seed=1) == {"": None}
    assert bootstrap_difference(0, lambda _: 0.0, seed=1) is None


@pytest.mark.parametrize(
    ("first", "second", "p"), [(1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 5, 2 / 32), (3, 3, 1.0), (0, 0, 1.0)]
)
def test_mcnemar_is_a_tail_of_the_binomial_distribution(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p)


@pytest.mark.parametrize(("moved", "p"), [([1, 2, 3], 0.25), ([1, -1], 1.0), ([], 1.0), ([0, 0, 5], 1.0)])
def test_few_differences_are_tested_with_all_their_signs(moved: list[float], p: float) -> None:
    assert sign_flips(moved, seed=1) == p


def test_many_differences_are_tested_with_signs_that_are_drawn() -> None:
    assert sign_flips([1.0] * 40, seed=1) == 1 / 10_001, "no draw is as extreme as all forty one way"
    assert sign_flips([1.0, -1.0] * 20, seed=1) == 1.0


def test_holm_corrects_for_the_number_of_tests_and_keeps_their_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def item(case: str, outcome: Any, kind: Any = "flag", name: str = "error") -> LabelItem:
    return LabelItem(case=case, kind=kind, name=name, subject="", state="", outcome=outcome, evaluated=True)


def test_how_often_a_label_is_due_and_rightly_left_unsaid_stands_beside_its_figures() -> None:
    items = [item("1", "tp"), item("2", "fn"), item("2", "fp"), item("3", "fp")]
    items += [item(str(case), "tn") for case in range(4, 9)]
    found = LabelFigures.of("error", Counts(tp=1, fp=2, fn=1), 5, 0, None, Cases.of(items, 0))
    assert (found.base_rate.good, found.base_rate.of) == (2, 8)
    assert (found.specificity.good, found.specificity.of) == (5, 6), (
        "said in the wrong place of a wrong text is no alarm"
    )
    assert found.always_f1 == pytest.approx(0.4), "precision 2 of 8, recall 1"


def test_a_code_could_have_been_said_in_each_case() -> None:
    items = [item("1", "tp", "code", "I10"), item("2", "fp", "code", "I10")]
    found = LabelFigures.of("I10", Counts(tp=1, fp=1), 0, 0, None, Cases.of(items, 10))
    assert (found.base_rate.good, found.base_rate.of) == (1, 10)
    assert (found.specificity.good, found.specificity.of) == (8, 9)
