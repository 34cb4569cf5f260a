"""Questions to the clinician: asked where documentation is short, compliant, and silent otherwise."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding.query import INDICATORS, RULE
from hisbus_coding.rules import Rules
from hisbus_schemas import ChartDiagnosis, ChartReading, Code, Finding

PAYMENT = re.compile(
    r"pay|reimburs|cost|revenue|DRG|DIP|severity of illness|quality score|支付|报销|费用|医保|结算|分组|权重|盈亏",
    re.IGNORECASE,
)


def reading(code: str, value: str, unit: str, **more: Any) -> ChartReading:
    item = Code(code=code, text="", system="LN")
    facts = {"id": f"r-{code}-{value}", "version": "1", "report": "R", "service": item, "item": item}
    return ChartReading(**(facts | {"values": [value], "unit": unit, "status": "final"} | more))


def asked(file: Path, text: str, *readings: ChartReading, **chart: Any) -> list[Finding]:
    documents = [make_document("C0049", text, signed=NOW)] if text else []
    made = make_chart(documents=documents, results=list(readings), **chart)
    answer = asyncio.run(run(Rules(), make_case(made, terms=file)))
    assert RULE in answer.evaluated
    return [one for one in answer.proposals if isinstance(one, Finding) and one.rule == RULE]


OUTSIDE = {
    "potassium-low": ("2823-3", "2.9", "mmol/L", "3.6"),
    "potassium-high": ("2823-3", "6.4", "mmol/L", "5.1"),
    "sodium-low": ("2951-2", "118", "mmol/L", "137"),
    "sodium-high": ("2951-2", "158", "mmol/L", "142"),
    "haemoglobin-low": ("718-7", "62", "g/L", "131"),
    "albumin-low": ("1751-7", "21", "g/L", "40"),
    "platelets-low": ("777-3", "34", "10*9/L", "210"),
    "creatinine-high": ("2160-0", "412", "umol/L", "80"),
    "troponin-high": ("89579-7", "2100", "ng/L", "10"),
    "oxygen-low": ("2703-7", "51", "mmHg", "88"),
}


def test_every_indicator_has_a_case() -> None:
    assert OUTSIDE.keys() == {indicator.id for indicator in INDICATORS}


@pytest.mark.parametrize("indicator", OUTSIDE)
def test_an_indicator_without_a_diagnosis_is_asked_about(indicator: str, icd_file: Path) -> None:
    code, out, unit, normal = OUTSIDE[indicator]
    (query,) = asked(icd_file, "", reading(code, out, unit))
    assert query.key == f"R58:short:{indicator}"
    assert asked(icd_file, "", reading(code, normal, unit)) == []
    assert asked(icd_file, "", reading(code, out, "furlong")) == []
    assert asked(icd_file, "", reading(code, out, unit, status="withdrawn", withdrawn=True)) == []


def test_an_indicator_whose_diagnosis_is_documented_is_not(icd_file: Path) -> None:
    low = reading("2823-3", "2.9", "mmol/L")
    assert asked(icd_file, "Discharge diagnosis: hypokalemia", low) == []
    assert len(asked(icd_file, "HPI: no hypokalemia.", low)) == 1


def test_a_diagnosis_that_no_indicator_shows_is_asked_about(icd_file: Path) -> None:
    note = "Discharge diagnosis: hypokalemia"
    (query,) = asked(icd_file, note, reading("2823-3", "4.1", "mmol/L"))
    assert query.key == "R58:unsupported:E87.6"
    assert query.evidence[0].quote == "hypokalemia"
    assert asked(icd_file, note) == [], "without a reading nothing speaks against it"
    mild = [reading("2823-3", "3.4", "mmol/L", flags=["L"]), reading("2823-3", "3.9", "mmol/L")]
    assert asked(icd_file, note, *mild) == [], "the laboratory calls one of them low"


def test_a_diagnosis_that_is_written_and_recorded_is_asked_about_once(icd_file: Path) -> None:
    recorded = ChartDiagnosis(id="dx", version="1", status="final", code=Code(code="E87.6", text="Hypokalemia"), rank=1)
    normal = reading("2823-3", "4.1", "mmol/L")
    assert len(asked(icd_file, "Discharge diagnosis: hypokalemia", normal, diagnoses=[recorded])) == 1
    twice = "Discharge diagnoses: 1. Suspected gout 2. Gout?"
    (query,) = asked(icd_file, twice, discharged=NOW)
    assert "gout" not in query.key.casefold()


def test_an_uncertain_discharge_diagnosis_is_asked_about_once_the_patient_has_left(icd_file: Path) -> None:
    note = "Discharge diagnoses: 1. Chest pain 2. Possible pulmonary embolism"
    (query,) = asked(icd_file, note, discharged=NOW)
    assert query.evidence[0].quote == "pulmonary embolism"
    assert asked(icd_file, note) == []
    assert asked(icd_file, "Discharge diagnoses: 1. Pulmonary embolism", discharged=NOW) == []


def test_a_question_is_compliant(icd_file: Path) -> None:
    readings = [reading(code, out, unit) for code, out, unit, _ in OUTSIDE.values()]
    unsupported = asked(icd_file, "Discharge diagnosis: hyperkalemia", reading("2823-3", "4.1", "mmol/L"))
    uncertain = asked(icd_file, "Discharge diagnosis: suspected gout", discharged=NOW)
    for query in [*asked(icd_file, "", *readings), *unsupported, *uncertain]:
        content = query.payload["query"]
        options = content["options"]
        said = [content["draft"], *content["indicators"], *options, query.payload["title"]]
        assert not PAYMENT.search(" ".join(text for one in said for text in one.values()))
        assert len(options) >= 4
        assert options[-2]["en"].startswith("Other") and options[-1]["en"] == "Unable to determine"
        assert options[-2]["zh"].startswith("其他") and options[-1]["zh"] == "无法判断"
        assert query.evidence and query.reads
        assert content["indicators"] or query.evidence[0].quote
        assert options[0]["en"] not in content["draft"]["en"], "the question names no answer"
        assert query.points == 0


def test_the_farthest_readings_are_cited(icd_file: Path) -> None:
    values = ["3.1", "2.4", "3.2", "2.9"]
    (query,) = asked(icd_file, "", *[reading("2823-3", value, "mmol/L") for value in values])
    assert [item.value for item in query.evidence] == ["2.4", "2.9", "3.1"]


def test_units_are_converted(icd_file: Path) -> None:
    assert len(asked(icd_file, "", reading("718-7", "6.2", "g/dL"))) == 1
    assert asked(icd_file, "", reading("718-7", "13.1", "g/dL")) == []
