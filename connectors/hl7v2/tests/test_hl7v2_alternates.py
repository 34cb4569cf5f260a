"""What is named by its text or its alternate alone, what stands twice, and whose a control code is."""

from typing import Any

import pytest

from hisbus import Translation
from hisbus_schemas import Allergy, Diagnoses, Document, Order, Procedure, Report

HEAD = (
    r"MSH|^~\&|HIS|HOSP|HISBUS|QC|20260302100000||{}|1|P|2.5",
    "EVN||20260302100000",
    "PID|1||P1^^^HOSP^MR",
    "PV1|1|I|W1||||||||||||||||V1^^^HOSP",
)


def of(translate: Any, type: str, *lines: str) -> Translation:
    translation: Translation = translate(HEAD[0].format(type), *HEAD[1:], *lines)
    return translation


def orders(translation: Translation) -> list[tuple[str, str, str]]:
    data = [fact.data for fact in translation.facts if isinstance(fact.data, Order)]
    return [(one.key, one.action, one.what.text or one.what.code) for one in data]


def test_a_control_code_is_of_what_stands_below_it_and_never_of_what_stands_before(translate: Any) -> None:
    said = of(translate, "ORM^O01", "ORC|DC|N1", "OBR|1|N1||A", "OBR|2|N3||B", "ORC|NW|N2", "RXO|^Aspirin")
    assert orders(said) == [("N1", "stopped", "A"), ("N3", "stopped", "B"), ("N2", "placed", "Aspirin")]


@pytest.mark.parametrize("type", ["OUL^R22", "OUL^R23"])
def test_below_a_specimen_the_control_code_stands_behind_its_request(translate: Any, type: str) -> None:
    said = of(translate, type, "SPM|1", "OBR|1||F1|A", "ORC|RE", "OBX|1|NM|K||4.1", "OBR|2||F2|B", "OBX|1|NM|NA||140")
    reports = [fact.data for fact in said.facts if isinstance(fact.data, Report)]
    assert [(one.number, [reading.item.code for reading in one.readings]) for one in reports] == [
        ("F1", ["K"]),
        ("F2", ["NA"]),
    ]


@pytest.mark.parametrize(
    "sent, code, text",
    [
        ("C0034", "C0034", ""),
        ("RYJL^入院记录^L^C0034^^WS", "C0034", "入院记录"),
        ("^^^C0034^入院记录^WS", "C0034", "入院记录"),
    ],
)
def test_a_document_s_type_is_known_whichever_coding_names_it(translate: Any, sent: str, code: str, text: str) -> None:
    said = of(translate, "MDM^T02", f"TXA|1|{sent}||||||||||D1", "OBX|1|TX|CC||pain")
    (document,) = (fact.data for fact in said.facts if isinstance(fact.data, Document))
    assert (document.type.code, document.type.text, said.flags) == (code, text, [])


def test_a_front_page_is_one_by_its_alternate_too_and_no_field_takes_another_s_place(translate: Any) -> None:
    said = of(
        translate, "MDM^T02", "TXA|1|BASY^病案首页^L^C0032^^WS||||||||||D1",
        "OBX|1|ST|FP.OTHER_DIAGNOSIS||I10", "OBX|2|ST|FP.OTHER_DIAGNOSIS||E11", "OBX|3|SN|FP.AGE||^56",
        "OBX|4|ST|||who",
    )  # fmt: skip
    (fact,) = said.facts
    assert fact.kind == "frontpage.submitted" and isinstance(fact.data, Document)
    assert fact.data.fields == {"FP.OTHER_DIAGNOSIS": "I10", "FP.OTHER_DIAGNOSIS#2": "E11", "FP.AGE": "56"}
    assert (said.flags, said.unmapped, fact.segments) == (["collision"], ["OBX"], ["OBX|4|ST|||who"])


def test_an_alternate_alone_names_diagnosis_procedure_and_allergy(translate: Any) -> None:
    said = of(
        translate, "ADT^A08", "DG1|1||^^^K35.9^Appendicitis^I10", "PR1|1||^^^47.09^Appendectomy^I9||20260302",
        "AL1|1||^^^PEN^Penicillin^L",
    )  # fmt: skip
    _, diagnoses, procedure, allergy = (fact.data for fact in said.facts)
    assert isinstance(diagnoses, Diagnoses) and diagnoses.items[0].code.codes == (("K35.9", "I10"),)
    assert isinstance(procedure, Procedure) and procedure.code.codes == (("47.09", "I9"),)
    assert isinstance(allergy, Allergy) and (allergy.key, allergy.what.alternate_text) == ("PEN", "Penicillin")


def test_the_note_below_a_line_of_the_report_s_text_is_the_report_s(translate: Any) -> None:
    said = of(translate, "ORU^R01", "OBR|1||F1|A", "OBX|1|TX|||line", "NTE|1||note", "OBX|2|NM|||7")
    (report,) = (fact.data for fact in said.facts)
    assert isinstance(report, Report) and report.notes == ["line", "note"] and said.unmapped == ["OBX"]
