"""What was said beside what had to be said: rules, codes, wrong texts, and their evidence."""

from typing import Any

import pytest

from hisbus.testing import make_chart, make_document
from hisbus_bus.lab.evaluate.labels import Labels, judge, overlap
from hisbus_bus.lab.evaluate.sample import Expected, Span
from hisbus_schemas import Assessment, CodeSet, Evidence, Finding, Text

CHART = make_chart(documents=[make_document("C0034", "aaa bbb ccc", id="d1")])
SAID = Text(zh="说", en="said")


def finding(rule: str, subject: str = "", state: str = "", *places: tuple[int, int]) -> Finding:
    evidence = [Evidence(document="d1", section=0, begin=begin, end=end) for begin, end in places]
    key = f"{rule}:{subject}:{state}:{len(places)}"
    return Finding(key=key, rule=rule, subject=subject, state=state, message=SAID, evidence=evidence)


def outcomes(found: Labels) -> list[tuple[str, str]]:
    return sorted((one.label.name, one.outcome) for one in found.judged)


def rules(said: list[Finding], expected: list[dict[str, Any]], *evaluated: str, of: str = "R01 R02") -> Labels:
    wanted = Expected.model_validate({"findings": {"rules": of.split(), "expected": expected}})
    return judge(wanted, CHART, Assessment(proposals=list(said), evaluated=frozenset(evaluated or of.split())))


def test_a_rule_is_right_wrong_or_missed_and_silence_counts_too() -> None:
    said = [finding("R01"), finding("R03")]
    found = rules(said, [{"rule": "R01"}, {"rule": "R02"}], of="R01 R02 R03 R04")
    assert outcomes(found) == [("R01", "tp"), ("R02", "fn"), ("R03", "fp"), ("R04", "tn")]


def test_each_finding_answers_one_expectation() -> None:
    assert outcomes(rules([finding("R01", "a"), finding("R01", "b")], [{"rule": "R01"}])) == [
        ("R01", "fp"), ("R01", "tp"), ("R02", "tn"),
    ]  # fmt: skip
    assert outcomes(rules([finding("R01", "a")], [{"rule": "R01"}, {"rule": "R01"}]))[:2] == [
        ("R01", "fn"), ("R01", "tp"),
    ]  # fmt: skip


def test_another_subject_or_state_is_another_finding() -> None:
    expected = [{"rule": "R01", "subject": "a", "state": "late"}]
    assert outcomes(rules([finding("R01", "a", "late")], expected))[0] == ("R01", "tp")
    for said in (finding("R01", "b", "late"), finding("R01", "a", "absent")):
        assert outcomes(rules([said], expected))[:2] == [("R01", "fn"), ("R01", "fp")]


def test_who_expects_most_exactly_chooses_first() -> None:
    expected = [{"rule": "R01"}, {"rule": "R01", "subject": "a"}]
    assert outcomes(rules([finding("R01", "a"), finding("R01", "b")], expected))[:2] == [("R01", "tp"), ("R01", "tp")]


def test_what_is_not_judged_is_counted_apart() -> None:
    found = rules([finding("R77")], [])
    assert found.outside == 1 and outcomes(found) == [("R01", "tn"), ("R02", "tn")]


def test_what_the_agent_could_not_judge_is_missed_and_says_so() -> None:
    found = rules([], [{"rule": "R01"}], "R02")
    assert [(one.label.name, one.outcome, one.evaluated) for one in found.judged] == [
        ("R01", "fn", False), ("R02", "tn", True),
    ]  # fmt: skip


def test_a_call_that_failed_misses_everything() -> None:
    wanted = Expected.model_validate({
        "findings": {"rules": ["R01"], "expected": [{"rule": "R01"}]},
        "codes": {"expected": [{"code": "I10"}]},
        "flagged": {"document": "d1", "wrong": True},
    })  # fmt: skip
    found = judge(wanted, CHART, None)
    assert outcomes(found) == [("I10", "fn"), ("R01", "fn"), ("error", "fn")]
    assert not any(one.evaluated for one in found.judged)


