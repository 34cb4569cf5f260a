"""Two runs on the same cases, paired."""

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.compare import compare
from hisbus_bus.lab.evaluate.html import verdict
from hisbus_bus.lab.evaluate.sample import DataSet

from .conftest import DATA, Evaluate, Looker, sample


async def test_changes_are_shown_both_ways_with_their_cases(evaluate: Evaluate) -> None:
    found = compare(await evaluate(Looker("bad")), await evaluate(Looker("odd")))
    (label,) = found.labels
    assert (label.name, label.gained, label.lost) == ("R01", ["c3"], ["c1", "c2", "c4"])
    assert (label.both, label.neither) == (1, 0)
    assert label.p == pytest.approx(2 * (1 + 4) / 16) == label.p_holm
    assert found.cases is not None and found.cases.gained == ["c3"]


async def test_the_difference_of_f1_has_an_interval_over_the_cases(evaluate: Evaluate) -> None:
    first, second = await evaluate(Looker("bad")), await evaluate(Looker("bad", "odd"))
    (f1,) = compare(first, second).differences
    assert (f1.first, f1.second) == (pytest.approx(0.8), pytest.approx(6 / 7))
    assert f1.difference.value == pytest.approx(6 / 7 - 0.8)
    assert f1.difference.low is not None and f1.difference.high is not None
    assert f1.difference.low < 0 < f1.difference.high, "five cases prove nothing"


async def test_a_run_is_as_good_as_itself(evaluate: Evaluate) -> None:
    report = await evaluate(Looker("bad"))
    found = compare(report, report)
    assert found.cases is not None and found.cases.p == 1 and not found.cases.gained + found.cases.lost
    assert found.differences[0].difference.value == 0


async def test_a_clear_difference_is_called_one(evaluate: Evaluate) -> None:
    data = DataSet("many", "charts", [sample(f"c{n}", "a bad text", wrong=True) for n in range(12)])
    found = compare(await evaluate(Looker(), data), await evaluate(Looker("bad"), data))
    assert found.cases is not None and found.cases.p == pytest.approx(2 / 2**12)
    said = verdict(found.cases)
    assert said is not None and "the second is better" in said[1] and "第二次更好" in said[0]
    chance = verdict(compare(await evaluate(Looker("bad")), await evaluate(Looker("odd"))).cases)
    assert chance is not None and "chance" in chance[1]


async def test_runs_on_other_cases_are_refused(evaluate: Evaluate) -> None:
    with pytest.raises(ConfigError, match="different cases"):
        compare(await evaluate(Looker()), await evaluate(Looker(), DATA.drawn(3, seed=1)))
