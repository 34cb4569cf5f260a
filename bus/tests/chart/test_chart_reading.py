"""Charts and events are read many at a time, as objects or as the text that is stored."""

from typing import Any

from hisbus_bus.kernel import charts
from hisbus_schemas import GRANTS, Chart, Code, Demographics, Event, Reading, Report


def report(ward: Any, hour: float, kind: str, *codes: str) -> Any:
    readings = [Reading(item=Code(code=code), values=[str(hour)]) for code in codes]
    return ward.message(ward.fact(kind, hour, data=Report(number="R1", service=Code(code="S"), readings=readings)))


async def test_many_charts_are_read_at_once_and_unknown_ones_left_out(ward: Any) -> None:
    await ward.deliver(*(ward.adt("admitted", 8, f"P{n}", f"V{n}", name=f"N{n}") for n in range(3)))
    ids = [ward.encounter(f"V{n}") for n in range(3)]
    async with ward.site.database.read() as connection:
        found = await charts.charts(connection, [*ids, "nobody", ids[0]])
    assert {id: chart.patient.name for id, chart in found.items() if chart.patient} == dict(
        zip(ids, ("N0", "N1", "N2"), strict=True)
    )


async def test_the_stored_text_is_the_chart_without_what_is_not_granted(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8, name='A "quoted" 名', patient_class="inpatient"), ward.document(9))
    await ward.deliver(report(ward, 10, "result.reported", "X"), report(ward, 10, "vitals.recorded", "Y"))
    chart = await ward.chart()
    async with ward.site.database.read() as connection:
        stored = (await charts.stored(connection, [chart.encounter]))[chart.encounter]
    assert (stored.version, stored.now, stored.key) == (chart.version, chart.now, chart.key)
    for granted in (frozenset(GRANTS), frozenset({"documents", "vitals"}), frozenset[str]()):
        assert Chart.model_validate_json(stored.json(granted)) == chart.project(granted)


async def test_events_are_read_at_once_as_they_were_taken_in(ward: Any) -> None:
    said = Demographics(name="A", deleted=["sex"])
    first = ward.message(ward.fact("encounter.admitted", 8, demographics=said), ward.fact("document.filed", 9))
    await ward.deliver(first)
    ids = [event.id for event in first.events]
    async with ward.site.database.read() as connection:
        assert await charts.events(connection, [*ids, "nobody"]) == {event.id: event for event in first.events}
        stored = await charts.stored_events(connection, ids)
    assert [Event.model_validate_json(stored[id]) for id in ids] == first.events


async def test_a_reading_moves_alone_to_the_part_of_its_newest_event(ward: Any) -> None:
    await ward.deliver(report(ward, 9, "result.reported", "X", "Y"))
    await ward.deliver(report(ward, 10, "vitals.recorded", "X"))
    chart = await ward.chart()
    assert [(item.item.code, item.values) for item in chart.results] == [("Y", ["9"])]
    assert [(item.item.code, item.values) for item in chart.vitals] == [("X", ["10"])]
    await ward.deliver(report(ward, 11, "vitals.recorded", "Y"))
    chart = await ward.chart()
    assert ([item.item.code for item in chart.vitals], chart.results) == (["X", "Y"], [])
