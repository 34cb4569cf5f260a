"""What the shipped profile makes of resources."""

import base64
from typing import Any

import pytest

from hisbus import BadMessage

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [
        {"type": {"coding": [{"code": "NI"}]}, "system": "state", "value": "110"},
        {"type": {"coding": [{"code": "MR"}]}, "system": "HOSP", "value": "P1"},
    ],
    "name": [{"family": "王", "given": ["建国"]}],
    "gender": "male",
    "birthDate": "1960-05-04",
}
ABOUT = {"subject": {"reference": "Patient/p"}, "encounter": {"reference": "Encounter/e"}}
LOINC = "http://loinc.org"


def stay(**fields: Any) -> dict[str, Any]:
    said = {
        "resourceType": "Encounter",
        "id": "e",
        "identifier": [{"system": "HOSP", "value": "V1"}],
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": ABOUT["subject"],
        "period": {"start": "2026-03-02T08:30:00+08:00"},
    }
    return said | fields


def placed(name: str, level: str, status: str = "active") -> dict[str, Any]:
    return {"location": {"display": name}, "status": status, "physicalType": {"coding": [{"code": level}]}}


def note(**fields: Any) -> dict[str, Any]:
    said = {
        "resourceType": "DocumentReference",
        "masterIdentifier": {"system": "HOSP", "value": "D2"},
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"code": "C0034"}]},
        "date": "2026-03-02T09:00:00+08:00",
        "subject": ABOUT["subject"],
        "context": {"encounter": [{"identifier": {"system": "HOSP", "value": "V1"}}]},
        "content": [attached("主诉：胸痛".encode())],
    }
    return said | fields


def related(code: str) -> dict[str, Any]:
    return {"relatesTo": [{"code": code, "target": {"reference": "DocumentReference/d1"}}]}


def attached(data: bytes, type: str = "text/plain", **fields: Any) -> dict[str, Any]:
    return {"attachment": {"contentType": type, "data": base64.b64encode(data).decode(), **fields}}


def observed(**fields: Any) -> dict[str, Any]:
    said = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "K"}, **ABOUT}
    return said | fields


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "encounter.admitted"),
        ({"status": "onleave"}, "encounter.admitted"),
        ({"class": {"code": "AMB"}}, "encounter.registered"),
        ({"status": "arrived"}, "encounter.registered"),
        ({"status": "planned"}, "encounter.preadmitted"),
        ({"status": "finished"}, "encounter.discharged"),
        ({"status": "cancelled"}, "encounter.cancelled"),
        ({"status": "entered-in-error"}, "encounter.cancelled"),
        ({"status": "unknown"}, "encounter.updated"),
        ({"period": {}}, "encounter.updated"),
        ({"location": [placed("W3", "wa", "completed"), placed("W4", "wa")]}, "encounter.transferred"),
        ({"statusHistory": [{"status": "finished", "period": {}}]}, "encounter.discharge_cancelled"),
    ],
)
def test_which_event_the_state_of_a_stay_is(translate: Any, fields: dict[str, Any], kind: str) -> None:
    result = translate(PATIENT, stay(**fields))
    assert [fact.kind for fact in result.facts] == [kind]
    assert ("no_admission_time" in result.flags) is (fields == {"period": {}})


def test_a_stay_says_where_its_patient_lies_and_who_he_is(translate: Any) -> None:
    places = [placed("W3", "wa", "completed"), placed("W4", "wa"), placed("12", "ro"), placed("2", "bd")]
    attending = {"type": [{"coding": [{"code": "ATND"}]}], "individual": {"display": "李明"}}
    over = {"status": "finished", "period": {"start": "2026-03-02T08:30:00+08:00", "end": "2026-03-05"}}
    leaving = {"hospitalization": {"dischargeDisposition": {"coding": [{"code": "exp"}]}}}
    (fact,) = translate(PATIENT, stay(location=places, participant=[attending], **over, **leaving)).facts
    assert fact.patient.model_dump() == {"authority": "HOSP", "number": "P1"}
    assert (fact.visit.authority, fact.visit.number) == ("HOSP", "V1")
    assert fact.stay.location.model_dump() == {"ward": "W4", "room": "12", "bed": "2"}
    assert (fact.stay.attending.name, fact.stay.patient_class, fact.stay.disposition) == ("李明", "inpatient", "died")
    assert fact.stay.admitted.at.isoformat() == "2026-03-02T00:30:00+00:00"
    assert fact.stay.discharged.precision == "day"
    assert (fact.demographics.name, fact.demographics.sex, fact.demographics.id_card) == ("王建国", "male", "110")
    assert fact.time.at.isoformat() == "2026-03-02T04:00:00+00:00", "when the bundle was made"


def test_a_planned_or_running_stay_has_not_ended_whatever_its_period_says(translate: Any) -> None:
    planned = {"start": "2026-03-09T08:00:00Z", "end": "2026-03-12"}
    (fact,) = translate(PATIENT, stay(status="planned", period=planned)).facts
    assert fact.stay.admitted is None and fact.stay.discharged is None
    (fact,) = translate(PATIENT, stay(period=planned)).facts
    assert fact.stay.discharged is None


