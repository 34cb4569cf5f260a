"""R48: the front page against itself."""

from datetime import date
from typing import Any

import pytest

from hisbus_qc.frontpage import years

Stay = Any

CLEAN = {
    "FP.ID_CARD": "110101196005041236",  # 17th digit 3: male; digits 7 to 14: 4 May 1960
    "FP.SEX": "1",
    "FP.BIRTH_DATE": "19600504",
    "FP.AGE": "65",
}


def page(stay: Stay, *without: str, **fields: str) -> Any:
    changed = {f"FP.{name}": value for name, value in fields.items()}
    kept = {name: value for name, value in (CLEAN | changed).items() if name not in without}
    return stay.document("C0032", signed="2026-03-04 10:30:00", sections=[], fields=kept)


def test_a_page_that_agrees_with_itself_is_clean(stay: Stay) -> None:
    page(stay)
    assert stay.says("R48") == []


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"SEX": "2"}, "身份证号第17位与性别不符"),
        ({"ID_CARD": "110101196005041226"}, "身份证号第17位与性别不符"),
        ({"ID_CARD": "110101196005051236"}, "身份证号第7至14位与出生日期不符"),
        ({"AGE": "64"}, "年龄与出生日期不符"),
        ({"AGE": "66"}, "年龄与出生日期不符"),
    ],
)
def test_what_disagrees_is_named(stay: Stay, fields: dict[str, str], words: str) -> None:
    page(stay, **fields)
    (finding,) = stay.assess().proposals
    assert (finding.rule, finding.key, finding.subject) == ("R48", "R48:D1", "D1")
    assert words in finding.message.zh
    assert finding.message.zh.count("不符") == 1


def test_one_finding_names_all_that_disagrees_without_the_patients_data(stay: Stay) -> None:
    document = page(stay, SEX="2", BIRTH_DATE="19610504")
    (finding,) = stay.assess().proposals
    assert finding.message.zh.count("不符") == 3
    assert "17th digit" in finding.message.en
    assert "7 to 14" in finding.message.en
    assert "the age" in finding.message.en
    assert not any(value in finding.message.zh + finding.message.en for value in ("110101", "1961", "64"))
    assert [(item.path, item.value) for item in finding.evidence] == [
        ("documents/D1/fields/FP.AGE", "65"),
        ("documents/D1/fields/FP.BIRTH_DATE", "19610504"),
        ("documents/D1/fields/FP.ID_CARD", "110101196005041236"),
        ("documents/D1/fields/FP.SEX", "2"),
        ("admitted", "2026-03-02T08:30:00+08:00"),
    ]
    assert finding.reads == [document.ref, "stay.admitted@2026-03-02T08:30:00+08:00"]
    assert (finding.severity, finding.points) == ("warning", 1)


def test_a_card_that_ends_in_x_is_read_too(stay: Stay) -> None:
    page(stay, ID_CARD="11010119600504122X")
    page(stay, ID_CARD="11010119600504123x")
    assert [item.key for item in stay.assess().proposals] == ["R48:D1"]


@pytest.mark.parametrize("field", ["FP.ID_CARD", "FP.SEX", "FP.AGE"])
def test_a_missing_field_is_not_judged(stay: Stay, field: str) -> None:
    page(stay, field)
    assert stay.says("R48") == []


def test_without_a_birth_date_only_the_sex_is_judged(stay: Stay) -> None:
    page(stay, "FP.BIRTH_DATE", AGE="3", SEX="2")
    (finding,) = stay.assess().proposals
    assert finding.message.zh.count("不符") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"ID_CARD": "110101600504122"},
        {"ID_CARD": "1101011960050412260"},
        {"ID_CARD": "A10101196005041226"},
        {"ID_CARD": "护照"},
        {"SEX": "9"},
        {"SEX": "M"},
        {"AGE": "七十"},
        {"AGE": "3天"},
        {"AGE": ""},
        {"BIRTH_DATE": "1961"},
    ],
)
def test_a_malformed_field_is_not_judged_here(stay: Stay, fields: dict[str, str]) -> None:
    page(stay, **fields)
    assert stay.says("R48") == []


def test_a_birth_date_that_is_no_day_has_no_age(stay: Stay) -> None:
    page(stay, "FP.ID_CARD", BIRTH_DATE="19600231")
    assert stay.says("R48") == []


@pytest.mark.parametrize("age, said", [("65", ["found"]), ("66", [])])
def test_the_age_is_that_of_the_day_of_admission_where_the_hospital_lies(stay: Stay, age: str, said: list[str]) -> None:
    born_on_3_march = {"FP.BIRTH_DATE": "19600303", "FP.AGE": age}
    # 2 March 16:30 UTC is 3 March 00:30 in Shanghai: the birthday.
    stay.facts["admitted"] = {"at": "2026-03-02T16:30:00Z", "offset": 0}
    stay.document("C0032", signed="2026-03-04 10:30:00", fields=born_on_3_march)
    assert stay.says("R48") == said
    stay.facts["timezone"] = "UTC"
    assert stay.says("R48") == ([] if said else ["found"])


def test_without_an_admission_no_age_is_judged(stay: Stay) -> None:
    stay.facts["admitted"] = None
    page(stay, AGE="3")
    assert stay.says("R48") == []


@pytest.mark.parametrize(
    "born, day, age",
    [
        (date(1960, 5, 4), date(2026, 5, 3), 65),
        (date(1960, 5, 4), date(2026, 5, 4), 66),
        (date(2024, 2, 29), date(2025, 2, 28), 0),
        (date(2024, 2, 29), date(2025, 3, 1), 1),
        (date(2026, 3, 2), date(2026, 3, 2), 0),
        (date(2027, 3, 2), date(2026, 3, 2), -1),
    ],
)
def test_years_are_whole_and_turn_on_the_birthday(born: date, day: date, age: int) -> None:
    assert years(born, day) == age


@pytest.mark.parametrize("status", ["replaced", "withdrawn"])
def test_a_page_that_was_replaced_or_withdrawn_is_not_judged(stay: Stay, status: str) -> None:
    page(stay, SEX="2")
    wrong = stay.documents.pop()
    stay.documents.append(wrong.model_copy(update={"status": status}))
    page(stay)
    assert stay.says("R48") == []


def test_fields_of_another_document_are_no_front_page(stay: Stay) -> None:
    stay.document("C0034", signed="2026-03-02 09:00:00", fields=CLEAN | {"FP.SEX": "2"})
    assert stay.says("R48") == []
