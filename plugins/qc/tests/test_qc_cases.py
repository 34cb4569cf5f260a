"""Every case beside a rule file: each rule finds its defect, and is silent on what is clean or all but a defect.

The limits in the cases are written by hand from the rule list, never read from the plugin.
"""

import asyncio
from collections import Counter

import pytest

from hisbus.agent import Case
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_qc.cases import RuleCase, read
from hisbus_qc.rulebook import RULES
from hisbus_schemas import Assessment

CASES = read()


def assessed(case: RuleCase) -> Assessment:
    settings = {"only": [case.rule], "rules": {case.rule: {"enabled": True}}} | case.settings
    return asyncio.run(run(Agent(), Case(event=None, chart=case.chart, now=case.chart.now, settings=settings)))


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
