"""Which of several codes stand: the specific before the bare, two that are one, and the principal first."""

import asyncio
from pathlib import Path

import pytest

from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding import Agent
from hisbus_coding.families import combined, said_better
from hisbus_schemas import CodeSet


def codes(text: str, terms: Path, band: str = "") -> list[str]:
    chart = make_chart(documents=[make_document("C0049", text, signed=NOW)], discharged=NOW)
    answer = asyncio.run(run(Agent(), make_case(chart, terms=terms)))
    its = [one.payload for one in answer.proposals if isinstance(one, CodeSet)]
    entries = [entry for one in its for entry in (*one["codes"], *one["candidates"])]
    return [entry["code"] for entry in entries if band in {"", entry["band"]}]


@pytest.mark.parametrize(
    "bare, specific",
    [("E14.900", "E10.100"), ("E11.9", "E10.9"), ("I10", "I15.9"), ("I10.x00", "I11.900"), ("J18.9", "J15.9"),
     ("K92.2", "K26.4"), ("D64.900", "D62.x00"), ("E11.9", "E11.621"), ("N18.9", "N18.5")],
)  # fmt: skip
def test_the_bare_goes_beside_what_says_more_of_the_same_disease(bare: str, specific: str) -> None:
    both = {bare: "", specific: ""}
    assert said_better(bare, both) == specific
    assert said_better(specific, both) is None


@pytest.mark.parametrize(
    "one, other", [("I10", "I50.9"), ("E11.9", "E78.5"), ("J18.9", "J96.0"), ("M54.9", "M54.2"), ("M77.11", "M77.12")]
)
def test_different_diseases_stand_beside_each_other(one: str, other: str) -> None:
    both = {one: "", other: ""}
    assert said_better(one, both) is None and said_better(other, both) is None


def test_a_name_that_says_unspecified_is_bare_as_well() -> None:
    names = {"K35.800": "急性阑尾炎，其他和未特指的", "K35.801": "急性化脓性阑尾炎"}
    assert said_better("K35.800", names) == "K35.801" and said_better("K35.801", names) is None
    names = {"I63.900": "脑梗死", "I63.500": "大脑动脉未特指的闭塞或狭窄引起的脑梗死"}
    assert said_better("I63.900", names) == "I63.500" and said_better("I63.500", names) is None


def test_the_specific_stands_where_the_bare_stood(made_up_file: Path) -> None:
    assert codes("出院诊断：1.糖尿病 2.肺炎 3.2型糖尿病性肾病", made_up_file) == ["E11.2x1", "J18.9x1"]


def test_type_1_wins_over_diabetes_without_a_type(icd_file: Path) -> None:
    assert codes("Discharge diagnoses: 1. Type 1 diabetes mellitus 2. Diabetes", icd_file) == ["E10.9"]


def test_hypertension_with_heart_failure_is_hypertensive_heart_disease_in_icd_10_cm_alone(
    icd_file: Path, made_up_file: Path
) -> None:
    assert codes("Discharge diagnoses: 1. Heart failure 2. Hypertension", icd_file) == ["I11.0", "I50.9"]
    assert codes("出院诊断：1.心力衰竭 2.高血压病", made_up_file) == ["I50.9x1", "I10.x01"]
    assert combined("ICD-10-CM", ["I10", "I50.9", "N18.6"]) == ("I11.0", "I10", "I50.9")


def test_what_is_on_both_sides_has_a_code_for_each(icd_file: Path) -> None:
    assert codes("ASSESSMENT\nBilateral medial epicondylitis.", icd_file) == ["M77.01", "M77.02"]


@pytest.mark.parametrize("word", ["Pain", "Education", "Caffeine", "Activity", "Counseling", "Stress"])
def test_a_bare_word_proposes_nothing(word: str, icd_file: Path) -> None:
    assert codes(f"Discharge diagnoses: 1. Asthma 2. {word}", icd_file) == ["J45.909"]
    assert codes(f"Hospital course: {word} was addressed.", icd_file) == []


def test_the_diagnosis_that_the_patient_came_for_is_the_principal_one(icd_file: Path) -> None:
    assessed = "ASSESSMENT\n1. Hypertension\n2. Gout"
    assert codes(assessed, icd_file) == ["I10", "M10.9"]
    assert codes(f"CHIEF COMPLAINT\nGout.\n{assessed}", icd_file) == ["M10.9", "I10"]


def test_what_stands_only_in_running_text_beside_a_list_is_a_candidate(icd_file: Path) -> None:
    text = "Hospital course: treated for cellulitis. Discharge diagnosis: asthma"
    assert codes(text, icd_file, "low") == ["L03.90"]
    assert "J45.909" in codes(text, icd_file, "high")
