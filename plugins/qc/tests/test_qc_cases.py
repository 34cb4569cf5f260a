"""Every case beside a rule file: each rule finds its defect, and is silent on what is clean or all but a defect.

The limits in the cases are written by hand from the rule list, never read from the plugin.
"""

import asyncio
import tomllib
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hisbus.agent import Case
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_qc.cases import RuleCase, chart, read
from hisbus_qc.rulebook import RULES
from hisbus_schemas import Assessment

CASES = read()


def assessed(case: RuleCase, now: datetime | None = None) -> Assessment:
    rules = {case.rule: {"enabled": True}}
    settings = {"only": [case.rule], "rules": rules} | case.settings
    judged = case.chart.model_copy(update={"now": now or case.chart.now})
    return asyncio.run(run(Agent(), Case(event=None, chart=judged, now=judged.now, settings=settings)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule} {case.kind}: {case.name}")
def test_a_rule_says_of_its_case_what_is_written_there(case: RuleCase) -> None:
    answer = assessed(case)
    assert tuple(sorted(item.state or "found" for item in answer.proposals)) == case.expects
    assert answer.evaluated == {case.rule}
    for item in answer.proposals:
        assert item.rule == case.rule and item.key.startswith(case.rule)
        assert item.evidence and item.reads
        assert all(case.chart.holds(ref) for ref in item.reads)
        assert all(proof.path or proof.quote for proof in item.evidence)


def test_there_are_at_least_180_cases_and_three_kinds_for_every_rule() -> None:
    kinds = Counter((case.rule, case.kind) for case in CASES)
    lacking = [(rule, kind) for rule in RULES for kind in ("positive", "negative", "near") if not kinds[rule, kind]]
    assert not lacking
    assert len(CASES) >= 180


def test_no_two_cases_of_a_rule_have_one_name() -> None:
    names = Counter((case.rule, case.name) for case in CASES)
    assert max(names.values()) == 1


AHEAD = [case for case in CASES if assessed(case).wakes]


@pytest.mark.parametrize("case", AHEAD, ids=lambda case: f"{case.rule} {case.name}")
def test_nothing_changes_before_a_wake_and_a_deadline_is_missed_at_it(case: RuleCase) -> None:
    answer = assessed(case)
    due = min(wake.due for wake in answer.wakes)
    assert due > case.chart.now
    assert assessed(case, due - timedelta(seconds=1)).proposals == answer.proposals
    if case.rule not in {"R59", "R60"}:  # there what becomes due may turn out not to be determinable
        assert len(assessed(case, due).proposals) > len(answer.proposals)


def test_no_rule_has_anything_to_say_of_a_clean_stay() -> None:
    table = tomllib.loads((Path(__file__).parent / "clean_stay.toml").read_text(encoding="utf-8"))
    stay = chart(table)
    answer = asyncio.run(run(Agent(), Case(event=None, chart=stay, now=stay.now)))
    assert [item.key for item in answer.proposals] == []
    assert answer.wakes == []
    assert len(answer.evaluated) == len([rule for rule in RULES.values() if rule.enabled])