@pytest.mark.parametrize(
    ("wrong", "said", "outcome"),
    [(True, [(0, 3)], "tp"), (False, [(0, 3)], "fp"), (True, [], "fn"), (False, [], "tn")],
)
def test_a_text_is_called_wrong_by_any_finding_with_evidence_in_it(
    wrong: bool, said: list[tuple[int, int]], outcome: str
) -> None:
    wanted = Expected.model_validate({"flagged": {"document": "d1", "wrong": wrong}})
    deadline = Finding(key="k", rule="R02", message=SAID, evidence=[Evidence(path="admitted", value="x")])
    proposals = [deadline, *([finding("R20", "", "", *said)] if said else [])]
    found = judge(wanted, CHART, Assessment(proposals=proposals))
    assert outcomes(found) == [("error", outcome)]
    assert found.outside == 1, "a deadline says nothing of the text"


@pytest.mark.parametrize(("said", "right"), [([(4, 7)], True), ([(6, 9)], True), ([(0, 3)], False), ([(7, 9)], False)])
def test_a_mistake_whose_place_is_known_is_found_only_where_the_evidence_meets_it(
    said: list[tuple[int, int]], right: bool
) -> None:
    place = {"document": "d1", "begin": 4, "end": 7}
    wanted = Expected.model_validate({"flagged": {"document": "d1", "wrong": True, "evidence": [place]}})
    found = judge(wanted, CHART, Assessment(proposals=[finding("R20", "", "", *said)]))
    assert outcomes(found) == ([("error", "tp")] if right else [("error", "fn"), ("error", "fp")])


def codes(*said: dict[str, Any], systems: list[str] | None = None, expected: str = "I10 E11.9") -> Labels:
    wanted = {"codes": {"systems": systems or [], "expected": [{"code": code} for code in expected.split()]}}
    proposal = CodeSet(key="codes", rule="codes", message=SAID, payload={"codes": list(said)})
    return judge(Expected.model_validate(wanted), CHART, Assessment(proposals=[proposal]))


def test_codes_are_compared_without_their_points_and_each_once() -> None:
    found = codes({"code": "E119"}, {"code": "E11.9"}, {"code": "j18.9"})
    assert outcomes(found) == [("E119", "tp"), ("I10", "fn"), ("J189", "fp")]


def test_codes_of_systems_that_are_not_judged_are_counted_apart() -> None:
    found = codes({"code": "I10", "system": "CM"}, {"code": "0DTJ", "system": "PCS"}, systems=["CM"], expected="I10")
    assert outcomes(found) == [("I10", "tp")] and found.outside == 1


def test_evidence_overlaps_as_far_as_both_name_the_same_places() -> None:
    found = overlap(CHART, [Span(document="d1", begin=4, end=11)], [Span(document="d1", begin=0, end=7)])
    assert found is not None
    assert found.characters == pytest.approx(3 / 11), "bbb of 'aaa bbb ccc'"
    assert found.tokens == pytest.approx(1 / 3)


def test_evidence_elsewhere_does_not_overlap_and_unknown_places_are_not_judged() -> None:
    elsewhere = overlap(CHART, [Span(document="d1", begin=0, end=3)], [Span(document="d2", begin=0, end=3)])
    assert elsewhere is not None and elsewhere.characters == 0
    assert overlap(CHART, [], [Span(document="d1", begin=0, end=3)]) is None


def test_a_chinese_character_is_a_word() -> None:
    chart = make_chart(documents=[make_document("C0034", "患者发热三天", id="d1")])
    found = overlap(chart, [Span(document="d1", begin=2, end=4)], [Span(document="d1", begin=2, end=6)])
    assert found is not None and found.tokens == 0.5


def test_the_overlap_of_a_finding_stands_with_its_label() -> None:
    expected = [{"rule": "R01", "evidence": [{"document": "d1", "begin": 0, "end": 3}]}]
    found = rules([finding("R01", "", "", (0, 3))], expected)
    assert found.judged[0].overlap is not None and found.judged[0].overlap.tokens == 1
