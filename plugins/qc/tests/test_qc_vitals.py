"""R27: a vital sign that cannot be."""

from typing import Any

import pytest

from hisbus_schemas import Code

Stay = Any

TEMPERATURE, PULSE, RESPIRATION = "8310-5", "8867-4", "9279-1"
SYSTOLIC, DIASTOLIC, SATURATION = "8480-6", "8462-4", "59408-5"


@pytest.mark.parametrize(
    "loinc, value",
    [
        (TEMPERATURE, "34"),
        (TEMPERATURE, "36.8"),
        (TEMPERATURE, "42"),
        (TEMPERATURE, "42.0"),
        (PULSE, "20"),
        (PULSE, "250"),
        (RESPIRATION, "5"),
        (RESPIRATION, "60"),
        (SYSTOLIC, "40"),
        (SYSTOLIC, "280"),
        (DIASTOLIC, "20"),
        (DIASTOLIC, "180"),
        (SATURATION, "30"),
        (SATURATION, "100"),
    ],
)
def test_the_ends_of_a_range_can_be(stay: Stay, loinc: str, value: str) -> None:
    stay.reading(loinc, value)
    assert stay.says("R27") == []


@pytest.mark.parametrize(
    "loinc, value",
    [
        (TEMPERATURE, "33.9"),
        (TEMPERATURE, "42.1"),
        (TEMPERATURE, "0"),
        (PULSE, "19"),
        (PULSE, "251"),
        (PULSE, "0"),
        (PULSE, "-72"),
        (RESPIRATION, "4"),
        (RESPIRATION, "61"),
        (SYSTOLIC, "39"),
        (SYSTOLIC, "281"),
        (DIASTOLIC, "19"),
        (DIASTOLIC, "181"),
        (SATURATION, "29"),
        (SATURATION, "101"),
        (SATURATION, " 101 "),
    ],
)
def test_what_lies_outside_cannot_be(stay: Stay, loinc: str, value: str) -> None:
    stay.reading(loinc, value)
    assert stay.says("R27") == ["found"]


def test_zero_cannot_be_whatever_the_range(stay: Stay) -> None:
    stay.reading(TEMPERATURE, "0.0")
    assert stay.says("R27", settings={"rules": {"R27": {"temperature": [-5, 42]}}}) == ["found"]


def test_a_reading_that_was_taken_back_or_corrected_is_not_judged(stay: Stay) -> None:
    stay.reading(PULSE, "0", withdrawn=True)
    stay.reading(PULSE, "76", status="corrected")
    assert stay.says("R27") == []


@pytest.mark.parametrize("value", ["", "拒测", "<30", "NaN", "Infinity", "1E999999", "36,8", "٣"])
def test_what_is_no_number_is_not_judged(stay: Stay, value: str) -> None:
    stay.reading(TEMPERATURE, value)
    assert stay.says("R27") == []


def test_a_vital_sign_among_laboratory_values_is_judged_too(stay: Stay) -> None:
    stay.results.append(stay.reading(PULSE, "0"))
    stay.vitals.clear()
    (finding,) = stay.assess().proposals
    assert [(item.path, item.value) for item in finding.evidence] == [("results/V1", "0")]


def test_a_wards_own_codes_are_judged_where_the_hospital_names_them(stay: Stay) -> None:
    stay.reading("TEMP", "43")
    assert stay.says("R27") == []
    assert stay.says("R27", settings={"rules": {"R27": {"temperature_codes": ["8310-5", "TEMP"]}}}) == ["found"]


def test_another_observation_is_no_vital_sign(stay: Stay) -> None:
    stay.reading("2160-0", "0")
    assert stay.says("R27") == []


@pytest.mark.parametrize(
    "loinc, value, unit, said",
    [
        (TEMPERATURE, "98.6", "[degF]", []),
        (TEMPERATURE, "107.6", "[degF]", []),
        (TEMPERATURE, "107.7", "[degF]", ["found"]),
        (TEMPERATURE, "0", "[degF]", ["found"]),
        (SYSTOLIC, "16", "kPa", []),
        (SYSTOLIC, "5", "kPa", ["found"]),
        (SYSTOLIC, "16", "mmHg", ["found"]),
    ],
)
def test_other_units_are_converted(stay: Stay, loinc: str, value: str, unit: str, said: list[str]) -> None:
    stay.reading(loinc, value, unit=unit)
    assert stay.says("R27") == said


def test_each_reading_is_a_finding_of_its_own_and_only_one(stay: Stay) -> None:
    stay.reading(PULSE, "0", "300")
    stay.reading(PULSE, "78", "0")
    stay.reading(PULSE, "78")
    found = stay.assess().proposals
    assert [(item.key, item.subject) for item in found] == [("R27:V1", "V1"), ("R27:V2", "V2")]


def test_the_evidence_is_the_reading_with_its_value(stay: Stay) -> None:
    reading = stay.reading(PULSE, "0", unit="/min")
    (finding,) = stay.assess().proposals
    assert [(item.path, item.value) for item in finding.evidence] == [("vitals/V1", "0")]
    assert finding.reads == [reading.ref]
    assert finding.message.zh == "脉搏记录为0 /min，超出合理范围（20～250 /min），疑似录入错误，请核实。"
    assert finding.message.en == "Pulse is recorded as 0 /min, outside 20 to 250 /min: perhaps a slip. Please check."
    assert (finding.severity, finding.points, finding.due) == ("warning", 1, None)


def test_another_impossible_value_is_another_fingerprint(stay: Stay) -> None:
    stay.reading(PULSE, "0")
    (before,) = stay.assess().proposals
    stay.vitals.clear()
    stay.reading(PULSE, "300")
    (after,) = stay.assess().proposals
    assert before.key == after.key
    assert before.stamp() != after.stamp()


def test_a_vital_sign_is_known_by_its_code_in_either_place(stay: Stay) -> None:
    stay.reading("", "42.9", item=Code(code="TW", system="L", alternate_code=TEMPERATURE, alternate_system="LN"))
    assert stay.says("R27") == ["found"]
