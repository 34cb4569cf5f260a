"""The stay: its status, its times, and whose it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hisbus_schemas import Demographics, Due, Location, Moment, Person, Stay

HOUR = 3600


def hours(moment: Moment | None) -> float | None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    return (moment.at - start).total_seconds() / HOUR if moment else None


async def test_an_admission_opens_a_stay_and_a_discharge_ends_it(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, patient_class="inpatient", name="王建国"))
    chart = await ward.chart()
    assert (chart.status, chart.patient_class, hours(chart.admitted)) == ("admitted", "inpatient", 8)
    assert chart.patient.name == "王建国"
    await ward.deliver(ward.adt("discharged", 80))
    chart = await ward.chart()
    assert (chart.status, hours(chart.discharged)) == ("discharged", 80)


async def test_the_newest_adt_that_carries_a_time_sets_it(ward: Any) -> None:
    await ward.each(
        [
            ward.adt("admitted", 9),
            ward.adt("updated", 12, admitted=Moment(at="2026-03-02T08:00:00Z")),
            ward.adt("updated", 13, department="CARD"),
        ]
    )
    assert hours((await ward.chart()).admitted) == 8


async def test_a_document_may_come_before_its_admission(ward: Any) -> None:
    await ward.deliver(ward.document(11))
    assert (await ward.chart()).status == "registered"
    await ward.deliver(ward.adt("updated", 12, name="王建军"))
    await ward.deliver(ward.adt("admitted", 8, name="王建国"))
    chart = await ward.chart()
    assert (chart.status, chart.patient.name, len(chart.documents)) == ("admitted", "王建军", 1)


async def test_a_cancelled_discharge_makes_the_next_one_begin_anew(ward: Any) -> None:
    await ward.each(
        [
            ward.adt("admitted", 8),
            ward.adt("discharged", 80, discharged=Moment(at="2026-03-05T08:00:00Z"), disposition="died"),
            ward.adt("discharge_cancelled", 88),
        ]
    )
    chart = await ward.chart()
    assert (chart.status, chart.discharged, chart.died) == ("admitted", None, False)
    await ward.deliver(ward.adt("discharged", 100))
    assert hours((await ward.chart()).discharged) == 100


async def test_only_a_later_admission_begins_a_cancelled_stay_again(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.adt("cancelled", 18), ward.adt("updated", 20, department="CARD")])
    assert (await ward.chart()).status == "cancelled"
    await ward.deliver(ward.adt("admitted", 24))
    chart = await ward.chart()
    assert (chart.status, hours(chart.admitted)) == ("admitted", 24)


async def test_only_an_adt_changes_what_is_known_and_others_fill_what_is_not(ward: Any) -> None:
    result = ward.message(
        ward.fact(
            "result.reported",
            10,
            demographics=Demographics(name="WRONG", sex="male"),
            stay=Stay(location=Location(ward="W9"), department="LAB"),
        )
    )
    await ward.each([ward.adt("admitted", 8, name="王建国", location=Location(ward="W3")), result])
    chart = await ward.chart()
    assert (chart.patient.name, chart.patient.sex) == ("王建国", "male")
    assert (chart.location.ward, chart.department) == ("W3", "LAB")


async def test_what_is_deleted_is_emptied_and_what_is_not_said_is_kept(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, name="王建国", department="CARD"))
    update = ward.fact(
        "encounter.updated", 9, stay=Stay(deleted=["department"]), demographics=Demographics(deleted=["id_card"])
    )
    await ward.deliver(ward.message(update))
    chart = await ward.chart()
    assert (chart.department, chart.patient.name) == ("", "王建国")


async def test_a_patient_who_is_dead_died_in_the_stay(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.adt("discharged", 80, dead=True)])
    assert (await ward.chart()).died


async def test_the_source_clock_moves_the_present_and_never_back(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.adt("updated", 20, department="A"), ward.document(10)])
    assert (await ward.chart()).now == datetime(2026, 3, 2, 20, tzinfo=UTC)
    future = ward.message(ward.fact("encounter.updated", 4000, flags=["future_time"]))
    await ward.deliver(future)
    assert (await ward.chart()).now == datetime(2026, 3, 2, 20, tzinfo=UTC)


async def test_the_wall_clock_is_when_the_message_was_stored(ward: Any) -> None:
    message = ward.message(ward.fact("encounter.admitted", 8), clock="wall")
    await ward.deliver(message)
    assert (await ward.chart()).now == message.position.recorded


async def test_a_wake_makes_a_version_for_its_agent_and_says_nothing_else(ward: Any) -> None:
    (first,) = await ward.deliver(ward.adt("admitted", 8))
    due = Due(agent="qc", name="R01", due=datetime(2026, 3, 3, 9, tzinfo=UTC), encounter=ward.encounter("V1"))
    (woken,) = await ward.deliver(ward.message(ward.fact("timer.due", 33, None, None, data=due), clock="wall"))
    assert (woken.agent, woken.kind, woken.version, woken.key) == ("qc", "timer.due", 2, first.key)
    assert (await ward.chart()).now == due.due
    assert await ward.flags() == []


async def test_news_make_a_version_for_everybody_but_the_agent_whose_they_are(ward: Any) -> None:
    (first,) = await ward.deliver(ward.adt("admitted", 8))
    now = (await ward.chart()).now
    news = Due(agent="qc", name="proposals", due=now, encounter=ward.encounter("V1"), depth=1)
    (told,) = await ward.deliver(ward.message(ward.fact("proposals.changed", 33, None, None, data=news), clock="wall"))
    assert (told.agent, told.by, told.kind, told.version) == ("", "qc", "proposals.changed", 2)
    assert (told.key, (await ward.chart()).now) == (first.key, now)


async def test_every_event_makes_a_version(ward: Any) -> None:
    outputs = await ward.each([ward.adt("admitted", 8), ward.document(9), ward.document(10, "D2")])
    assert [output.version for output in outputs] == [1, 2, 3]
    assert [output.kind for output in outputs] == ["encounter.admitted", "document.filed", "document.filed"]
    assert len({output.id for output in outputs}) == 3


def day(hour: float) -> Moment:
    return Moment(at=datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour))


async def stands(ward: Any) -> tuple[str, str, float | None, float | None]:
    chart = await ward.chart()
    return chart.status, chart.patient_class, hours(chart.admitted), hours(chart.discharged)


async def test_what_is_expected_has_not_begun_until_it_is_admitted_and_may_be_given_up(ward: Any) -> None:
    await ward.deliver(
        ward.adt("preadmitted", 8, patient_class="preadmit", admitted=day(30), location=Location(ward="W1"))
    )
    assert await stands(ward) == ("preadmitted", "preadmit", None, None)
    assert (await ward.chart()).moves == [], "he does not lie there yet"
    await ward.deliver(ward.adt("preadmission_cancelled", 9))
    assert (await ward.chart()).status == "cancelled"
    await ward.deliver(ward.adt("preadmitted", 10))
    assert (await ward.chart()).status == "preadmitted"
    await ward.deliver(ward.adt("admitted", 31, patient_class="inpatient"))
    assert await stands(ward) == ("admitted", "inpatient", 31, None)
    await ward.deliver(ward.adt("preadmission_cancelled", 32))
    assert (await ward.chart()).status == "admitted", "who was admitted is expected no more, and there"


async def test_an_outpatient_becomes_an_inpatient_when_the_change_says_so(ward: Any) -> None:
    await ward.deliver(
        ward.adt("registered", 8, patient_class="emergency", admitted=day(8), location=Location(ward="ER"))
    )
    await ward.deliver(ward.adt("discharged", 10))
    await ward.deliver(ward.adt("class_changed", 10, patient_class="inpatient", location=Location(ward="W3")))
    assert await stands(ward) == ("admitted", "inpatient", 10, None)
    assert (await ward.chart()).location.ward == "W3"
    await ward.deliver(ward.adt("updated", 11, admitted=day(9.5)))
    assert (await ward.chart()).admitted == day(9.5)


async def test_a_change_to_inpatient_opens_a_stay_that_nobody_registered(ward: Any) -> None:
    await ward.deliver(ward.adt("class_changed", 10, patient_class="inpatient", admitted=day(9)))
    assert await stands(ward) == ("admitted", "inpatient", 9, None)


async def test_an_inpatient_who_becomes_an_outpatient_ends_his_stay(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, patient_class="inpatient"))
    await ward.deliver(ward.adt("class_changed", 20, patient_class="outpatient"))
    assert await stands(ward) == ("discharged", "outpatient", 8, 20)
    await ward.deliver(ward.adt("class_changed", 30, patient_class="inpatient"))
    assert await stands(ward) == ("admitted", "inpatient", 30, None)


@pytest.mark.parametrize("kind", ["admitted", "updated"])
async def test_what_carries_a_discharge_says_discharged(ward: Any, kind: str) -> None:
    await ward.deliver(ward.adt("admitted", 8, admitted=day(8)))
    await ward.deliver(ward.adt(kind, 40, admitted=day(8), discharged=day(30)))
    assert await stands(ward) == ("discharged", "", 8, 30)
    await ward.deliver(ward.adt("discharge_cancelled", 41, discharged=day(30)))
    assert await stands(ward) == ("admitted", "", 8, None)


async def test_an_admission_that_is_told_again_is_an_update(ward: Any) -> None:
    first = {"admitted": day(8), "location": Location(ward="W1")}
    await ward.each([ward.adt("admitted", 8, **first), ward.adt("discharged", 30, disposition="1")])
    await ward.deliver(ward.adt("admitted", 40, department="CARD", **first))
    chart = await ward.chart()
    assert (await stands(ward), chart.department, chart.disposition) == (("discharged", "", 8, 30), "CARD", "1")


async def test_another_doctor_is_responsible(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, attending=Person(id="1")))
    await ward.deliver(ward.adt("attending_changed", 9, attending=Person(id="2")))
    assert (await ward.chart()).attending == Person(id="2")
