"""Drafts beside references: every count by hand, and each down to its sentence."""

from typing import Any

import pytest

from hisbus_bus.lab.evaluate.documents import OTHER, DocumentResult, compare, scores
from hisbus_bus.lab.evaluate.facts import Fact, content, facts, sentences
from hisbus_bus.lab.evaluate.rubric import read
from hisbus_bus.lab.evaluate.sample import Reference
from hisbus_schemas import Assessment, Code, Draft, Drafted, DraftedSection, DraftedSentence, Text

RECORD = (
    "She takes lisinopril 20 mg daily for blood pressure. Left knee pain for 3 weeks. She denies fever and chills.\n"
    "On 2026-03-02 the left knee was tender."
)
NAME = Text(zh="记录", en="note")


def drafted(**sections: list[str]) -> Assessment:
    made = Drafted(
        template="note", type=Code(code="C0002"), title=NAME, language="en",
        sections=[
            DraftedSection(code=code, title=NAME, loinc="18776-5" if code == "PLAN" else "",
                           sentences=[DraftedSentence(text=text) for text in said])
            for code, said in sections.items()
        ],
    )  # fmt: skip
    return Assessment(proposals=[Draft(key="note", rule="note", message=NAME, payload=made.model_dump(mode="json"))])


def compared(said: Assessment | None, **texts: str) -> DocumentResult:
    sections: list[Any] = [
        {"name": name, "text": text, "codes": ["18776-5"] * (name == "PL")} for name, text in texts.items()
    ]
    return compare(said, Reference.model_validate({"rule": "note", "sections": sections}), RECORD)


def items(result: DocumentResult, dimension: str, good: bool = False) -> list[tuple[str, int | None, str]]:
    return [(one.fact or one.text, one.sentence, one.why) for one in result.items
            if one.dimension == dimension and one.good == good]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("increase lisinopril to 40 mg daily", {"dose lisinopril 40 mg"}),
        ("予阿司匹林100mg口服", {"dose 司匹林 100 mg"}),
        ("pain for 3 weeks", {"number 3 week"}),
        ("体温38.5℃，血压 120/80 mmHg", {"number 38.5 c", "number 120/80 mmhg"}),
        ("on March 2, 2026 at 08:30", {"date 03-02"}),
        ("2026年3月2日入院", {"date 03-02"}),
        ("2026-03-02T08:00+08:00", {"date 03-02"}),
        ("the left lower extremities", {"side left extremitie"}),
        ("双侧膝关节肿胀", {"side both 膝关"}),
        ("denies any fever, chills or cough.", {"denied fever", "denied chills", "denied cough"}),
        ("否认发热、咳嗽及高血压病史。", {"denied 发热", "denied 咳嗽", "denied 高血压"}),
        ("肌力5级，四肢无力", {"number 5 grade"}),
    ],
)
def test_facts_are_told_in_both_languages_in_one_spelling(text: str, expected: set[str]) -> None:
    assert {f"{one.kind} {one.value}" for one in facts(text)} == expected


def test_two_spellings_of_a_fact_are_one() -> None:
    assert facts("Lasix 20 milligrams") == facts("lasix 20.0 mg") == {Fact("dose", "lasix 20 mg")}


def test_a_text_falls_into_sentences_at_stops_and_lines() -> None:
    assert sentences("Dr. Li came. She has 1.5 mg.\n• Pain\n\n患者好转。无发热") == [
        "Dr. Li came.", "She has 1.5 mg.", "• Pain", "患者好转。", "无发热",
    ]  # fmt: skip


def test_words_that_carry_nothing_do_not_count() -> None:
    assert content("The patient has pains in the knees") == {"pain", "knee"}
    assert content("患者发热") == {"发热"}


def test_captured_and_accurate_facts_are_counted_once_each() -> None:
    result = compared(
        drafted(PL=["She takes lisinopril 20 mg daily.", "Left knee pain for 2 weeks."]),
        PL="She takes lisinopril 20 mg daily. Left knee pain for 3 weeks. She denies fever.",
    )
    whole = result.whole
    assert (whole.captured, whole.to_capture) == (2, 4), "dose and side; not the 3 weeks, not the denial"
    assert [fact for fact, *_ in items(result, "captured")] == ["number 3 week", "denied fever"]
    assert (whole.accurate, whole.stated) == (2, 3)
    assert items(result, "accurate") == [("number 2 week", 1, "")]


