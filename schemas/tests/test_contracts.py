from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from hisbus_schemas import (
    Chart,
    ChartDocument,
    Code,
    Event,
    Evidence,
    Finding,
    Moment,
    Patient,
    PatientId,
    Position,
    Text,
    VisitId,
)

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)


def event(**fields: object) -> dict[str, object]:
    position = Position(recorded=NOON, partition=0, offset=0)
    base = {"kind": "a.b", "time": Moment(at=NOON), "id": "e", "message": "m", "revision": 1, "ordinal": 0}
    return {**base, "connector": "his", "position": position, **fields}


def chart() -> Chart:
    note = ChartDocument(
        id="d1",
        version="e1",
        number="D1",
        type=Code(code="C0034"),
        status="signed",
        received=NOON,
        filed=Moment(at=NOON),
    )
    return Chart(
        encounter="e",
        version=1,
        now=NOON,
        visit=VisitId(authority="H", number="V1"),
        patient=Patient(id=PatientId(authority="H", number="P1"), name="王建国"),
        status="admitted",
        admitted=Moment(at=NOON, offset=480),
        documents=[note],
    )


def test_a_reader_ignores_fields_that_a_newer_writer_added() -> None:
    assert Event.model_validate(event(added_later=1)).kind == "a.b"


def test_a_time_without_zone_is_refused_and_any_other_is_held_in_utc() -> None:
    with pytest.raises(ValidationError):
        Moment(at=datetime(2026, 3, 2))  # noqa: DTZ001 - the point
    moment = Moment.model_validate({"at": "2026-03-02T12:00:00+08:00", "offset": 480})
    assert (moment.at, moment.isoformat()) == (NOON, "2026-03-02T12:00:00+08:00")


def test_a_validation_error_never_repeats_its_input() -> None:
    with pytest.raises(ValidationError) as raised:
        Event.model_validate(event(patient="王建国"))
    assert "王建国" not in str(raised.value)


def test_a_ref_holds_until_what_it_names_changes() -> None:
    now = chart()
    refs = [now.documents[0].ref, now.stay_ref("admitted"), now.stay_ref("discharged")]
    assert all(now.holds(ref) for ref in refs)
    later = now.model_copy(
        update={
            "documents": [now.documents[0].model_copy(update={"version": "e2"})],
            "discharged": Moment(at=NOON, offset=480),
        }
    )
    assert [later.holds(ref) for ref in refs] == [False, True, False]


def test_a_fact_of_the_patient_can_be_rested_on() -> None:
    now = chart()
    ref = now.stay_ref("patient.name")
    assert now.holds(ref) and now.stay("patient.birth_date") == ""
    assert now.patient is not None
    renamed = now.patient.model_copy(update={"name": "王建军"})
    assert not now.model_copy(update={"patient": renamed}).holds(ref)
    assert now.project(frozenset()).stay("patient.name") == ""


def test_a_projection_keeps_the_stay_and_drops_what_is_not_granted() -> None:
    seen = chart().project(frozenset({"documents"}))
    assert (seen.patient, len(seen.documents), seen.status) == (None, 1, "admitted")
    assert chart().project(frozenset()).documents == []


def test_a_fingerprint_is_of_what_is_said_not_of_its_wording() -> None:
    said = Finding(key="R01", rule="R01", state="absent", message=Text(zh="缺", en="absent"))
    reworded = said.model_copy(update={"message": Text(zh="未见", en="missing")})
    later = said.model_copy(update={"state": "late"})
    proven = said.model_copy(update={"evidence": [Evidence(path="admitted", value="2026-03-02")]})
    assert said.stamp() == reworded.stamp()
    assert len({said.stamp(), later.stamp(), proven.stamp()}) == 3


def test_a_code_is_found_in_either_place() -> None:
    code = Code(code="TW", system="L", alternate_code="8310-5", alternate_system="LN")
    assert code.codes == (("TW", "L"), ("8310-5", "LN"))
    assert [code.among({"8310-5"}), code.among({"TW", "8310-5"}), code.among({"X", ""})] == ["8310-5", "TW", ""]


def test_what_a_code_is_told_apart_by_is_its_whole_coding_else_its_text_else_the_alternate() -> None:
    alternate = {"alternate_code": "A", "alternate_text": "Alt", "alternate_system": "LN"}
    said = [Code(code="K", system="L", text="a", **alternate), Code(text="钾", **alternate), Code(**alternate)]
    said += [Code(alternate_text="Alt"), Code()]
    assert [code.identity for code in said] == [
        ("K", "L", ""), ("", "", "钾"), ("A", "LN", ""), ("", "", "Alt"), ("", "", ""),
    ]  # fmt: skip