def test_a_resource_s_own_stamp_orders_it(translate: Any) -> None:
    (fact,) = translate(PATIENT, stay(meta={"lastUpdated": "2026-03-02T11:00:00+08:00"})).facts
    assert fact.time.at.isoformat() == "2026-03-02T03:00:00+00:00"


def test_an_unknown_class_is_asked_of_a_person(translate: Any) -> None:
    (fact,) = translate(PATIENT, stay(**{"class": {"code": "ZZ"}})).facts
    assert [(one.item, one.code.code) for one in fact.unknown] == [("class", "ZZ")]


def test_each_resource_is_about_its_own_patient(translate: Any) -> None:
    other = PATIENT | {"id": "q", "identifier": [{"system": "HOSP", "value": "P2"}]}
    facts = translate(PATIENT, other, stay(), stay(id="f", subject={"reference": "Patient/q"})).facts
    assert [fact.patient.number for fact in facts] == ["P1", "P2"]


def test_patient_and_stay_are_known_by_their_numbers_without_being_in_the_bundle(translate: Any) -> None:
    logical = {"subject": {"identifier": {"system": "HOSP", "value": "P9"}}}
    (fact,) = translate(note(**logical)).facts
    assert (fact.patient.number, fact.visit.number) == ("P9", "V1")


def test_a_patient_that_comes_alone_is_news_and_with_others_says_whose_they_are(translate: Any) -> None:
    assert [fact.kind for fact in translate(PATIENT).facts] == ["patient.updated"]
    assert [fact.kind for fact in translate(PATIENT, note()).facts] == ["document.filed"]


def test_a_value_keeps_how_it_was_written(translate: Any) -> None:
    lab = observed(
        code={"coding": [{"system": LOINC, "code": "2823-3"}, {"system": "lab", "code": "K"}], "text": "potassium"},
        valueQuantity={"value": 3.5, "comparator": "<", "unit": "mmol/L"},
        referenceRange=[{"low": {"value": 3.5}, "high": {"value": 5.1}}],
        interpretation=[{"coding": [{"code": "L"}]}],
        effectiveDateTime="2026-03-02T09:00:00+08:00",
        note=[{"text": "haemolysed"}],
    )
    body = translate.bundle(PATIENT, stay(), lab).replace(b'"value": 3.5, "comparator"', b'"value": 3.50, "comparator"')
    _, fact = translate.read(body).facts
    (reading,) = fact.data.readings
    assert fact.kind == "result.reported"
    assert (reading.values, reading.unit, reading.range, reading.flags) == (["<3.50"], "mmol/L", "3.5-5.1", ["L"])
    code = reading.item
    assert (code.code, code.system, code.text) == ("2823-3", LOINC, "potassium")
    assert (code.alternate_code, code.alternate_system) == ("K", "lab")
    assert (fact.data.number, fact.data.status, fact.data.notes) == ("o", "final", ["haemolysed"])


