"""Whose a stay is, and to which stay an event belongs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hisbus_bus.kernel import charts, tables
from hisbus_schemas import Allergy, Code, Document, Moment

ANOTHER, UNASSIGNED, CIRCULAR = "visit_of_another_patient", "unassigned_visit", "circular_merge"
NOT_REGISTERED, REUSED = "visit_not_registered", "visit_number_reused"


def numbers(chart: Any) -> list[str]:
    return [document.number for document in chart.documents]


async def parked(ward: Any) -> list[Any]:
    async with ward.site.database.read() as connection:
        return list(await connection.execute(tables.parked.select()))


async def test_a_merge_moves_the_stay_to_the_surviving_patient(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, "TMP", name="王建国"))
    (output,) = await ward.deliver(ward.merge(30, "TMP", "P1"))
    chart = await ward.chart()
    assert (chart.patient.id.number, chart.patient.name, chart.version) == ("P1", "王建国", 2)
    assert (output.kind, output.version) == ("patient.merged", 2)
    await ward.each([ward.document(31, "D1", who="TMP"), ward.document(32, "D2", who="P1")])
    assert numbers(await ward.chart()) == ["D1", "D2"]


async def test_an_event_may_overtake_its_merge(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, "TMP"))
    assert await ward.deliver(ward.document(32, who="P1")) == []
    assert await ward.flags() == [ANOTHER]
    outputs = await ward.deliver(ward.merge(30, "TMP", "P1"))
    assert await ward.flags() == []
    assert numbers(await ward.chart()) == ["D1"]
    assert {output.kind for output in outputs} == {"patient.merged", "document.filed"}


async def test_merges_are_resolved_from_number_to_number(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, "P3"), ward.merge(9, "P3", "P2"), ward.merge(10, "P2", "P1")])
    assert (await ward.chart()).patient.id.number == "P1"
    async with ward.site.database.read() as connection:
        for number in ("P1", "P2", "P3"):
            assert await charts.find(connection, patient=number) == [ward.encounter("V1")]
        assert await charts.find(connection, visit="V1") == [ward.encounter("V1")]
        assert await charts.find(connection, visit="V1", patient="P9") == []


async def test_the_inverse_of_a_merge_is_parked_and_changes_nothing(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, "P2"), ward.merge(9, "P2", "P1")])
    assert await ward.deliver(ward.merge(10, "P1", "P2")) == []
    assert (await ward.chart()).patient.id.number == "P1"
    assert [row.reason for row in await parked(ward)] == [CIRCULAR]
    assert await ward.flags() == [CIRCULAR]


async def test_a_circular_merge_that_is_replayed_is_parked_again(ward: Any) -> None:
    await ward.deliver(ward.merge(9, "P2", "P1"))
    inverse = ward.merge(10, "P1", "P2")
    await ward.deliver(inverse)
    await ward.deliver(inverse)
    assert len(await parked(ward)) == 1
    await ward.deliver(inverse, headers={"replay": "x"})
    assert len(await parked(ward)) == 2


async def test_another_patients_event_is_kept_and_never_folded(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, "P1", name="王建国"))
    assert await ward.deliver(ward.document(9, who="P2")) == []
    assert numbers(await ward.chart()) == []
    assert await ward.flags() == [ANOTHER]


async def test_a_visit_belongs_to_the_patient_of_its_earliest_event(ward: Any) -> None:
    await ward.deliver(ward.document(9, who="P2"))
    assert (await ward.chart()).patient.id.number == "P2"
    await ward.deliver(ward.adt("admitted", 8, "P1"))
    chart = await ward.chart()
    assert (chart.patient.id.number, numbers(chart), await ward.flags()) == ("P1", [], [ANOTHER])


async def test_a_moved_visit_takes_its_events_along(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, "P1"), ward.document(9, who="P1"), ward.move(10, "V1", "P2", "P1")])
    await ward.each([ward.document(11, "D2", who="P2"), ward.document(12, "D3", who="P1")])
    chart = await ward.chart()
    assert (chart.patient.id.number, numbers(chart), await ward.flags()) == ("P2", ["D1", "D2", "D3"], [])


async def test_a_move_may_come_before_what_it_moves_and_twice(ward: Any) -> None:
    move, back = ward.move(10, "V1", "P2", "P1"), ward.move(12, "V1", "P3", "P2")
    await ward.each([back, move, back, ward.document(11, "D2", who="P2")])
    assert (await ward.chart()).patient.id.number == "P3"
    await ward.each([move, ward.document(9, who="P1"), ward.adt("admitted", 8, "P1"), ward.document(9, "D9", who="P9")])
    chart = await ward.chart()
    assert (chart.patient.id.number, numbers(chart), chart.status) == ("P3", ["D1", "D2"], "admitted")
    assert await ward.flags() == [ANOTHER]


async def test_an_event_without_a_visit_follows_the_stay_to_its_new_patient(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, "P1"), ward.document(9, who="P2", stay=None)])
    assert await ward.flags() == [UNASSIGNED]
    await ward.deliver(ward.move(10, "V1", "P2", "P1"))
    assert (numbers(await ward.chart()), await ward.flags()) == (["D1"], [])


async def test_an_event_without_a_visit_goes_to_the_only_open_stay(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8))
    (output,) = await ward.deliver(ward.document(9, stay=None))
    assert (output.encounter, numbers(await ward.chart())) == (ward.encounter("V1"), ["D1"])


async def test_an_event_without_a_visit_waits_for_its_admission(ward: Any) -> None:
    assert await ward.deliver(ward.document(9, stay=None)) == []
    assert await ward.flags() == [UNASSIGNED]
    outputs = await ward.deliver(ward.adt("admitted", 8))
    assert numbers(await ward.chart()) == ["D1"]
    assert {output.kind for output in outputs} == {"encounter.admitted", "document.filed"}


async def test_with_several_open_stays_nothing_is_guessed(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.document(9, stay=None)])
    await ward.deliver(ward.adt("admitted", 7, stay="V2"))
    assert numbers(await ward.chart()) == []
    assert await ward.flags() == [UNASSIGNED]
    await ward.deliver(ward.adt("cancelled", 10, stay="V2"))
    assert numbers(await ward.chart()) == ["D1"]


async def test_a_late_discharge_takes_away_what_came_after_it(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.document(30, stay=None)])
    await ward.deliver(ward.adt("discharged", 20))
    assert numbers(await ward.chart()) == []
    await ward.deliver(ward.adt("discharge_cancelled", 21))
    assert numbers(await ward.chart()) == ["D1"]


async def test_an_update_of_the_patient_makes_a_version_of_every_stay(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.adt("admitted", 9, stay="V2")])
    outputs = await ward.deliver(ward.adt("patient.updated", 10, stay=None, name="王建军"))
    assert {output.encounter for output in outputs} == {ward.encounter("V1"), ward.encounter("V2")}
    assert (await ward.chart("V2")).patient.name == "王建军"
    assert await ward.flags() == []


async def test_a_new_name_in_one_stay_makes_a_version_of_the_other(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, name="A"), ward.adt("admitted", 9, stay="V2", name="A")])
    outputs = await ward.deliver(ward.adt("updated", 10, stay="V2", name="B"))
    assert sorted(output.encounter for output in outputs) == sorted([ward.encounter("V1"), ward.encounter("V2")])


async def test_one_batch_may_hold_the_event_the_merge_and_the_admission(ward: Any) -> None:
    await ward.deliver(ward.document(9, who="P1"), ward.merge(30, "TMP", "P1"), ward.adt("admitted", 8, "TMP"))
    chart = await ward.chart()
    assert (chart.patient.id.number, chart.status, numbers(chart)) == ("P1", "admitted", ["D1"])


async def test_a_merge_brings_what_waited_without_a_visit_under_the_other_number(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, "P1"), ward.document(9, who="TMP", stay=None)])
    assert await ward.flags() == [UNASSIGNED]
    await ward.deliver(ward.merge(30, "TMP", "P1"))
    assert numbers(await ward.chart()) == ["D1"]


# --- who opens a stay


def result(
    ward: Any, hour: float, *, who: str = "P1", on: str | None = "V1", kind: str = "document.filed", **more: Any
) -> Any:
    body = Document(number=f"D{hour}", action="file", type=Code(code="C0038"))
    return ward.message(ward.fact(kind, hour, who, on, **({"opens": False, "data": body} | more)))


async def shown(ward: Any, **wanted: str) -> list[str]:
    async with ward.site.database.read() as connection:
        return await charts.find(connection, **wanted)


@pytest.mark.parametrize(("flags", "why"), [(["bare_visit_number"], NOT_REGISTERED), ([], UNASSIGNED)])
async def test_only_an_adt_opens_a_stay_and_what_named_it_before_joins_it_then(
    ward: Any, flags: list[str], why: str
) -> None:
    assert await ward.deliver(result(ward, 9, flags=flags)) == []
    assert (await ward.flags(), await shown(ward, visit="V1"), await shown(ward, patient="P1")) == ([why], [], [])
    outputs = await ward.deliver(ward.adt("admitted", 8))
    assert {output.kind for output in outputs} == {"encounter.admitted", "document.filed"}
    assert (numbers(await ward.chart()), await ward.flags()) == (["D9"], [])
    assert await shown(ward, visit="V1") == await shown(ward, patient="P1") == [ward.encounter("V1")]


async def test_a_fact_that_opens_a_stay_opens_it_though_it_is_no_adt(ward: Any) -> None:
    await ward.each([result(ward, 9), result(ward, 10, opens=True)])
    assert (numbers(await ward.chart()), await ward.flags()) == (["D9", "D10"], [])


async def test_whose_a_stay_is_and_in_which_zone_says_who_opened_it_not_who_named_it_first(ward: Any) -> None:
    await ward.each([result(ward, 7, who="P2"), ward.adt("admitted", 8, "P1")])
    chart = await ward.chart()
    assert (chart.patient.id.number, numbers(chart), await ward.flags()) == ("P1", [], [ANOTHER])


async def test_a_stay_that_nobody_opens_any_more_is_cancelled_and_what_it_held_waits(ward: Any) -> None:
    admission = ward.adt("admitted", 8)
    await ward.each([admission, result(ward, 9)])
    await ward.deliver(ward.message(number=1, revision=2))
    chart = await ward.chart()
    assert (chart.status, chart.patient, numbers(chart), await ward.flags()) == ("cancelled", None, [], [UNASSIGNED])


async def test_what_is_true_of_the_patient_waits_for_no_stay(ward: Any) -> None:
    allergy = Allergy(key="K", what=Code(text="青霉素"))
    await ward.deliver(result(ward, 9, kind="allergy.recorded", data=allergy), ward.adt("patient.updated", 9))
    assert await ward.flags() == []
    await ward.deliver(ward.adt("admitted", 8))
    assert [item.title for item in (await ward.chart()).allergies] == ["青霉素"]


# --- a number that is used again


def at(hour: float) -> Moment:
    return Moment(at=datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("admitted", [None, 60])
async def test_a_number_that_is_used_again_after_a_discharge_is_work_and_leaves_the_old_stay_alone(
    ward: Any, admitted: float | None, turned: bool
) -> None:
    again = {"admitted": at(admitted)} if admitted else {}
    old = [ward.adt("admitted", 8), ward.adt("discharged", 30)]
    new = [ward.adt("admitted", 60, department="CARD", **again), result(ward, 61), ward.adt("discharged", 90)]
    await ward.each([*reversed(old + new)] if turned else old + new)
    chart = await ward.chart()
    assert (chart.status, chart.discharged, chart.department, numbers(chart)) == ("discharged", at(30), "", [])
    assert await ward.flags() == [REUSED] * 3
    await ward.deliver(ward.adt("discharge_cancelled", 40))
    chart = await ward.chart()
    assert (chart.discharged, chart.department, numbers(chart), await ward.flags()) == (at(90), "CARD", ["D61"], [])


async def test_a_number_that_somebody_merges_into_is_looked_at_again(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.adt("discharged", 30, "P2"), ward.adt("admitted", 60)])
    assert await ward.flags() == [ANOTHER]
    await ward.deliver(ward.merge(70, "P2", "P1"))
    assert ((await ward.chart()).discharged, await ward.flags()) == (at(30), [REUSED])


async def test_with_a_counter_each_is_a_stay_of_its_own_and_the_rest_goes_by_its_time(ward: Any) -> None:
    first = [ward.adt("admitted", 8, stay="V1/1"), ward.adt("discharged", 30, stay="V1/1")]
    second = [ward.adt("admitted", 60, stay="V1/2", patient_class="inpatient")]
    loose = [result(ward, hour) for hour in (7, 9, 40, 61)]
    await ward.each([*loose[:2], *second, *loose[2:], *first])
    charts = [await ward.chart(stay) for stay in ("V1/1", "V1/2")]
    assert [(chart.status, numbers(chart)) for chart in charts] == [
        ("discharged", ["D7", "D9", "D40"]),
        ("admitted", ["D61"]),
    ]
    assert [chart.visit.counter for chart in charts] == ["1", "2"]
    assert (await ward.flags(), len(await shown(ward, visit="V1"))) == ([], 2)


async def test_an_adt_without_the_counter_opens_no_further_stay(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), ward.document(9)])
    assert numbers(await ward.chart()) == ["D1"]
    await ward.deliver(ward.adt("registered", 8, stay="V1/1"))
    old, new = await ward.chart(), await ward.chart("V1/1")
    assert (old.status, old.patient, numbers(old)) == ("cancelled", None, [])
    assert (new.status, numbers(new)) == ("admitted", ["D1"])


async def test_an_admission_of_the_same_counter_later_than_its_discharge_opens_it_again(ward: Any) -> None:
    told = [ward.adt(kind, hour, stay="V1/1") for kind, hour in (("admitted", 8), ("discharged", 30), ("admitted", 60))]
    await ward.each(told)
    chart = await ward.chart("V1/1")
    assert (chart.status, chart.admitted, chart.discharged, await ward.flags()) == ("admitted", at(60), None, [])
