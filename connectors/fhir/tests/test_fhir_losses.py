"""What a bundle carries is counted by element, and so is what nobody reads of it."""

from typing import Any

from hisbus_mapping import losses_of

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "HOSP", "value": "P1"}],
    "gender": "male",
    "telecom": [{"value": "1"}, {"value": "2"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"code": "a"}, {"code": "b"}, {"code": "c"}]},
    "subject": {"reference": "Patient/p"},
    "valueString": "x",
}
COVERAGE = {
    "resourceType": "Coverage",
    "status": "active",
    "beneficiary": {"reference": "Patient/p"},
    "payor": [{"display": "y"}],
}


def test_what_came_is_what_was_read_and_what_was_left(translate: Any) -> None:
    found = losses_of(translate(PATIENT, OBSERVATION, COVERAGE))
    assert found.parts == 3
    assert found.unread == {
        "Patient.telecom.value": 2,
        "Observation.code.coding.code": 1,
        "Coverage.status": 1,
        "Coverage.beneficiary.reference": 1,
        "Coverage.payor.display": 1,
    }
    # identifier twice, gender, telecom twice; status, three codes, subject, value; three of Coverage
    assert (found.values, found.read) == (5 + 6 + 3, 14 - 6)
    assert found.entries == {"report": 1, "readings": 1}


def test_an_entry_without_resource_is_left(translate: Any) -> None:
    body = translate.bundle(PATIENT).replace(b'"entry": [', b'"entry": [{"fullUrl": "urn:x"}, ')
    assert losses_of(translate.read(body)).unread == {"Patient.telecom.value": 2, "Bundle.entry": 1}
