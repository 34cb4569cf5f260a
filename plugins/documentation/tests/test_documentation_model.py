"""The writer that asks a model: what it may answer, what is checked of it, and what happens without it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from hisbus import Case, ConfigError, NotEvaluated, RetryLater
from hisbus.schema import closed, reader
from hisbus.testing import FakeLLM, make_chart, make_document, make_order, make_patient, reasons, run
from hisbus_documentation import Agent
from hisbus_documentation.model import Answer, Memory, Said
from hisbus_schemas import Assessment, Chart, ChartDiagnosis, Code, Draft, Drafted, Section

Drafts = Callable[..., dict[str, Draft]]
Read = Callable[[Draft], Drafted]
Text = Callable[..., str]

ADMITTED, LEFT = "2026-03-02T08:00+08:00", "2026-03-06T10:00+08:00"


def chart(**more: Any) -> Chart:
    history = "患者3天前受凉后发热，体温最高39.5℃，否认胸痛。头孢曲松2.0g每日一次静脉滴注。"
    record = make_document(
        "C0034", id="d1", at=ADMITTED, signed=ADMITTED, sections=[Section(name="HPI", title="现病史", text=history)]
    )
    fields: dict[str, Any] = {
        "admitted": ADMITTED,
        "discharged": LEFT,
        "now": LEFT,
        "patient": make_patient("王芳", sex="female", birth_date="1989-01-05"),
        "documents": [record],
        "diagnoses": [
            ChartDiagnosis(id="dg", version="v", status="final", code=Code(code="J18.900", text="右下肺肺炎"))
        ],
    }
    return make_chart(**(fields | more))


def says(code: str, *claims: tuple[str, str]) -> Callable[[str], Answer]:
    """Return a model that says things of one section, each naming a label; empty: none."""

    def answer(question: str) -> Answer:
        said = [Said(text=text, labels=[label] if label else []) for text, label in claims]
        return Answer(sentences=said if f"({code})" in question else [])

    return answer


def answered(llm: FakeLLM, agent: Agent | None = None, stay: Chart | None = None) -> Assessment:
    """Return what an agent, a fresh one unless one is given, says of a stay."""
    stay = stay or chart()
    return asyncio.run(run(agent or Agent(), Case(event=None, chart=stay, now=stay.now, llm=llm)))


def read_without(draft: Draft) -> dict[str, Any]:
    """Return a draft without the sentence that says how it was written."""
    return draft.model_dump(exclude={"message"})


def test_a_sentence_of_the_model_stays_with_the_sources_that_bear_it(
    draft_for: Drafts, document: Read, said: Text
) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者受凉后发热3天，体温最高39.5℃，否认胸痛。", "D1")))
    draft = draft_for(chart(), llm)["discharge-record"]
    summary = document(draft).sections[0]
    assert [one.text for one in summary.sentences] == ["患者受凉后发热3天，体温最高39.5℃，否认胸痛。"]
    assert summary.written == "model"
    (place,) = summary.sentences[0].sources
    assert draft.evidence[place].quote == "患者3天前受凉后发热，体温最高39.5℃，否认胸痛。"
    assert document(draft).written == "mixed", "where the model said nothing, the section is assembled"
    assert "部分由模型撰写" in draft.message.zh
    assert draft.model == "fake"


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("患者发热5天，否认胸痛。", "D1", "number"),
        ("患者受凉后发热，伴胸痛。", "D1", "negation"),
        ("头孢曲松1.0g每日一次静脉滴注。", "D1", "dose"),
        ("男性患者，受凉后发热。", "D1", "sex"),
        ("左下肺肺炎。", "D1", "laterality"),
        ("予阿奇霉素治疗，患者受凉后发热。", "D1", "name"),
        ("患者受凉后发热，肝功能正常。", "D1", "invented_normal"),
        ("患者受凉后发热。", "", "no_source"),
        ("家属要求转院继续康复训练。", "D1", "unsupported"),
        ("2026年3月9日受凉后发热。", "D1", "date"),
        ("患者____，受凉后发热。", "D1", "template_text"),
    ],
)
def test_what_the_sources_do_not_bear_is_taken_out_and_counted(
    text: str, label: str, reason: str, draft_for: Drafts, document: Read, said: Text
) -> None:
    llm = FakeLLM(says("SUMMARY", (text, label), ("患者受凉后发热。", "D1")))
    draft = draft_for(chart(), llm)["discharge-record"]
    assert document(draft).removed == {reason: 1}
    assert said(draft, "SUMMARY") == "患者受凉后发热。"


def test_a_source_that_there_is_not_is_claimed_in_vain(draft_for: Drafts, document: Read) -> None:
    llm = FakeLLM(lambda _: Answer(sentences=[Said(text="患者受凉后发热。", labels=["D999"])]))
    removed = document(draft_for(chart(), llm)["discharge-record"]).removed
    assert removed.keys() == {"no_source"}


def test_where_nothing_of_a_section_stays_it_is_assembled(draft_for: Drafts, document: Read, said: Text) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者一切正常。", "D1")))
    draft = draft_for(chart(), llm)["discharge-record"]
    assert document(draft).sections[0].written == "assembled"
    assert said(draft, "SUMMARY") == said(draft_for(chart())["discharge-record"], "SUMMARY")
    assert sum(document(draft).removed.values()) == 1


def test_two_sentences_in_one_answer_are_checked_one_by_one(draft_for: Drafts, said: Text) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者受凉后发热。体温最高41.5℃。", "D1")))
    assert said(draft_for(chart(), llm)["discharge-record"], "SUMMARY") == "患者受凉后发热。"


def test_while_the_model_is_down_nothing_is_drafted_and_the_agent_waits(draft_for: Drafts) -> None:
    with pytest.raises(RetryLater):
        draft_for(chart(), FakeLLM(RetryLater(code="llm_down")))
    with pytest.raises(RetryLater):
        draft_for(chart(), FakeLLM(says("DX", ("右下肺肺炎。", "G1")), RetryLater(code="llm_down")))


def test_to_what_the_model_gives_no_usable_answer_is_assembled_and_the_draft_says_so(
    draft_for: Drafts, document: Read
) -> None:
    draft = draft_for(chart(), FakeLLM(NotEvaluated(code="invalid_answer")))["discharge-record"]
    assert read_without(draft) == read_without(draft_for(chart())["discharge-record"])
    assert draft.model == ""
    assert draft.message.en.endswith(
        "assembled from the record; the model gave no usable answer for 3 of its sections."
    )
    assert "模型未给出可用的回答（3节）" in draft.message.zh
    part = draft_for(chart(), FakeLLM(NotEvaluated(), says("DX", ("右下肺肺炎。", "G1"))))["discharge-record"]
    ways = {section.code: section.written for section in document(part).sections if section.sentences}
    assert ways["SUMMARY"] == "assembled" and ways["DX"] == "model"
    assert "for 1 of its sections" in part.message.en


def test_what_the_model_did_not_answer_is_unevaluated_with_its_reason_and_closes_nothing_by_mistake() -> None:
    said = answered(FakeLLM(NotEvaluated(), says("DX", ("右下肺肺炎。", "G1"))))
    assert reasons(said).keys() == {"discharge-record.model"}
    assert reasons(said)["discharge-record.model"].text.en == "the model gave no usable answer"
    assert "discharge-record" in said.evaluated, "whether the record is owed was judged all the same"
    assert answered(FakeLLM(Answer(sentences=[]))).unevaluated == []


def test_what_was_taken_out_is_counted_for_the_operator_too() -> None:
    assert answered(FakeLLM(says("SUMMARY", ("患者受凉后发热5天。", "D1"), ("肝功能正常。", "D1")))).unverified == 2


def test_a_model_that_the_operator_configured_wrongly_is_the_operators_to_mend(draft_for: Drafts) -> None:
    with pytest.raises(ConfigError):
        draft_for(chart(), FakeLLM(ConfigError("no such model")))


def test_the_model_may_be_left_unasked(draft_for: Drafts) -> None:
    llm = FakeLLM(RetryLater())
    draft_for(chart(), llm, model=False)
    assert llm.asked == []


def test_the_fingerprint_is_of_the_record_and_not_of_the_models_words(draft_for: Drafts) -> None:
    one = draft_for(chart(), FakeLLM(says("SUMMARY", ("患者受凉后发热。", "D1"))))["discharge-record"]
    other = draft_for(chart(), FakeLLM(says("SUMMARY", ("受凉后发热，患者否认胸痛。", "D1"))))["discharge-record"]
    assert one.payload != other.payload
    assert one.stamp() == other.stamp() == draft_for(chart())["discharge-record"].stamp()
    assert one.reads == other.reads


def test_only_sections_with_sources_are_asked_for_and_what_is_constant_stands_in_the_instructions(
    draft_for: Drafts,
) -> None:
    llm = FakeLLM(Answer(sentences=[]))
    draft_for(chart(), llm)
    assert [asked["question"].partition("(")[2] for asked in llm.asked] == [
        "SUMMARY). What it is made from, above all: D1, stay.",
        "DX). What it is made from, above all: G1.",
        "STATUS). What it is made from, above all: stay.",
    ]
    (instructions,) = {asked["system"] for asked in llm.asked}
    assert "Discharge record" in instructions and "Chinese" in instructions
    assert {asked["only"] for asked in llm.asked} == {None}, "the whole record, as the other agents have it read"


def test_a_record_that_is_too_long_for_the_model_is_shown_in_part(draft_for: Drafts, document: Read) -> None:
    other = make_document("C0001", "与本次无关。" * 50, id="other", at=ADMITTED, signed=ADMITTED)
    llm = FakeLLM(NotEvaluated(code="prompt_too_long"), says("DX", ("右下肺肺炎。", "G1")))
    stay = chart(documents=[*chart().documents, other])
    draft = draft_for(stay, llm)["discharge-record"]
    assert [asked["only"] for asked in llm.asked if asked["only"]] == [{"d1", "dg"}]
    assert "no usable answer" not in draft.message.en


def test_an_event_that_changes_nothing_of_what_a_draft_rests_on_asks_nothing() -> None:
    agent, llm = Agent(), FakeLLM(says("DX", ("右下肺肺炎。", "G1")))
    first = answered(llm, agent)
    asked = len(llm.asked)
    assert asked == 3
    order = make_order("o1", "Chest X-ray", at=LEFT)
    later = chart(version=7, now="2026-03-06T12:00+08:00", orders=[order])
    assert answered(llm, agent, later).proposals == first.proposals and len(llm.asked) == asked
    diagnosis = chart().diagnoses[0].model_copy(update={"version": "w", "code": Code(code="J15.9", text="细菌性肺炎")})
    assert answered(llm, agent, chart(diagnoses=[diagnosis])).proposals != first.proposals
    assert len(llm.asked) == asked * 2
    answered(llm, agent, chart(encounter="encounter-2"))
    assert len(llm.asked) == asked * 3, "what was written of one stay is nobody else's"


def test_a_model_that_is_down_is_asked_again() -> None:
    agent, llm = Agent(), FakeLLM(RetryLater(), says("DX", ("右下肺肺炎。", "G1")))
    with pytest.raises(RetryLater):
        answered(llm, agent)
    (draft,) = answered(llm, agent).proposals
    assert draft.payload["written"] == "mixed"


def test_what_the_model_wrote_is_forgotten_when_much_else_was_written() -> None:
    memory = Memory()
    for n in range(300):
        memory.keep("encounter", str(n), [])
    assert memory.get("encounter", "0") is None and memory.get("encounter", "299") == []


def test_the_answer_is_bounded() -> None:
    form = closed(Answer.model_json_schema())
    reader(form).validate_python({"sentences": [{"text": "患者发热。", "labels": ["D1", "stay"]}]})
    for wrong in ({"text": "x" * 301, "labels": []}, {"text": "x", "labels": ["D1"] * 9}, {"text": "", "labels": []}):
        with pytest.raises(ValidationError):
            Said.model_validate(wrong)
    with pytest.raises(ValidationError):
        Answer.model_validate({"sentences": [{"text": "x", "labels": []}] * 17})