def test_the_components_of_an_observation_are_readings_of_one_report(translate: Any) -> None:
    upper, lower = (
        {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": {"value": value, "code": "mm[Hg]"}}
        for code, value in (("8480-6", 120), ("8462-4", 80))
    )
    vital = [{"coding": [{"code": "vital-signs"}]}]
    _, fact = translate(PATIENT, stay(), observed(category=vital, component=[upper, lower])).facts
    assert fact.kind == "vitals.recorded"
    read = [(one.item.code, one.values, one.unit, one.status) for one in fact.data.readings]
    assert read == [("8480-6", ["120"], "mm[Hg]", "final"), ("8462-4", ["80"], "mm[Hg]", "final")]


def test_what_was_observed_twice_stands_twice(translate: Any) -> None:
    twice = [{"code": {"text": "K"}, "valueInteger": number} for number in (1, 2)]
    result = translate(PATIENT, stay(), observed(component=twice))
    assert [one.values for one in result.facts[1].data.readings] == [["1"], ["2"]]
    assert "collision" in result.flags


@pytest.mark.parametrize(
    ("fields", "kind", "action", "signed"),
    [
        ({}, "document.filed", "file", True),
        ({"docStatus": "preliminary"}, "document.filed", "file", False),
        ({"docStatus": "amended"}, "document.amended", "file", True),
        ({"status": "entered-in-error"}, "document.withdrawn", "withdraw", True),
        (related("appends"), "document.filed", "addendum", True),
        (related("replaces"), "document.amended", "replace", True),
    ],
)  # fmt: skip
def test_what_becomes_of_a_document(
    translate: Any, fields: dict[str, Any], kind: str, action: str, signed: bool
) -> None:
    earlier = note(id="d1", masterIdentifier={"system": "HOSP", "value": "D1"})
    fact = translate(PATIENT, earlier, note(**fields)).facts[1]
    assert (fact.kind, fact.data.action, fact.data.signed is not None) == (kind, action, signed)
    assert fact.data.number == "D2^HOSP"
    assert fact.data.parent == ("D1^HOSP" if "relatesTo" in fields else "")


def test_a_document_s_text_is_read_in_its_character_set_and_what_is_no_text_is_kept(translate: Any) -> None:
    parts = [
        attached("现病史".encode("gb18030"), "text/plain; charset=GB18030", title="HPI"),
        attached(b"%PDF", "application/pdf", title="scan"),
    ]
    author = [{"reference": "Practitioner/d"}]
    doctor = {"resourceType": "Practitioner", "id": "d", "identifier": [{"value": "D100"}], "name": [{"text": "李明"}]}
    (fact,) = translate(PATIENT, doctor, note(content=parts, author=author)).facts
    assert [one.model_dump() for one in fact.data.sections] == [{"name": "HPI", "title": "HPI", "text": "现病史"}]
    assert [(one.type, one.content) for one in fact.data.attachments] == [("application/pdf", "JVBERg==")]
    assert fact.data.author.model_dump(exclude_defaults=True) == {"id": "D100", "name": "李明"}


@pytest.mark.parametrize("type", ["text/plain; charset=utf-8", "text/plain; charset=nonsense"])
def test_text_in_another_character_set_than_it_says_is_set_aside(translate: Any, type: str) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(PATIENT, note(content=[attached(b"\xff\xfe\xff", type)]))
    assert caught.value.code == "not_text"


def test_a_document_of_no_number_is_set_aside(translate: Any) -> None:
    nameless = {key: value for key, value in note().items() if key != "masterIdentifier"}
    with pytest.raises(BadMessage) as caught:
        translate(PATIENT, nameless)
    assert caught.value.code == "no_document_number"


def test_a_local_type_of_document_is_asked_and_a_loinc_one_becomes_ours(translate: Any) -> None:
    (fact,) = translate(PATIENT, note(type={"coding": [{"code": "MEDNOTE"}]})).facts
    assert [(one.item, one.code.code, one.entry) for one in fact.unknown] == [("document:*", "MEDNOTE", "D2^HOSP")]
    (fact,) = translate(PATIENT, note(type={"coding": [{"system": LOINC, "code": "18842-5"}]})).facts
    assert (fact.data.type.code, fact.data.type.alternate_code) == ("C0049", "18842-5")


def test_a_condition_is_a_diagnosis(translate: Any) -> None:
    condition = {"resourceType": "Condition", "code": {"coding": [{"system": "I10", "code": "I20.9"}]}, **ABOUT}
    for status, suspected, deleted in (
        ("confirmed", False, False),
        ("provisional", True, False),
        ("refuted", False, True),
    ):
        said = condition | {"verificationStatus": {"coding": [{"code": status}]}, "recordedDate": "2026-03-02"}
        fact = translate(PATIENT, stay(), said).facts[1]
        (item,) = fact.data.items
        assert (fact.kind, fact.data.whole, item.code.code) == ("diagnosis.recorded", False, "I20.9")
        assert (item.suspected, item.deleted, item.time.precision) == (suspected, deleted, "day")


def test_a_procedure_begins_and_ends(translate: Any) -> None:
    surgery = {"coding": [{"system": "http://snomed.info/sct", "code": "387713003"}]}
    done = {"resourceType": "Procedure", "id": "r", "status": "completed", "category": surgery, **ABOUT}
    start, end = "2026-03-03T10:30:00+08:00", "2026-03-03T12:00:00+08:00"
    for fields, kinds in (
        ({"performedPeriod": {"start": start, "end": end}}, ["procedure.ended"]),
        ({"performedDateTime": start}, ["procedure.started"]),
        ({"status": "preparation"}, []),
    ):
        facts = translate(PATIENT, stay(), done | fields).facts[1:]
        assert [fact.kind for fact in facts] == kinds
        assert all(fact.data.operation and fact.data.key == "r" and not fact.data.deleted for fact in facts)
    error = translate(PATIENT, stay(), done | {"status": "entered-in-error"}).facts[1]
    assert error.data.deleted


def test_what_nobody_reads_is_named_and_kept(translate: Any) -> None:
    coverage = {
        "resourceType": "Coverage",
        "status": "active",
        "payor": [{"display": "x"}],
        "beneficiary": {"display": "y"},
    }
    names = [*PATIENT["name"], {"text": "maiden"}]  # type: ignore[misc]
    codes = {"coding": [{"code": str(number)} for number in range(3)]}
    result = translate(PATIENT | {"name": names, "telecom": [{"value": "1"}]}, stay(), observed(code=codes), coverage)
    assert result.unmapped == ["Patient.name", "Patient.telecom", "Observation.code.coding", "Coverage"]
    assert '{"text":"maiden"}' in result.facts[0].segments and '{"code":"2"}' in result.facts[0].segments
    assert [fact.kind for fact in result.facts] == ["encounter.admitted", "result.reported"]


def test_a_bundle_that_holds_nothing_we_read_is_unmapped(translate: Any) -> None:
    result = translate({"resourceType": "Basic", "code": {"text": "x"}}, type="batch")
    assert not result.mapped and result.unmapped == ["Basic"]
