"""The agent ``coding-rules``: what is wrong with recorded codes, as far as only a loaded table can tell."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from hisbus import Case, RetryLater
from hisbus.testing import (
    NOW,
    AgentContract,
    FakeLLM,
    make_case,
    make_chart,
    make_document,
    make_patient,
    reasons,
    run,
)
from hisbus_coding.edits import EDITS
from hisbus_coding.rules import Rules
from hisbus_schemas import Chart, ChartDiagnosis, Code, Finding


def diagnosis(code: str, text: str = "", rank: int | None = None) -> ChartDiagnosis:
    return ChartDiagnosis(id=f"dx-{code}", version="1", status="final", code=Code(code=code, text=text), rank=rank)


def recorded(*codes: str, sex: str = "female", born: date = date(1960, 1, 1)) -> Chart:
    patient = make_patient(sex=sex, birth_date=born)
    return make_chart(diagnoses=[diagnosis(code, "", rank) for rank, code in enumerate(codes, 1)], patient=patient)


def found(chart: Chart, terms: Path) -> dict[str, Finding]:
    answer = asyncio.run(run(Rules(), make_case(chart, terms=terms)))
    return {one.key: one for one in answer.proposals if isinstance(one, Finding)}


class TestContract(AgentContract):
    agent = Rules()

    @pytest.fixture(autouse=True)
    def terms(self, made_up_file: Path) -> None:
        self.file = made_up_file

    def cases(self) -> Sequence[Case]:
        note = make_document("C0049", "出院诊断：肺栓塞待排", signed=NOW)
        charts = [recorded("R07.4x1", "I21.9x1", "X99"), make_chart(documents=[note], discharged=NOW)]
        return [make_case(chart, terms=self.file) for chart in charts]


def test_what_is_wrong_with_recorded_codes_is_a_finding_each(made_up_file: Path) -> None:
    its = found(recorded("R07.4x1", "I21.9x1", "X99"), made_up_file)
    assert {one.rule for one in its.values()} == {"R51.invalid", "R51.grey", "R51.symptom", "symptom-with-cause"}
    invalid = its["R51.invalid:X99"]
    assert invalid.evidence[0].path == "diagnoses/dx-X99" and invalid.evidence[0].value == "X99"
    assert invalid.reads == ["dx-X99@1"]


def test_what_the_front_page_shows_by_itself_is_left_to_quality_control(icd_file: Path) -> None:
    assert found(recorded("W19.XXXA", "S72.001A"), icd_file) == {}, "R51: an external cause"
    assert found(recorded("Z37.0", "I10", "I10"), icd_file) == {}, "R51, R54 and R56"
    assert found(recorded("N42.1", sex="female"), icd_file) == {}, "R52"
    assert found(recorded("I39"), icd_file).keys() == {"code-first:I39"}, "R51 names the manifestation"
    assert found(recorded("not a code", "I10"), icd_file) == {}, "R51 names the form of a principal diagnosis"
    assert found(recorded("I10", "not a code"), icd_file).keys() == {"R51.invalid:not a code"}


def test_what_only_the_table_knows_is_found(icd_file: Path) -> None:
    assert "R51.invalid:I21" in found(recorded("I21"), icd_file)
    assert "R51.manifestation:G63" in found(recorded("G63"), icd_file)
    assert "excludes1:E10.9:E11.9" in found(recorded("E10.9", "E11.9"), icd_file)


def test_it_goes_on_while_the_model_is_down(made_up_file: Path) -> None:
    case = make_case(recorded("X99"), terms=made_up_file, llm=FakeLLM(RetryLater(code="llm")))
    assert [one.key for one in asyncio.run(run(Rules(), case)).proposals] == ["R51.invalid:X99"]


def test_only_those_edits_count_as_evaluated_that_judge_what_is_recorded(made_up_file: Path) -> None:
    answer = asyncio.run(run(Rules(), make_case(recorded("X99"), terms=made_up_file)))
    assert answer.evaluated == {"R58", *(id for id, edit in EDITS.items() if edit.recorded)}
    unknown = asyncio.run(run(Rules(), make_case(make_chart(), terms=made_up_file)))
    assert reasons(unknown).keys() == {"R52.sex", "R52.age"}


def test_without_a_table_nothing_is_evaluated_and_the_reason_is_said() -> None:
    answer = asyncio.run(run(Rules(), make_case(recorded("X99"))))
    assert answer.proposals == [] and answer.evaluated == frozenset()
    assert all("hisbus terms load" in reason.text.zh for reason in reasons(answer).values())
