"""The agent ``coding-check``: findings of quality control held against proposed codes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hisbus import Case
from hisbus.testing import NOW, AgentContract, make_case, make_chart, make_document, run
from hisbus_coding.check import BEARS, Check
from hisbus_schemas import Chart, ChartDiagnosis, Code, CodeSet, Evidence, Finding, Opinion, Text

SAID = Text(zh="有", en="here")
NOTE = make_document("C0038", "患者肺炎，予抗感染治疗。", id="note", signed=NOW)
SUMMARY = make_document("C0049", "出院诊断：1.肺炎 2.低钾血症", id="summary", signed=NOW)
PAGE = make_document("C0032", id="page", signed=NOW, fields={"FP.DIAGNOSIS": "W19.x00 跌倒", "FP.OPERATION": ""})
CHART = make_chart(documents=[NOTE, SUMMARY, PAGE], discharged=NOW)


def words(document: Any, text: str) -> Evidence:
    (section,) = document.sections
    begin = section.text.index(text)
    return Evidence(
        document=document.id, version=document.version, section=0, begin=begin, end=begin + len(text), quote=text
    )


def code(code: str, *evidence: Evidence, role: str = "other", rank: int = 2, display: str = "") -> dict[str, Any]:
    its = [item.model_dump(mode="json", exclude_none=True) for item in evidence]
    return {"code": code, "display": display, "role": role, "rank": rank, "evidence": its, "confidence": 0.9}


def set_of(*codes: dict[str, Any]) -> CodeSet:
    return CodeSet(
        id="p-codes", agent="coding", key="codes", rule="codes", message=SAID, payload={"codes": list(codes)}
    )


def finding(rule: str, subject: str = "", *evidence: Evidence, part: str = "", **more: Any) -> Finding:
    key = ":".join(name for name in (rule, part, subject) if name)
    facts: dict[str, Any] = {"id": f"p-{key}", "agent": "qc", "key": key, "rule": rule, "subject": subject}
    return Finding(**(facts | {"message": SAID, "evidence": list(evidence)} | more))


def opinions(*proposals: Any, chart: Chart = CHART) -> dict[tuple[str, str], Opinion]:
    said = asyncio.run(run(Check(), make_case(chart, kind="proposals.changed", proposals=proposals)))
    assert said.proposals == []
    return {(one.proposal, one.verdict): one for one in said.opinions}


PNEUMONIA = code("J18.9", words(NOTE, "肺炎"))
LISTED = code("J18.9", words(NOTE, "肺炎"), words(SUMMARY, "肺炎"))
POTASSIUM = code("E87.6", words(SUMMARY, "低钾血症"))

BEARING = [
    # rule, finding, code that it concerns, code close by that it does not
    ("R22", finding("R22", "note", words(NOTE, "肺炎，予")), PNEUMONIA, POTASSIUM),
    ("R25", finding("R25", "note", words(NOTE, "患者肺炎")), PNEUMONIA, code("J20.9", words(NOTE, "抗感染"))),
    ("R23", finding("R23", "stated"), code("Z88.0"), code("Z87.0")),
    ("R40", finding("R40", "op"), code("S72.0", display="左侧股骨颈骨折"), code("S72.0", display="股骨颈骨折")),
    ("R40", finding("R40", "op"), code("47.09", role="operation"), PNEUMONIA),
    ("R40", finding("R40", "op"), code("C50.911", display="of right breast"), code("H54.0", display="bright light")),
    ("R45", finding("R45", "note"), PNEUMONIA, LISTED),
    ("R46", finding("R46", "note"), PNEUMONIA, LISTED),
    ("R47", finding("R47", "note", part="block"), PNEUMONIA, LISTED),
    ("R47.person", finding("R47", "note", part="person"), LISTED, POTASSIUM),
    ("R51", finding("R51", "page:FP.DIAGNOSIS"), code("W19.x00", rank=1), None),
    ("R52", finding("R52", "page:FP.DIAGNOSIS"), code("W19X00", rank=3), None),
    ("R53", finding("R53", "page:pathology"), code("C18.9"), PNEUMONIA),
]


@pytest.mark.parametrize("rule, of_qc, concerned, other", BEARING)
def test_a_finding_disputes_the_codes_that_it_concerns_and_no_others(
    rule: str, of_qc: Finding, concerned: dict[str, Any], other: dict[str, Any] | None
) -> None:
    said = opinions(of_qc, set_of(concerned))
    assert said.keys() == {("p-codes", "dispute")}
    message = said["p-codes", "dispute"].message
    assert concerned["code"] in message.zh and of_qc.rule in message.zh and message.en.startswith(of_qc.rule)
    if other is not None:
        assert opinions(of_qc, set_of(other)) == {}


def test_every_bearing_has_a_case() -> None:
    assert {row[0] for row in BEARING} | {"R30", "R50", "R56"} == BEARS.keys()


def test_an_abnormal_value_without_a_diagnosis_supports_a_code_and_the_set_answers_the_finding() -> None:
    low = finding("R30", "hypokalaemia", Evidence(path="results/r1", value="2.9"))
    said = opinions(low, set_of(PNEUMONIA, POTASSIUM))
    assert said.keys() == {("p-codes", "confirm"), ("p-R30:hypokalaemia", "confirm")}
    assert said["p-codes", "confirm"].evidence == [words(SUMMARY, "低钾血症"), *low.evidence]
    assert said["p-R30:hypokalaemia", "confirm"].evidence == [words(SUMMARY, "低钾血症")]
    assert opinions(low, set_of(PNEUMONIA)) == {}


def test_a_principal_diagnosis_that_cannot_be_one_is_answered_by_another_of_the_set() -> None:
    of_page = finding("R51", "page:FP.DIAGNOSIS", Evidence(path="documents/page/fields/FP.DIAGNOSIS", value="W19.x00"))
    principal = code("J18.9", words(SUMMARY, "肺炎"), role="principal", rank=1)
    said = opinions(of_page, set_of(principal, code("W19.x00", rank=2)))
    assert said.keys() == {("p-codes", "confirm"), ("p-R51:page:FP.DIAGNOSIS", "confirm")}
    assert said["p-R51:page:FP.DIAGNOSIS", "confirm"].message.en == "R51: The proposed principal diagnosis is J18.9."
    entry = ChartDiagnosis(id="dx", version="1", status="final", code=Code(code="J18.9"), rank=1)
    same = opinions(finding("R51", "dx"), set_of(principal), chart=make_chart(diagnoses=[entry], documents=[SUMMARY]))
    assert same.keys() == {("p-codes", "dispute")}


def test_a_recorded_code_that_does_not_fit_is_answered_by_a_set_without_it() -> None:
    of_page = finding("R52", "page:FP.DIAGNOSIS")
    assert opinions(of_page, set_of(PNEUMONIA)).keys() == {
        ("p-codes", "confirm"),
        ("p-R52:page:FP.DIAGNOSIS", "confirm"),
    }


def test_what_the_front_page_lacks_is_named_from_the_set() -> None:
    empty = finding("R50", "page:operation", payload={"field": "FP.OPERATION"})
    missing = finding("R56", "page:missing:op", Evidence(path="procedures/op/code", value="阑尾切除术"))
    done = code("47.01", Evidence(path="procedures/op", value="阑尾切除术"), role="operation", rank=1)
    assert opinions(empty, set_of(done)).keys() == {("p-codes", "confirm"), ("p-R50:page:operation", "confirm")}
    assert opinions(missing, set_of(done)).keys() == {("p-codes", "confirm"), ("p-R56:page:missing:op", "confirm")}
    other = code("51.22", Evidence(path="procedures/op2", value="胆囊切除术"), role="operation", rank=1)
    assert opinions(missing, set_of(other)) == {} and opinions(empty, set_of(PNEUMONIA)) == {}
    assert opinions(finding("R50", "page:x", payload={"field": "FP.TOTAL_COST"}), set_of(done)) == {}


def test_a_question_that_asks_for_what_a_finding_says_is_its_duplicate() -> None:
    low = finding("R30", "hypokalaemia")
    query = finding("R58", "short:potassium-low", agent="coding-rules")
    (said,) = opinions(low, query).values()
    assert (said.proposal, said.verdict, said.of) == (query.id, "duplicate", low.id)
    assert opinions(query) == {} and opinions(low, finding("R58", "short:sodium-low")) == {}


def test_all_that_is_to_be_said_of_a_set_is_one_opinion_for_each_verdict() -> None:
    said = opinions(
        finding("R45", "note"), finding("R53", "page:pathology"), finding("R30", "hypokalaemia"),
        set_of(PNEUMONIA, code("C18.9"), POTASSIUM),
    )  # fmt: skip
    assert {verdict for proposal, verdict in said if proposal == "p-codes"} == {"dispute", "confirm"}
    message = said["p-codes", "dispute"].message
    assert "J18.9" in message.en and "C18.9" in message.en and "E87.6" not in message.en


def test_words_that_no_longer_stand_are_not_shown() -> None:
    amended = NOTE.model_copy(update={"version": "note-2"})
    chart = make_chart(documents=[amended, SUMMARY], discharged=NOW)
    said = opinions(finding("R47", "note", words(NOTE, "肺炎"), part="person"), set_of(PNEUMONIA), chart=chart)
    assert said["p-codes", "dispute"].evidence == []


def test_other_findings_and_sets_of_another_form_are_left_alone() -> None:
    assert opinions(finding("R01", "note"), set_of(PNEUMONIA)) == {}
    assert opinions(finding("R45", "note"), CodeSet(id="x", key="x", rule="x", message=SAID)) == {}
    foreign = CodeSet(id="x", key="x", rule="x", message=SAID, payload={"codes": ["J18.9"]})
    assert opinions(finding("R45", "note"), foreign) == {}
    assert opinions(finding("R45", "note")) == {} and opinions(set_of(PNEUMONIA)) == {}


class TestContract(AgentContract):
    agent = Check()

    def cases(self) -> Sequence[Case]:
        shown = [finding("R45", "note", words(NOTE, "肺炎")), finding("R30", "hypokalaemia")]
        return [make_case(CHART), make_case(CHART, proposals=[*shown, set_of(PNEUMONIA, POTASSIUM)])]
