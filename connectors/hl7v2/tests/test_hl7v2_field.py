"""What senders in the field do, each a message of its own in ``field/`` with what is right for it."""

from pathlib import Path
from typing import Any

import pytest

from hisbus import Translation
from hisbus_schemas import Document, PatientId, VisitId

from .conftest import Translator

FIELD = Path(__file__).parent / "field"
HEADER = "MSH|^~\\&|{application}|{facility}|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|1|{id}|2.5"
PATIENT = ("PID|1||P1", "PV1|1|I|W1||||||||||||||||V1")


def read(number: int, **table: Any) -> Translation:
    (path,) = FIELD.glob(f"{number}-*.hl7")
    return Translator(**table).read(path.read_bytes())


def admitted(application: str = "HIS", facility: str = "HOSP", id: str = "P", **table: Any) -> Translation:
    header = HEADER.format(application=application, facility=facility, id=id)
    return Translator(**table)(header, *PATIENT)


def test_13_a_training_message_says_nothing_unless_the_site_takes_it() -> None:
    said = read(13)
    assert (said.status, said.mapped, said.facts, said.unmapped) == ("not_production", False, [], [])
    (fact,) = read(13, processing_ids=["P", "T"]).facts
    assert (fact.kind, fact.visit) == ("encounter.admitted", VisitId(authority="HOSP", number="V13"))


@pytest.mark.parametrize("id", ["D", "T", "P2", "P~T^x", "x", "T^T"])
def test_only_the_first_component_of_msh_11_counts(id: str) -> None:
    said = admitted(id=id)
    counts = id.startswith("P~")
    assert (said.status, bool(said.facts)) == (("mapped", True) if counts else ("not_production", False))


@pytest.mark.parametrize(("id", "flagged"), [("P^T", False), (" p ", False), ("", True), ('""', True)])
def test_an_empty_processing_id_is_taken_for_production_and_flagged(id: str, flagged: bool) -> None:
    said = admitted(id=id, authority="HOSP")
    assert (said.status, said.flags) == ("mapped", ["no_processing_id"] * flagged)


def test_17_delimiters_that_are_left_out_do_not_exist() -> None:
    said = read(17)
    (fact,) = said.facts
    assert (fact.kind, fact.patient, said.flags) == (
        "encounter.admitted", PatientId(authority="HOSP", number="P17"), [],
    )  # fmt: skip


def test_20_numbers_without_authority_are_whose_the_site_says() -> None:
    visit, patient = VisitId(authority="HOSP", number="V20"), PatientId(authority="HOSP", number="P20")
    for table in ({"authority": "HOSP"}, {"authority_by_sender": {"LIS": "HOSP"}}):
        said = read(20, **table)
        assert {(fact.visit, fact.patient) for fact in said.facts} == {(visit, patient)}
        assert said.flags == []
    said = read(20)
    assert {fact.visit for fact in said.facts} == {VisitId(authority="his", number="V20")}
    assert said.flags == ["bare_visit_number"]


def test_21_two_connectors_of_one_authority_mean_the_same_numbers() -> None:
    lab, his = read(21, name="lab", authority="HOSP"), admitted(authority="HOSP")
    assert {fact.visit for fact in lab.facts} == {VisitId(authority="HOSP", number="V21")}
    assert {fact.visit for fact in his.facts} == {VisitId(authority="HOSP", number="V1")}
    assert lab.flags == his.flags == []


@pytest.mark.parametrize(
    ("application", "facility", "authority"),
    [
        ("LIS", "EAST", "EAST-LAB"),
        ("LIS^1.2^ISO", "EAST^3.4^ISO", "EAST-LAB"),
        ("LIS", "WEST", "LAB"),
        ("LIS", "", "LAB"),
        ("lis", "EAST", "HOSP"),
        ("", "EAST", "HOSP"),
    ],
)
def test_the_nearest_that_is_said_of_a_sender_counts(application: str, facility: str, authority: str) -> None:
    by_sender = {"LIS": "LAB", "LIS^EAST": "EAST-LAB"}
    said = admitted(application, facility, authority="HOSP", authority_by_sender=by_sender)
    (fact,) = said.facts
    assert fact.patient == PatientId(authority=authority, number="P1")
    assert fact.visit == VisitId(authority=authority, number="V1")


def test_who_is_named_nowhere_has_his_connectors_name_and_a_flag() -> None:
    said = admitted("RIS", authority_by_sender={"LIS": "LAB"})
    assert said.facts[0].visit == VisitId(authority="his", number="V1")
    assert said.flags == ["bare_visit_number"]
    assert admitted("LIS", authority_by_sender={"LIS": "LAB"}).flags == []


def test_27_a_lone_backslash_stays_and_takes_nothing_away() -> None:
    (document,) = (fact.data for fact in read(27).facts if isinstance(fact.data, Document))
    assert [section.text for section in document.sections] == ["BP 120\\80.\nSecond line.\nA & B"]


def test_28_line_ends_before_msh_are_skipped_and_flagged() -> None:
    said = read(28)
    assert ([fact.kind for fact in said.facts], said.flags) == (["encounter.admitted"], ["line_ends_before_msh"])


def test_30_a_type_with_a_blank_is_mapped_and_flagged() -> None:
    said = read(30)
    assert ([fact.kind for fact in said.facts], said.flags) == (["encounter.admitted"], ["type_with_blanks"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("processing_ids", []),
        ("processing_ids", ["p"]),
        ("processing_ids", "P"),
        ("authority_by_sender", {"": "LAB"}),
        ("authority_by_sender", {"LIS": ""}),
        ("authority_by_sender", {"A^B^C": "LAB"}),
        ("end_of_frame", "CR"),
        ("charset_wins", "sometimes"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(Exception, match=f"^{key}: "):
        Translator(**{key: value})


@pytest.mark.parametrize(
    "table",
    [
        {"processing_ids": ["P", "T"]},
        {"authority": "HOSP"},
        {"authority_by_sender": {"LIS": "LAB"}},
        {"charset_wins": True},
    ],
)
def test_each_setting_that_changes_a_meaning_names_another_mapping(table: dict[str, Any]) -> None:
    assert Translator(**table).mapping.name != Translator().mapping.name
    assert Translator(end_of_frame="FS", max_connections=3).mapping.name == Translator().mapping.name
