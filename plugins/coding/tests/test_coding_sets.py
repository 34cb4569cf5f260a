"""A set says what it is for: the front page, or the settlement list; each is of its own table."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding import Agent
from hisbus_coding.rules import Rules
from hisbus_schemas import Chart, ChartDiagnosis, Code, CodeSet

CLINICAL = "编码,名称,灰码\nI21.000,急性前壁心肌梗死,\nI10.x00,高血压病,\nK35.800,急性阑尾炎,\nR07.400,胸痛,\n"
INSURANCE = "编码,名称,灰码\nI21.0,急性前壁心肌梗死,是\nI10.1,高血压病,\nI10.2,高血压,\n"
SETTINGS = {"diagnosis": "CLINICAL", "settlement": "INSURANCE"}
NOTE = "出院诊断：1.急性前壁心肌梗死 2.高血压病"


@pytest.fixture
def both(tmp_path: Path, load_table: Callable[..., None]) -> Path:
    file = tmp_path / "terms.db"
    load_table(file, "CLINICAL", CLINICAL)
    load_table(file, "INSURANCE", INSURANCE)
    return file


def chart_of(text: str, **more: Any) -> Chart:
    return make_chart(documents=[make_document("C0049", text, id="d1", signed=NOW)], discharged=NOW, **more)


def sets(chart: Chart, terms: Path, settings: dict[str, Any]) -> dict[str, CodeSet]:
    answer = asyncio.run(run(Agent(), make_case(chart, terms=terms, settings=settings)))
    return {one.payload["purpose"]: one for one in answer.proposals if isinstance(one, CodeSet)}


def coded(its: CodeSet) -> list[tuple[str, str, str]]:
    return [(one["system"], one["code"], one["role"]) for one in its.payload["codes"]]


def test_without_the_insurances_table_there_is_one_set_for_the_front_page(both: Path) -> None:
    its = sets(chart_of(NOTE), both, {"diagnosis": "CLINICAL"})
    assert its.keys() == {"front_page"}
    assert its["front_page"].message.zh.startswith("病案首页：")


def test_each_set_is_of_its_own_table_and_has_the_principal_that_this_allows(both: Path) -> None:
    its = sets(chart_of(NOTE), both, SETTINGS)
    assert coded(its["front_page"]) == [("CLINICAL", "I21.000", "principal"), ("CLINICAL", "I10.x00", "other")]
    assert coded(its["settlement"]) == [("INSURANCE", "I10.1", "principal"), ("INSURANCE", "I21.0", "other")]
    assert its["front_page"].key != its["settlement"].key
    assert its["settlement"].message.zh.startswith("医保结算清单：")


def test_a_crosswalk_that_the_hospital_loaded_carries_codes_over_where_it_leads_to_one(
    both: Path, load_crosswalk: Callable[..., None]
) -> None:
    load_crosswalk(both, "INSURANCE", ("I21.000", "I21.0"), ("I10.x00", "I10.1"), ("I10.x00", "I10.2"))
    its = sets(chart_of(NOTE), both, SETTINGS)["settlement"]
    assert coded(its) == [("INSURANCE", "I21.0", "principal")]
    assert its.payload["codes"][0]["method"] == "crosswalk"
    (left,) = its.payload["unmatched"]
    assert left["text"] == "I10.x00 高血压病"
    assert [one["code"] for one in left["alternatives"]] == ["I10.1", "I10.2"]


@pytest.mark.parametrize("text", ["现病史：无特殊。", "既往史：高血压病10年。", "出院诊断："])
def test_a_set_with_nothing_in_it_is_not_made(text: str, both: Path) -> None:
    assert sets(chart_of(text), both, SETTINGS) == {}


def recorded(code: str, system: str) -> Chart:
    entry = ChartDiagnosis(id="dx", version="1", status="final", code=Code(code=code, system=system), rank=1)
    return make_chart(diagnoses=[entry])


def judged(chart: Chart, terms: Path, **settings: Any) -> set[str]:
    answer = asyncio.run(run(Rules(), make_case(chart, terms=terms, settings=settings)))
    return {one.rule for one in answer.proposals}


def test_a_code_of_another_system_is_no_invalid_icd_10_cm_code(icd_file: Path) -> None:
    assert judged(recorded("K35.800", "I10"), icd_file) == set()
    assert judged(recorded("K35.800", ""), icd_file) == set(), "by its form it is one of the Chinese versions"
    assert judged(recorded("K35.800", "ICD-10-CM"), icd_file) == {"R51.invalid"}
    assert judged(recorded("K35.8", "I10C"), icd_file) == {"R51.invalid"}


def test_a_code_is_judged_by_the_table_of_its_own_system(both: Path) -> None:
    own = {"diagnosis": "CLINICAL", "systems": {"YB": "INSURANCE"}}
    assert judged(recorded("K35.800", "I10"), both, **own) == set()
    assert judged(recorded("K35.999", "I10"), both, **own) == {"R51.invalid"}
    assert judged(recorded("I21.0", "YB"), both, **own) == {"R51.grey"}, "grey in the insurance's table alone"
    assert judged(recorded("I21.000", "clinical"), both, **own) == set()
    assert judged(recorded("I21.999", "SNOMED"), both, **own) == set(), "that is not loaded"


def test_a_recorded_code_of_another_system_is_not_taken_for_one_of_the_table(both: Path) -> None:
    settings = {"diagnosis": "CLINICAL"}
    assert sets(recorded("K35.800", "SOME-OTHER"), both, settings) == {}
    assert [code for _, code, _ in coded(sets(recorded("K35.800", ""), both, settings)["front_page"])] == ["K35.800"]
