"""What is not granted is not sent: neither in the chart nor in the event that woke the agent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hisbus.grants import project, project_event
from hisbus.testing import make_case, make_chart, make_event, make_patient, make_vital
from hisbus_schemas import GRANTS, PARTS, CodeSet, Event, Fact, Finding, Text

CODE: dict[str, Any] = {"code": "x"}
PATIENT = {"authority": "A", "number": "P"}
DUE = {"body": "due", "agent": "qc", "name": "n", "due": datetime(2026, 3, 1, tzinfo=UTC), "encounter": "e"}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("diagnosis.recorded", "diagnoses", {"body": "diagnoses", "status": "final", "items": []}),
    ("procedure.started", "procedures", {"body": "procedure", "key": "k", "code": CODE}),
    ("order.placed", "orders", {"body": "order", "key": "k", "action": "placed", "what": CODE}),
    ("result.reported", "results", {"body": "report", "number": "n", "service": CODE}),
    ("vitals.recorded", "vitals", {"body": "report", "number": "n", "service": CODE}),
    ("document.filed", "documents", {"body": "document", "number": "n", "action": "file", "type": CODE}),
    ("patient.merged", "patient", {"body": "merge", "prior": PATIENT}),
    ("encounter.moved", "patient", {"body": "move", "visit": PATIENT}),
    ("allergy.recorded", "allergies", {"body": "allergy", "key": "k", "what": CODE}),
    ("medication.given", "administrations", {"body": "administration", "key": "k", "what": CODE}),
    ("charge.posted", "charges", {"body": "charge", "key": "k", "code": CODE}),
]


@pytest.mark.parametrize(("kind", "grant", "data"), BODIES)
def test_an_events_body_is_sent_with_its_grant_and_with_no_other(kind: str, grant: str, data: dict[str, Any]) -> None:
    case = make_case(event=make_event(kind, data=data))
    granted = project(case, frozenset({grant})).event
    others = project(case, frozenset(GRANTS) - {grant}).event
    assert granted is not None and granted.data is not None
    assert others is not None and others.data is None


def test_every_body_of_the_contract_belongs_to_a_grant() -> None:
    models = Fact.model_json_schema()["$defs"].values()
    bodies = {model["properties"]["body"]["const"] for model in models if "body" in model["properties"]}
    assert bodies == {body for part in PARTS for body in part.bodies} | {"due", "assigned"}  # the bus's own
    assert [part.name for part in PARTS if not part.bodies] == ["moves", "unknown"]  # said of the stay itself


def test_a_wake_is_sent_whatever_was_granted() -> None:
    case = project(make_case(event=make_event("timer.due", data=DUE)), frozenset())
    assert case.event is not None and case.event.data is not None


def test_a_patient_is_sent_only_where_granted() -> None:
    event = make_event("encounter.admitted", patient=PATIENT, demographics={"name": "欧阳锋"})
    case = make_case(make_chart(patient=make_patient("欧阳锋"), vitals=[make_vital("8310-5", "37")]), event=event)
    hidden = project(case, frozenset({"vitals"}))
    assert hidden.chart.patient is None and hidden.chart.vitals
    assert hidden.event is not None and (hidden.event.patient, hidden.event.demographics) == (None, None)
    shown = project(case, frozenset({"patient"}))
    assert shown.chart.patient is not None and not shown.chart.vitals
    assert shown.event is not None and shown.event.demographics is not None


def test_segments_that_nobody_read_are_sent_only_to_those_who_may_see_everything() -> None:
    case = make_case(event=make_event("encounter.admitted", segments=["ZPI|欧阳锋"]))
    assert project(case, frozenset(GRANTS) - {"charges"}).event != case.event
    assert project(case, frozenset(GRANTS)).event == case.event


@pytest.mark.parametrize(("kind", "grant", "data"), [*BODIES, ("timer.due", "patient", DUE), ("x.y", "orders", None)])
def test_a_stored_event_is_projected_as_one_that_was_read(kind: str, grant: str, data: dict[str, Any] | None) -> None:
    event = make_event(kind, data=data, patient=PATIENT, demographics={"name": "欧阳锋"}, segments=["ZPI|欧阳锋"])
    for grants in (frozenset({grant}), frozenset(GRANTS) - {grant}, frozenset(GRANTS)):
        stored = project_event(event.model_dump_json(exclude_none=True), grants)
        assert Event.model_validate_json(stored) == project(make_case(event=event), grants).event


def test_other_agents_proposals_are_sent_by_their_kind() -> None:
    said = Text(zh="有", en="here")
    proposals = [Finding(key="f", rule="r", message=said), CodeSet(key="c", rule="r", message=said)]
    case = make_case(proposals=proposals)
    for grants, keys in ((set(), []), ({"findings"}, ["f"]), ({"codesets", "findings"}, ["f", "c"])):
        assert [proposal.key for proposal in project(case, frozenset(grants)).proposals] == keys