def test_a_fact_that_only_the_record_has_is_accurate() -> None:
    result = compared(drafted(PL=["The left knee was tender on 2026-03-02."]), PL="Nothing.")
    assert items(result, "accurate") == [] and result.whole.stated == 2


def test_a_sentence_is_unsupported_by_a_foreign_fact_or_by_foreign_words() -> None:
    result = compared(
        drafted(
            PL=["Left knee pain for 3 weeks.", "Left knee pain for 4 weeks.", "Scheduled for arthroscopic surgery."]
        ),
        PL="x y",
    )
    assert items(result, "unsupported") == [
        ("Left knee pain for 4 weeks.", 1, "number 4 week"),
        ("Scheduled for arthroscopic surgery.", 2, "words"),
    ]
    assert (result.whole.unsupported, result.whole.sentences) == (2, 3)


def test_a_sentence_of_the_reference_that_the_draft_has_nothing_of_is_omitted() -> None:
    result = compared(drafted(PL=["Left knee pain."]), PL="The left knee has pain. She works in a bakery.")
    assert items(result, "omitted") == [("She works in a bakery.", 1, "")]
    assert (result.whole.omitted, result.whole.to_say) == (1, 2)


@pytest.mark.parametrize(
    ("said", "wanted", "why"),
    [
        ("She denies fever today.", "She has a fever today.", "denied"),
        ("She has a fever today.", "She denies fever today.", "denied"),
        ("Pain in the right knee.", "Pain in the left knee.", "side"),
        ("Continue lisinopril 40 mg daily.", "Continue lisinopril 20 mg daily.", "dose"),
        ("患者否认发热。", "患者有发热。", "denied"),
    ],
)
def test_the_opposite_of_the_most_similar_sentence_is_a_contradiction(said: str, wanted: str, why: str) -> None:
    result = compared(drafted(PL=[said]), PL=f"{wanted} She works in a bakery.")
    assert items(result, "contradiction") == [(said, 0, f"{why}: {wanted}")]
    assert result.whole.contradictions == 1


@pytest.mark.parametrize("said", ["She denies fever today.", "Pain in both knees and the left hip."])
def test_the_same_or_another_thing_is_no_contradiction(said: str) -> None:
    result = compared(drafted(PL=[said]), PL="She denies fever today. Numbness of the right foot.")
    assert result.whole.contradictions == 0


def test_ten_words_in_a_row_are_copied() -> None:
    copied = "Takes lisinopril 20 mg daily for blood pressure left knee today."
    result = compared(drafted(PL=[copied, "Left knee pain for 3 weeks."]), PL="x")
    assert (result.whole.copied, result.whole.tokens) == (10, 17)
    assert items(result, "copied") == [(copied, 0, "10/11")]


def test_the_edit_distance_counts_words() -> None:
    result = compared(drafted(PL=["Left knee pain."]), PL="Right knee pain today")
    assert (result.whole.edits, result.whole.longest) == (2, 4), "one replaced, one inserted"
    assert scores(result.whole)["edit_distance"] == 0.5


def test_drafted_sections_find_theirs_by_name_or_code_and_the_others_stand_apart() -> None:
    result = compared(
        drafted(CC=["Left knee pain."], PLAN=["Rest."], EXTRA=["She takes lisinopril."]), CC="Knee", PL="Rest"
    )
    assert {name: one.sentences for name, one in result.sections.items()} == {"CC": 1, "PL": 1, OTHER: 1}


def test_without_a_draft_everything_is_omitted() -> None:
    for said in (None, Assessment()):
        result = compared(said, PL="She denies fever. Left knee pain.")
        assert not result.drafted and result.whole.omitted == 2 and scores(result.whole)["accurate"] is None


def test_points_are_of_figures_that_keep_to_their_limits() -> None:
    rubric = {item.id: item for item in read(None).items}
    perfect = compared(drafted(PL=["Left knee pain for 3 weeks."]), PL="Left knee pain for 3 weeks.")
    assert all(item.met(scores(perfect.whole)) for item in rubric.values())
    poor = compared(drafted(PL=["Right knee pain for 3 weeks."]), PL="Left knee pain for 3 weeks. She denies fever.")
    met = {id for id, item in rubric.items() if item.met(scores(poor.whole))}
    assert met == set(), "it contradicts, nothing bears the side, half is inaccurate, missing and omitted"
