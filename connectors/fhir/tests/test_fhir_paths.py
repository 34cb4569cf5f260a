"""Paths of FHIR: what they read, and that a wrong one is refused at start, with file and line."""

from pathlib import Path
from typing import Any

import pytest

from hisbus import ConfigError, Raw
from hisbus_fhir import FhirConnector
from hisbus_fhir.source import FORMAT
from hisbus_mapping import Mapping

PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Li", "given": ["A", "B"]}, {"family": "Wu"}]}
STAY = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "IMP"}}
SUBJECT = {"subject": {"reference": "Patient/p"}}
PRESSURE = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "pressure"},
    "component": [{"code": {"text": "upper"}, "valueInteger": 120}, {"code": {"text": "lower"}, "valueBoolean": False}],
    "encounter": {"reference": "http://his.hospital/fhir/Encounter/e"},
    **SUBJECT,
}


@pytest.fixture
def source(translate: Any) -> Any:
    return translate.connector.read(Raw("m", translate.bundle(PATIENT, STAY, PRESSURE, STAY | {"id": "f"}), None))


@pytest.mark.parametrize(
    ("at", "path", "values"),
    [
        ("Observation", "Observation.status", ["final"]),
        ("Observation", "Observation.component.code.text", ["upper", "lower"]),
        ("Observation", "Observation.component[1].code.text", ["lower"]),
        ("Observation", "Observation.component[2].code.text", []),
        ("Observation.component", "Observation.component.code.text", ["upper"]),
        ("Observation.component", "Observation.component.valueInteger", ["120"]),
        ("Observation.component", "ObservationComponent.valueInteger", ["120"]),
        ("Observation.component", "Observation.code.text", ["pressure"]),
        ("Observation.component", "*.status", ["final"]),
        ("Observation.component", "<Patient.name.family", ["Li", "Wu"]),
        ("Observation", "Observation.subject>Patient.name[0].given[1]", ["B"]),
        ("Observation", "<Encounter.status", ["finished"]),
        ("Observation", "Patient.name.family", []),
        ("Observation", "^Patient.name.family", ["Li", "Wu"]),
        ("Observation", "^Bundle.type", ["collection"]),
        ("Patient", "<Patient.name.family", ["Li", "Wu"]),
        ("Encounter", "<Patient.name.family", []),
        ("Patient.name", "HumanName.given", ["A", "B"]),
        ("Bundle", "<Encounter.id", ["e", "f"]),
        ("Bundle", "*.status", ["finished", "final", "finished"]),
        ("Bundle", "Observation.component.valueBoolean", ["false"]),
    ],
)
def test_a_path_is_read_of_the_group_that_it_is_asked_of(source: Any, at: str, path: str, values: list[str]) -> None:
    group = source if at == "Bundle" else source.groups(at)[0]
    assert list(FORMAT.texts(path)(group, None)) == values
    assert FORMAT.text(path)(group, None) == (values or [""])[0]


def test_several_groups_can_be_read_as_one(source: Any) -> None:
    group = FORMAT.together(source.groups("Observation.component"))
    assert list(FORMAT.every("Observation.component.code.text")(group, None)) == ["upper", "lower"]


def test_a_reference_goes_to_what_is_contained_and_nowhere_where_the_bundle_has_nothing(translate: Any) -> None:
    holding = PRESSURE | {"contained": [PATIENT | {"id": "x"}], "subject": {"reference": "#x"}}
    for resource, names in ((holding, ["Li", "Wu"]), (PRESSURE, [])):
        source = translate.connector.read(Raw("m", translate.bundle(resource), None))
        assert source.texts("Observation.subject>Patient.name.family") == names


def test_a_resource_that_stands_twice_is_flagged(translate: Any) -> None:
    assert "resource_twice" in translate(PATIENT, PATIENT).flags


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "# ours\n[subject.stay]\ndepartment = 'Encounter.serviceTyp.text'\n",
            3,
            "Encounter has no element serviceTyp",
        ),
        ("[subject.stay]\ndepartment = 'Encounter.serviceType'\n", 2, "it names a CodeableConcept"),
        ("[subject.stay]\ndepartment = 'Encountre.status'\n", 2, "FHIR R4B has no Encountre"),
        ("[subject.stay]\ndepartment = 'encounter.status'\n", 2, "write it like"),
        ("[subject.stay]\ndepartment = 'Encounter.status>Patient.id'\n", 2, "> follows a reference"),
        ("[subject.stay]\ndepartment = 'Encounter.subject>Identifier.value'\n", 2, "a resource belongs behind"),
        ("[subject.stay]\ndepartment = '<Observation.status'\n", 2, "< goes to what a resource is about"),
        ("[subject.stay]\ndepartment = '*.nothing'\n", 2, "no resource has it"),
        ("[subject.stay]\ndepartment = 'Encounter.status.code'\n", 2, "a plain value has no element code"),
        ("[facts.diagnoses]\nsubject = 'Condition.recordedDate'\n", 2, "groups are resources or elements"),
    ],
)
def test_a_wrong_path_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    ours = tmp_path / "our-ehr.toml"
    ours.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Mapping(FhirConnector({"name": "ehr", "profile": ours}))
    said = str(caught.value)
    assert said.startswith(f"{ours}:{line}: "), said
    assert words in said


def test_the_profile_is_short_enough_to_be_read() -> None:
    assert len(FhirConnector.profile.read_text(encoding="utf-8").splitlines()) <= 150
