"""What leaves when codes, or a question to the clinician, were accepted: readable, with the words they rest on."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hisbus.lines import lines, sections
from hisbus.testing import make_chart, make_patient
from hisbus_bus.flow.writeback.document import Approved, compose
from hisbus_schemas import (
    Code,
    Coded,
    CodedEntry,
    CodedOpen,
    CodeSet,
    Decision,
    Evidence,
    Finding,
    Proposal,
    Text,
    WriteBack,
)

ROW: Any = SimpleNamespace(id="w1", connector="his", proposal="p1", decision="d1")
AT = datetime(2026, 3, 6, 4, tzinfo=UTC)
SAID = Text(zh="建议编码2项。", en="2 codes proposed.")
CODED = Coded(
    codes=[
        CodedEntry(
            code="J18.900", system="ICD-10-CN", version="2.0", display="肺炎", role="principal", rank=1, poa="Y",
            evidence=[Evidence(document="d1", quote="肺炎"), Evidence(path="p", value="肺炎")],
        ),
        CodedEntry(code="47.0100", display="腹腔镜阑尾切除术", role="operation", rank=1),
    ],
    unmatched=[CodedOpen(text="气促")],
    verified_by="model",
)  # fmt: skip


def sent(proposal: Proposal, note: str = "") -> WriteBack:
    decision = Decision(
        id="d1", proposal="p1", revision=1, agent="coding", rule=proposal.rule, encounter="e", decision="accept",
        user="ann", decided=AT, etag="x", approved=proposal, note=note,
    )  # fmt: skip
    return compose(ROW, Approved(decision, proposal, make_chart(patient=make_patient("王建国"))))


def code_set(payload: dict[str, Any], **more: Any) -> CodeSet:
    return CodeSet(key="codes", rule="codes", message=SAID, payload=payload, **more)


def test_each_code_leaves_with_its_role_table_and_the_words_it_rests_on() -> None:
    writeback = sent(code_set(CODED.model_dump(mode="json"), model="qwen3-32b"), note="核对过")
    codes, origin = sections(writeback)
    assert (codes.name, codes.title, codes.text.splitlines()) == (
        "CODES",
        "编码",
        [
            "主要诊断 1: J18.900 肺炎 [ICD-10-CN 2.0] 入院时已有",
            "依据: 病历 “肺炎”",
            "依据: 病历 肺炎",
            "手术操作 1: 47.0100 腹腔镜阑尾切除术",
            "未编码: 气促",
            "备注: 核对过",
        ],
    )
    assert origin.text.splitlines() == [
        "编码建议，经模型核对: coding",
        "模型: qwen3-32b",
        "审核: ann, 2026-03-06 12:00",
    ]
    assert lines(writeback) == ["编码", *codes.text.splitlines(), "来源", *origin.text.splitlines()]
    assert writeback.document == Code(), "it is a notice: the HIS assigns the codes"


def test_a_set_says_what_it_is_for_and_no_candidate_leaves() -> None:
    low = CodedEntry(code="Z79.800", display="长期用药", role="other", band="low")
    coded = CODED.model_copy(update={"purpose": "settlement", "candidates": [low]})
    said = lines(sent(code_set(coded.model_dump(mode="json"))))
    assert said[:2] == ["编码", "用于医保结算清单"]
    assert not any("Z79.800" in line for line in said)


def test_a_set_of_a_shape_of_its_own_leaves_as_a_notice() -> None:
    writeback = sent(code_set({"codes": "J18.900"}))
    assert sections(writeback) == []
    assert lines(writeback)[:2] == ["建议 codes", "建议编码2项。"]


def test_a_question_leaves_with_what_may_be_answered() -> None:
    options = [{"zh": "低钾血症", "en": "Hypokalemia"}, {"zh": "其他", "en": "Other"}]
    query = {"draft": SAID.model_dump(), "options": options}
    said = lines(sent(Finding(key="R58", rule="R58", message=SAID, payload={"query": query})))
    assert said[2:4] == ["可选 1: 低钾血症", "可选 2: 其他"]
    plain = sent(Finding(key="R58", rule="R58", message=SAID, payload={"query": "what?"}))
    assert lines(plain)[0] == "病历质控 R58"


def test_a_write_back_carries_the_proposal_as_it_was_approved_and_who_approved_it() -> None:
    proposal = code_set(CODED.model_dump(mode="json"), reads=["diagnoses/1@2"])
    writeback = WriteBack.model_validate_json(sent(proposal, note="核对过").model_dump_json())
    assert writeback.approved == proposal
    assert (writeback.agent, writeback.user, writeback.decided, writeback.note) == ("coding", "ann", AT, "核对过")
    assert writeback.out == {}


def test_what_a_model_judged_says_so() -> None:
    assert "模型: qwen3-32b" in lines(sent(Finding(key="R40", rule="R40", message=SAID, model="qwen3-32b")))
    assert not any("模型" in line for line in lines(sent(Finding(key="R40", rule="R40", message=SAID))))
