"""Every example beside a rule file: each rule finds its defect, and is silent on what is clean or all but a defect.

The limits in the examples are written by hand from the rule list, never read from the plugin.
"""

import asyncio
import tomllib
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hisbus.agent import Case
from hisbus.resolve import resolves, stands, value_at
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_qc.examples import RuleExample, chart, read
from hisbus_qc.rulebook import RULES, configured
from hisbus_schemas import Assessment, Finding

EXAMPLES = read()


def assessed(example: RuleExample, now: datetime | None = None) -> Assessment:
    rules = {example.rule: {"enabled": True}}
    packs = list(RULES[example.rule].packs)
    settings = {"only": [example.rule], "rules": rules, "packs": packs} | example.settings
    judged = example.chart.model_copy(update={"now": now or example.chart.now})
    with TemporaryDirectory() as folder:
        terms = example.terms(Path(folder))
        case = Case(event=None, chart=judged, now=judged.now, settings=settings, terms=terms)
        return asyncio.run(run(Agent(), case))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.rule} {example.kind}: {example.name}")
def test_a_rule_says_of_its_example_what_is_written_there(example: RuleExample) -> None:
    answer = assessed(example)
    assert tuple(sorted(item.state or "found" for item in answer.proposals)) == example.expects
    assert answer.evaluated == {example.rule}
    for item in answer.proposals:
        assert item.rule == example.rule and item.key.startswith(example.rule)
        assert item.evidence and item.reads
        assert all(example.chart.holds(ref) for ref in item.reads)
        assert all(proof.path or proof.quote for proof in item.evidence)


def test_there_are_at_least_180_examples_and_three_kinds_for_every_rule() -> None:
    kinds = Counter((example.rule, example.kind) for example in EXAMPLES)
    lacking = [(rule, kind) for rule in RULES for kind in ("positive", "negative", "near") if not kinds[rule, kind]]
    assert not lacking
    assert len(EXAMPLES) >= 180


def test_no_two_examples_of_a_rule_have_one_name() -> None:
    names = Counter((example.rule, example.name) for example in EXAMPLES)
    assert max(names.values()) == 1


def test_what_would_be_right_is_said_where_the_record_says_it() -> None:
    said = {
        (one.rule, name): one.expected.text.zh
        for name, example in {
            example.name: example for example in EXAMPLES if example.rule in {"R30", "R44", "R48"}
        }.items()
        for one in assessed(example).proposals
        if isinstance(one, Finding) and one.expected is not None
    }
    assert said["R48", "another age"] == "65"
    assert {text for (rule, _), text in said.items() if rule == "R30"} >= {"低钾血症"}
    assert any(rule == "R44" and "片" in text for (rule, _), text in said.items())
    assert ("R48", "another sex") not in said, "which of the two is right, nobody can tell"


AHEAD = [example for example in EXAMPLES if assessed(example).wakes]


@pytest.mark.parametrize("example", AHEAD, ids=lambda example: f"{example.rule} {example.name}")
def test_nothing_changes_before_a_wake_and_a_deadline_is_missed_at_it(example: RuleExample) -> None:
    answer = assessed(example)
    due = min(wake.due for wake in answer.wakes)
    assert due > example.chart.now
    assert assessed(example, due - timedelta(seconds=1)).proposals == answer.proposals
    if example.rule not in {"R59", "R60"}:  # there what becomes due may turn out not to be determinable
        assert len(assessed(example, due).proposals) > len(answer.proposals)


def test_no_rule_has_anything_to_say_of_a_clean_stay() -> None:
    table = tomllib.loads((Path(__file__).parent / "clean_stay.toml").read_text(encoding="utf-8"))
    stay = chart(table)
    answer = asyncio.run(run(Agent(), Case(event=None, chart=stay, now=stay.now)))
    assert [item.key for item in answer.proposals] == []
    assert answer.wakes == []
    assert len(answer.evaluated) == len(configured({}))


def test_evidence_stands_where_it_is_said_to_be() -> None:
    """So the desk marks it: a path has the value that is quoted, words stand where they are said to."""
    for example in EXAMPLES:
        documents = {item.id: item for item in example.chart.documents}
        for finding in assessed(example).proposals:
            assert isinstance(finding, Finding)
            for proof in finding.evidence:
                if proof.path:
                    assert resolves(example.chart, proof.path), (finding.key, proof.path)
                    assert value_at(example.chart, proof.path) == proof.value, (finding.key, proof)
                else:
                    assert stands(documents[proof.document or ""], proof), finding.key
