"""Each edit has a case that trips it and one, close by, that does not."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hisbus import ConfigError
from hisbus.terms import Terms
from hisbus.testing import NOW, make_chart, make_document, make_patient
from hisbus_coding.codes import Coded
from hisbus_coding.edits import EDITS, Claim, configured, judge
from hisbus_coding.edits.run import CHECKS
from hisbus_coding.retrieval import Retrieval
from hisbus_schemas import Chart

NATIONAL = """编码,名称,灰码,性别,最小年龄,最大年龄
I21.900,急性心肌梗死,否,,,
R07.400,胸痛,是,,,
I21.x,心肌梗死类目,否,,,
G63.200*,糖尿病性多发性神经病,否,,,
N40.x00,前列腺增生,否,男,,
N99.900,成人病,否,,18,
"""

Judged = Callable[..., set[str]]


@pytest.fixture(scope="module")
def national_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("national") / "terms.db"


@pytest.fixture
def national(national_file: Path, load_table: Callable[..., None]) -> Terms:
    if not national_file.exists():
        load_table(national_file, "NATIONAL", NATIONAL)
    return Terms(national_file)


def a_chart(
    sex: str = "female", born: date = date(1970, 3, 1), fields: dict[str, str] | None = None, **more: Any
) -> Chart:
    page = [make_document("C0032", fields=fields, signed=NOW)] if fields is not None else []
    return make_chart(patient=make_patient(sex=sex, birth_date=born), documents=page, **more)


def claim(terms: Terms, system: str, codes: str, chart: Chart) -> Claim:
    release = terms.release(system)
    assert release is not None
    retrieval = Retrieval(terms, release)
    coded = [
        Coded(
            code=code.rstrip("!"),
            display="",
            concept=retrieval.find(code.rstrip("!")),
            role="complication" if code.endswith("!") else "principal" if rank == 1 else "other",
            rank=rank,
        )
        for rank, code in enumerate(codes.split(), 1)
    ]
    return Claim(coded, chart, terms, release)


def trips(edit: str, its: Claim) -> bool:
    hits, _ = judge({edit: EDITS[edit]}, its)
    assert {hit.edit.id for hit in hits} <= {edit}
    assert all(hit.message.zh and hit.message.en and "{" not in hit.message.zh + hit.message.en for hit in hits)
    return bool(hits)


OF_CODES = [
    # edit, codes that trip it, codes that do not
    ("R51.invalid", "I21.9 E11", "I21.9 E11.9"),
    ("R51.invalid", "I21.99", "I21.9"),
    ("R51.manifestation", "G63", "E11.9"),
    ("R51.manifestation", "I39", "I33.0 I39"),
    ("R51.external", "W19.XXXA S72.001A", "S72.001A W19.XXXA"),
    ("R51.unacceptable", "Z37.0", "Z51.11"),
    ("R51.unacceptable", "B95.61", "A41.01"),
    ("R51.first", "C50.911 Z51.11", "Z51.11 C50.911"),
    ("R51.first", "D64.9 O99.013", "O99.013 D64.9"),
    ("R51.complication", "I26.99! C18.9", "C18.9 I26.99!"),
    ("R51.symptom", "R07.9 I21.9", "I21.9 R07.9"),
    ("R51.symptom", "R07.9 I21.9", "R07.9"),
    ("symptom-with-cause", "J18.9 R05.9", "J18.9 R42"),
    ("symptom-with-cause", "K35.80 R10.9", "R10.9"),
    ("seventh-character", "S72.001", "S72.001A"),
    ("seventh-character", "S72.001Z", "S72.001D"),
    ("seventh-character", "W19", "W19.XXXA"),
    ("excludes1", "J18.9 J84.9", "J18.9 I10"),
    ("excludes1", "E10.9 E11.9", "E11.9 I10"),
    ("code-first", "G63 I10", "E85.1 G63"),
    ("use-additional", "N39.0", "N39.0 B96.20"),
    ("R54.outcome", "O80", "O80 Z37.0"),
    ("R54.outside", "I10 Z37.0", "O80 Z37.0"),
    ("R54.outside", "O03.9 O26.90 Z37.0", "O26.90 Z37.0"),
    ("R56.duplicate", "I10 E11.9 I10", "I10 E11.9"),
]


@pytest.mark.parametrize("edit, wrong, right", OF_CODES)
def test_an_edit_of_codes_trips_on_one_set_and_not_on_another(edit: str, wrong: str, right: str, icd: Terms) -> None:
    assert trips(edit, claim(icd, "ICD-10-CM", wrong, a_chart()))
    assert not trips(edit, claim(icd, "ICD-10-CM", right, a_chart()))


OF_PATIENTS = [
    # edit, code, sex and birth date that trip it, those that do not; admitted on 2 March 2026
    ("R52.sex", "N40.0", ("female", date(1950, 1, 1)), ("male", date(1950, 1, 1))),
    ("R52.sex", "C53.9", ("male", date(1970, 1, 1)), ("female", date(1970, 1, 1))),
    ("R52.age", "P12.0", ("male", date(2026, 2, 1)), ("male", date(2026, 2, 2))),  # 29 and 28 days
    ("R52.age", "O80", ("female", date(2017, 3, 3)), ("female", date(2017, 3, 1))),  # 8 and 9 years
    ("R52.age", "O80", ("female", date(1961, 3, 1)), ("female", date(1961, 3, 4))),  # 65 and 64 years
    ("R52.age", "I70.0", ("male", date(2011, 3, 4)), ("male", date(2011, 2, 27))),  # 14 and 15 years
]


@pytest.mark.parametrize("edit, code, wrong, right", OF_PATIENTS)
def test_an_edit_of_sex_and_age_trips_on_one_patient_and_not_on_another(
    edit: str, code: str, wrong: tuple[str, date], right: tuple[str, date], icd: Terms
) -> None:
    assert trips(edit, claim(icd, "ICD-10-CM", code, a_chart(*wrong)))
    assert not trips(edit, claim(icd, "ICD-10-CM", code, a_chart(*right)))


COMA = {name: "0" for name in EDITS["R55.coma"].data["fields"]}
OF_PAGES: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    # edit, codes, fields of the front page that trip it, those that do not
    ("R53.behaviour", "C50.911", {"FP.MORPHOLOGY": "M8500/2"}, {"FP.MORPHOLOGY": "M8500/3"}),
    ("R53.behaviour", "D05.11", {"FP.MORPHOLOGY": "M8500/3"}, {"FP.MORPHOLOGY": "M8500/2"}),
    ("R53.behaviour", "C79.51", {"FP.MORPHOLOGY": "M8140/3"}, {"FP.MORPHOLOGY": "M8140/6"}),
    ("R53.behaviour", "D25.9", {"FP.MORPHOLOGY": "M8890/1"}, {"FP.MORPHOLOGY": "M8890/0"}),
    ("R53.behaviour", "D48.9", {"FP.MORPHOLOGY": "M8000/0"}, {"FP.MORPHOLOGY": "M8000/1"}),
    ("R55.coma", "S06.0X0A", {}, COMA),
    ("R55.coma", "S06.0X0A", COMA | {"FP.COMA_BEFORE_HOURS": "25"}, COMA | {"FP.COMA_BEFORE_HOURS": "24"}),
    ("R55.coma", "S06.0X0A", COMA | {"FP.COMA_AFTER_MINUTES": "61"}, COMA | {"FP.COMA_AFTER_MINUTES": "60"}),
]


@pytest.mark.parametrize("edit, codes, wrong, right", OF_PAGES)
def test_an_edit_of_the_front_page_trips_on_one_page_and_not_on_another(
    edit: str, codes: str, wrong: dict[str, str], right: dict[str, str], icd: Terms
) -> None:
    assert trips(edit, claim(icd, "ICD-10-CM", codes, a_chart(fields=wrong | {"FP.SEX": "2"})))
    assert not trips(edit, claim(icd, "ICD-10-CM", codes, a_chart(fields=right | {"FP.SEX": "2"})))


def test_a_loaded_table_names_grey_codes_manifestations_and_limits(national: Terms) -> None:
    assert trips("R51.grey", claim(national, "NATIONAL", "R07.400", a_chart()))
    assert not trips("R51.grey", claim(national, "NATIONAL", "I21.900 R07.400", a_chart()))
    assert trips("R51.manifestation", claim(national, "NATIONAL", "G63.200*", a_chart()))
    assert trips("R52.age", claim(national, "NATIONAL", "N99.900", a_chart(born=date(2010, 1, 1))))
    assert not trips("R52.age", claim(national, "NATIONAL", "N99.900", a_chart(born=date(2000, 1, 1))))


def test_every_edit_is_tripped_by_a_test() -> None:
    tabled = {row[0] for row in [*OF_CODES, *OF_PATIENTS, *OF_PAGES]}
    assert tabled | {"R51.grey"} == EDITS.keys() == CHECKS.keys()


def test_what_cannot_be_judged_is_named_with_its_reason(icd: Terms) -> None:
    unknown = make_chart(patient=make_patient())
    hits, unjudged = judge(EDITS, claim(icd, "ICD-10-CM", "I10", unknown))
    assert unjudged.keys() == {"R52.sex", "R52.age"}
    assert all(reason.zh and reason.en for reason in unjudged.values())
    assert not hits


def test_a_hospital_changes_an_edit_or_turns_it_off(icd: Terms) -> None:
    its = claim(icd, "ICD-10-CM", "P12.0", a_chart(born=date(2026, 2, 1)))
    later = configured({"R52.age": {"newborn_days": 29}})
    assert [hit.edit.id for hit in judge({"R52.age": EDITS["R52.age"]}, its)[0]] == ["R52.age"]
    assert judge({"R52.age": later["R52.age"]}, its)[0] == []
    assert "R56.duplicate" not in configured({"R56.duplicate": {"enabled": False}})


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"R99": {}}, "edits.R99"),
        ({"R52.age": 3}, "edits.R52.age"),
        ({"R52.age": {"newborn_weeks": 4}}, "edits.R52.age.newborn_weeks"),
        ({"R52.age": {"newborn_days": "28"}}, "edits.R52.age.newborn_days"),
        ({"R52.age": {"newborn": [1]}}, "edits.R52.age.newborn"),
        ({"R52.age": {"enabled": "no"}}, "edits.R52.age.enabled"),
        (["R52.age"], "edits"),
    ],
)
def test_wrong_settings_of_an_edit_are_named(changes: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        configured(changes)
