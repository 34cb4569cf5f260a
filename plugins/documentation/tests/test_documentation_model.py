"""The writer that asks a model: what it may answer, what is checked of it, and what happens without it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from hisbus import BadMessage, ConfigError, RetryLater
from hisbus.testing import FakeLLM, make_chart, make_document, make_patient
from hisbus_documentation.model import Answer, Said
from hisbus_schemas import Chart, ChartDiagnosis, Code, Draft, Drafted, Section

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
        "patient": make_patient("王芳", sex="F", birth_date="1989-01-05"),
        "documents": [record],
        "diagnoses": [ChartDiagnosis(id="dg", version="v", type="F", code=Code(code="J18.900", text="右下肺肺炎"))],
    }
    return make_chart(**(fields | more))


def sources(question: str) -> dict[str, str]:
    """Return the sources of a question by their ids."""
    lines = question.partition("<sources>\n")[2].partition("\n</sources>")[0].splitlines()
    return {item["id"]: item["text"] for item in map(json.loads, lines)}


def says(code: str, *claims: tuple[str, str]) -> Callable[[str], Answer]:
    """Return a model that says things of one section, each claiming the source that holds some words."""

    def answer(question: str) -> Answer:
        if f"({code})" not in question:
            return Answer(sentences=[])
        given = sources(question)
        return Answer(
            sentences=[
                Said(text=text, sources=[id for id, source in given.items() if words and words in source][:1])
                for text, words in claims
            ]
        )

    return answer


def test_a_sentence_of_the_model_stays_with_the_sources_that_bear_it(
    draft_for: Drafts, document: Read, said: Text
) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者受凉后发热3天，体温最高39.5℃，否认胸痛。", "受凉")))
    draft = draft_for(chart(), llm)["discharge-record"]
    summary = document(draft).sections[0]
    assert [one.text for one in summary.sentences] == ["患者受凉后发热3天，体温最高39.5℃，否认胸痛。"]
    assert summary.written == "model"
    (place,) = summary.sentences[0].sources
    assert draft.evidence[place].quote == "患者3天前受凉后发热，体温最高39.5℃，否认胸痛。"
    assert document(draft).written == "mixed", "where the model said nothing, the section is assembled"
    assert "部分由模型撰写" in draft.message.zh


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("患者发热5天，否认胸痛。", "受凉", "number"),
        ("患者受凉后发热，伴胸痛。", "受凉", "negation"),
        ("头孢曲松1.0g每日一次静脉滴注。", "头孢曲松", "dose"),
        ("男性患者，受凉后发热。", "受凉", "sex"),
        ("左下肺肺炎。", "肺炎", "laterality"),
        ("予阿奇霉素治疗，患者受凉后发热。", "受凉", "name"),
        ("患者受凉后发热，肝功能正常。", "受凉", "invented_normal"),
        ("患者受凉后发热。", "", "no_source"),
        ("家属要求转院继续康复训练。", "受凉", "unsupported"),
        ("2026年3月9日受凉后发热。", "受凉", "date"),
        ("患者____，受凉后发热。", "受凉", "template_text"),
    ],
)
def test_what_the_sources_do_not_bear_is_taken_out_and_counted(
    text: str, words: str, reason: str, draft_for: Drafts, document: Read, said: Text
) -> None:
    llm = FakeLLM(says("SUMMARY", (text, words), ("患者受凉后发热。", "受凉")))
    draft = draft_for(chart(), llm)["discharge-record"]
    assert document(draft).removed == {reason: 1}
    assert said(draft, "SUMMARY") == "患者受凉后发热。"


def test_a_source_that_there_is_not_is_claimed_in_vain(draft_for: Drafts, document: Read) -> None:
    llm = FakeLLM(lambda question: Answer(sentences=[Said(text="患者受凉后发热。", sources=["s999"])]))
    removed = document(draft_for(chart(), llm)["discharge-record"]).removed
    assert removed.keys() == {"no_source"}


def test_where_nothing_of_a_section_stays_it_is_assembled(draft_for: Drafts, document: Read, said: Text) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者一切正常。", "受凉")))
    draft = draft_for(chart(), llm)["discharge-record"]
    assert document(draft).sections[0].written == "assembled"
    assert said(draft, "SUMMARY") == said(draft_for(chart())["discharge-record"], "SUMMARY")
    assert sum(document(draft).removed.values()) == 1


def test_two_sentences_in_one_answer_are_checked_one_by_one(draft_for: Drafts, said: Text) -> None:
    llm = FakeLLM(says("SUMMARY", ("患者受凉后发热。体温最高41.5℃。", "受凉")))
    assert said(draft_for(chart(), llm)["discharge-record"], "SUMMARY") == "患者受凉后发热。"


def test_without_the_model_the_draft_is_assembled_and_says_so_and_asks_no_more(
    draft_for: Drafts, document: Read
) -> None:
    llm = FakeLLM(RetryLater(code="llm_down"))
    draft = draft_for(chart(), llm)["discharge-record"]
    assert document(draft).written == "assembled" and "未使用模型" in draft.message.zh
    assert draft == draft_for(chart())["discharge-record"]
    assert len(llm.asked) == 1


def test_an_answer_that_cannot_be_used_is_assembled_and_the_other_sections_are_asked(
    draft_for: Drafts, document: Read
) -> None:
    llm = FakeLLM(BadMessage(code="bad_answer"), says("DX", ("右下肺肺炎。", "肺炎")))
    draft = draft_for(chart(), llm)["discharge-record"]
    ways = {section.code: section.written for section in document(draft).sections if section.sentences}
    assert ways["SUMMARY"] == "assembled" and ways["DX"] == "model"


def test_a_model_that_the_operator_configured_wrongly_is_the_operators_to_mend(draft_for: Drafts) -> None:
    with pytest.raises(ConfigError):
        draft_for(chart(), FakeLLM(ConfigError("no such model")))


def test_the_model_may_be_left_unasked(draft_for: Drafts) -> None:
    llm = FakeLLM(RetryLater())
    draft_for(chart(), llm, model=False)
    assert llm.asked == []


def test_the_fingerprint_is_of_the_record_and_not_of_the_models_words(draft_for: Drafts) -> None:
    one = draft_for(chart(), FakeLLM(says("SUMMARY", ("患者受凉后发热。", "受凉"))))["discharge-record"]
    other = draft_for(chart(), FakeLLM(says("SUMMARY", ("受凉后发热，患者否认胸痛。", "受凉"))))["discharge-record"]
    assert one.payload != other.payload
    assert one.stamp() == other.stamp() == draft_for(chart())["discharge-record"].stamp()
    assert one.reads == other.reads


def test_only_sections_with_sources_are_asked_for_and_the_sources_stand_before_the_question(
    draft_for: Drafts,
) -> None:
    llm = FakeLLM(Answer(sentences=[]))
    draft_for(chart(), llm)
    codes = [re.search(r"Section: .*? \((\w+)\)", asked["question"]) for asked in llm.asked]
    assert [code[1] for code in codes if code] == ["SUMMARY", "DX", "STATUS"]
    assert len({asked["system"] for asked in llm.asked}) == 1
    assert len({asked["question"].partition("</sources>")[0] for asked in llm.asked}) == 1


def test_the_answer_is_bounded() -> None:
    schema = json.dumps(Answer.model_json_schema())
    assert "maxItems" in schema and "maxLength" in schema and '"additionalProperties": false' in schema
    for wrong in ({"text": "x" * 401, "sources": []}, {"text": "x", "sources": ["d1"]}, {"text": "", "sources": []}):
        with pytest.raises(ValidationError):
            Said.model_validate(wrong)
    with pytest.raises(ValidationError):
        Answer.model_validate({"sentences": [{"text": "x", "sources": []}] * 25})
