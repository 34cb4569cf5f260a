"""The agent ``coding`` without a model: what it proposes, and what it says it could not judge."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hisbus import Case, ConfigError
from hisbus.testing import (
    NOW,
    AgentContract,
    make_case,
    make_chart,
    make_document,
    make_operation,
    reasons,
    run,
)
from hisbus_coding import Agent
from hisbus_coding.agent import CODES, VERIFICATION
from hisbus_coding.edits import EDITS
from hisbus_schemas import Assessment, Chart, ChartDiagnosis, Code, CodeSet

ALL = {CODES, VERIFICATION, *EDITS}
NOTE = "出院诊断：1.急性前壁心肌梗死 2.2型糖尿病 3.某种罕见怪病。既往史：否认肺结核，高血压病10年。"


def diagnosis(
    code: str, text: str = "", rank: int | None = None, status: str = "final", id: str = ""
) -> ChartDiagnosis:
    return ChartDiagnosis(id=id or f"dx-{code}", version="1", status=status, code=Code(code=code, text=text), rank=rank)


def a_chart(text: str = NOTE, **more: Any) -> Chart:
    documents = [make_document("C0049", text, id="d1", signed=NOW)] if text else []
    return make_chart(**({"documents": documents, "discharged": NOW} | more))


def assess(case: Case) -> Assessment:
    return asyncio.run(run(Agent(), case))


def code_set(answer: Assessment) -> CodeSet:
    (found,) = [one for one in answer.proposals if isinstance(one, CodeSet)]
    return found


class TestContract(AgentContract):
    agent = Agent()

    @pytest.fixture(autouse=True)
    def terms(self, made_up_file: Path) -> None:
        self.file = made_up_file

    def cases(self) -> Sequence[Case]:
        recorded = a_chart(diagnoses=[diagnosis("R07.4x1", "胸痛", 1), diagnosis("X99")])
        charts = [a_chart(), recorded, a_chart("出院诊断：肺栓塞待排"), make_chart()]
        return [make_case(chart, terms=self.file) for chart in charts]


def test_a_code_set_says_all_that_a_coder_needs(made_up_file: Path) -> None:
    proposed = code_set(assess(make_case(a_chart(), terms=made_up_file)))
    first, second = proposed.payload["codes"]
    (third,) = proposed.payload["candidates"]
    assert [one["code"] for one in (first, second, third)] == ["I21.0x1", "E11.9x1", "I10.x01"]
    assert [one["role"] for one in (first, second, third)] == ["principal", "other", "other"]
    assert [one["band"] for one in (first, second, third)] == ["high", "high", "low"]
    assert first["system"] == "MADE-UP" and first["version"] == "1"
    assert first["display"] == "急性前壁心肌梗死"
    assert first["rank"] == 1 and first["method"] == "title" and 0.9 <= first["confidence"] <= 1
    begin = NOTE.index("急性前壁")
    assert first["evidence"] == [
        {
            "document": "d1",
            "version": "d1-1",
            "section": 0,
            "begin": begin,
            "end": begin + 8,
            "quote": "急性前壁心肌梗死",
        }
    ]
    assert all(other["code"] != first["code"] for other in first["alternatives"])
    assert len(first["alternatives"]) <= 9
    assert third["confidence"] < second["confidence"], "it was named in passing"
    assert [one["text"] for one in proposed.payload["unmatched"]] == ["某种罕见怪病"]
    assert proposed.payload["edits"] == []
    assert proposed.state == "discharged"


def test_what_somebody_recorded_for_the_same_words_is_the_code_and_the_other_an_alternative(made_up_file: Path) -> None:
    chart = a_chart("出院诊断：1.重症肺炎", diagnoses=[diagnosis("J15.9x1", "重症肺炎", 1)])
    (only,) = code_set(assess(make_case(chart, terms=made_up_file))).payload["codes"]
    assert only["code"] == "J15.9x1" and "J18.8x1" in {one["code"] for one in only["alternatives"]}


def test_before_discharge_a_code_set_is_preliminary(made_up_file: Path) -> None:
    assert code_set(assess(make_case(a_chart(discharged=None), terms=made_up_file))).state == "running"


def test_what_is_wrong_with_the_proposed_codes_stands_in_the_set(made_up_file: Path) -> None:
    proposed = code_set(assess(make_case(a_chart("出院诊断：1.腹痛 2.急性阑尾炎"), terms=made_up_file)))
    assert [edit["id"] for edit in proposed.payload["edits"]] == ["symptom-with-cause"]
    assert "R10.4x1" in proposed.payload["edits"][0]["codes"]
    assert proposed.severity == "warning"


def test_a_diagnosis_that_its_table_does_not_allow_as_principal_goes_behind_one_that_it_does(
    made_up_file: Path,
) -> None:
    proposed = code_set(assess(make_case(a_chart("出院诊断：1.胸痛 2.肺炎"), terms=made_up_file)))
    assert [(one["code"], one["role"]) for one in proposed.payload["codes"]] == [
        ("J18.9x1", "principal"),
        ("R07.4x1", "other"),
    ]
    alone = code_set(assess(make_case(a_chart("出院诊断：胸痛"), terms=made_up_file)))
    assert [edit["id"] for edit in alone.payload["edits"]] == ["R51.grey"]


def test_a_present_on_admission_flag_needs_documentation_of_the_admission(made_up_file: Path) -> None:
    documents = [
        make_document("C0034", "初步诊断：肺炎", id="d0", signed=NOW),
        make_document("C0049", "出院诊断：1.肺炎 2.低钾血症", id="d1", signed=NOW),
    ]
    codes = code_set(assess(make_case(make_chart(documents=documents, discharged=NOW), terms=made_up_file)))
    assert {one["code"]: one["poa"] for one in codes.payload["codes"]} == {"J18.9x1": "Y", "E87.6x1": ""}


def test_a_complication_is_named_as_one(made_up_file: Path) -> None:
    proposed = code_set(assess(make_case(a_chart("出院诊断：胃癌。\n并发症：肠梗阻"), terms=made_up_file)))
    assert [(one["code"], one["role"]) for one in proposed.payload["codes"]] == [
        ("C16.9x1", "principal"),
        ("K56.6x1", "complication"),
    ]


def test_operations_are_coded_where_their_table_is_loaded(tmp_path: Path, load_table: Callable[..., None]) -> None:
    file = tmp_path / "terms.db"
    load_table(file, "MADE-UP", "编码,名称\nK35.9x1,急性阑尾炎\n")
    load_table(file, "OPERATIONS", "编码,名称\n47.0901,阑尾切除术\n47.0101,腹腔镜下阑尾切除术\n", "procedure")
    done = make_operation("op", start=NOW, end=NOW, text="腹腔镜阑尾切除术")
    begun = make_operation("op2", start=NOW, text="阑尾切除术")
    chart = a_chart("出院诊断：急性阑尾炎", procedures=[done, begun])
    codes = code_set(assess(make_case(chart, terms=file))).payload["codes"]
    assert [(one["code"], one["role"], one["system"]) for one in codes] == [
        ("K35.9x1", "principal", "MADE-UP"),
        ("47.0101", "operation", "OPERATIONS"),
    ]
    assert codes[1]["evidence"] == [{"path": "procedures/op", "value": "腹腔镜阑尾切除术"}]


def test_without_a_terminology_nothing_is_evaluated_and_the_reason_is_said(tmp_path: Path) -> None:
    for terms in (None, tmp_path / "none.db"):
        answer = assess(make_case(a_chart(), terms=terms))
        assert answer.evaluated == frozenset() and answer.proposals == []
        assert reasons(answer).keys() == ALL
        assert all("未加载术语表" in reason.text.zh and reason.text.en for reason in reasons(answer).values())


def test_of_several_tables_one_must_be_named(tmp_path: Path, load_table: Callable[..., None]) -> None:
    file = tmp_path / "terms.db"
    load_table(file, "ONE", "编码,名称\nA1,肺炎\n")
    load_table(file, "TWO", "编码,名称\nB1,肺炎\n")
    chart = a_chart("出院诊断：肺炎")
    assert reasons(assess(make_case(chart, terms=file))).keys() == ALL
    named = assess(make_case(chart, terms=file, settings={"diagnosis": "TWO"}))
    assert [one["code"] for one in code_set(named).payload["codes"]] == ["B1"]
    stranger = assess(make_case(chart, terms=file, settings={"diagnosis": "THREE"}))
    assert "THREE" in reasons(stranger)[CODES].text.zh


def test_a_rule_is_either_evaluated_or_not(made_up_file: Path) -> None:
    answer = assess(make_case(a_chart(), terms=made_up_file))
    assert reasons(answer).keys() == {"R52.sex", "R52.age", VERIFICATION}
    assert answer.evaluated == ALL - reasons(answer).keys()


@pytest.mark.parametrize("facts", [{"status": "cancelled"}, {"patient_class": "outpatient"}])
def test_a_stay_that_is_not_coded_is_evaluated_so_that_proposals_close(
    facts: dict[str, str], made_up_file: Path
) -> None:
    answer = assess(make_case(a_chart(**facts), terms=made_up_file))
    assert answer.evaluated == ALL and answer.proposals == []


def test_a_table_that_is_loaded_again_is_read_again(tmp_path: Path, load_table: Callable[..., None]) -> None:
    file = tmp_path / "terms.db"
    case = make_case(a_chart("出院诊断：肺炎"), terms=file)
    for code in ("A1", "B1"):
        load_table(file, "ONE", f"编码,名称\n{code},肺炎\n")
        assert [one["code"] for one in code_set(assess(case)).payload["codes"]] == [code]


def test_another_set_of_codes_has_another_fingerprint(made_up_file: Path) -> None:
    one, other = (a_chart(f"出院诊断：{text}") for text in ("肺炎", "哮喘"))
    stamps = {code_set(assess(make_case(chart, terms=made_up_file))).stamp() for chart in (one, other, one)}
    assert len(stamps) == 2


@pytest.mark.parametrize(
    "settings, named", [({"x": 1}, "x is not"), ({"diagnosis": 1}, "diagnosis"), ({"edits": 1}, "edits")]
)
def test_wrong_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        assess(make_case(a_chart(), settings=settings))
