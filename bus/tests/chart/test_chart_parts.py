"""Allergies, doses, details of orders, notes, moves and unknown codes: what the fold keeps of them."""

from typing import Any

import pytest

from hisbus_bus.flow.chart.suspected import suspected
from hisbus_schemas import (
    LISTS,
    Administration,
    Allergy,
    Charge,
    Code,
    Diagnoses,
    Diagnosis,
    Document,
    Location,
    Moment,
    Order,
    Procedure,
    Reading,
    Report,
    Stay,
    Unknown,
    part_of,
)

W1, W2, W3 = (Location(ward=ward) for ward in ("W1", "W2", "W3"))
CEFTRIAXONE = Code(code="J01DD04", text="头孢曲松")


def order(ward: Any, hour: float, **more: Any) -> Any:
    body = Order(**({"key": "O1", "action": "changed", "what": Code()} | more))
    return ward.message(ward.fact("order.changed", hour, data=body))


async def test_what_an_order_does_not_say_again_is_unchanged_and_what_it_empties_is_gone(ward: Any) -> None:
    until = Moment(at="2026-03-05T08:00:00Z")
    told = {"dose": "2", "unit": "g", "frequency": "QD", "route": Code(code="IV"), "stop": until, "notes": ["缓慢静滴"]}
    await ward.deliver(order(ward, 8, action="placed", what=CEFTRIAXONE, order_class="medication", **told))
    await ward.deliver(order(ward, 10, dose="1", deleted=["stop", "notes"]))
    (found,) = (await ward.chart()).orders
    assert (found.what, found.order_class, found.status) == (CEFTRIAXONE, "medication", "changed")
    assert (found.dose, found.unit, found.frequency, found.route.code) == ("1", "g", "QD", "IV")
    assert (found.stop, found.notes) == (None, [])
    await ward.deliver(order(ward, 9, dose="4", unit="mg"))
    (found,) = (await ward.chart()).orders
    assert (found.dose, found.unit) == ("1", "mg"), "what comes late takes its place"


def allergy(ward: Any, hour: float, on: str | None = "V1", **more: Any) -> Any:
    body = Allergy(**({"key": "K", "what": Code(text="青霉素")} | more))
    return ward.message(ward.fact("allergy.recorded", hour, on=on, data=body))


async def test_an_allergy_is_kept_in_its_newest_state_and_a_withdrawn_one_stays_visible(ward: Any) -> None:
    await ward.deliver(allergy(ward, 8, kind="drug", severity="severe", reactions=["皮疹"], status="suspected"))
    await ward.deliver(allergy(ward, 9, status="confirmed", deleted=["reactions"]))
    (found,) = (await ward.chart()).allergies
    assert (found.kind, found.severity, found.status, found.reactions) == ("drug", "severe", "confirmed", [])
    await ward.deliver(allergy(ward, 10, withdrawn=True))
    (found,) = (await ward.chart()).allergies
    assert (found.title, found.counts) == ("青霉素", False)


async def test_an_allergy_outside_a_stay_waits_for_the_next_one_and_is_nobodys_work(ward: Any) -> None:
    await ward.deliver(allergy(ward, 9, on=None))
    assert await ward.flags() == []
    await ward.deliver(ward.adt("admitted", 8))
    assert [item.title for item in (await ward.chart()).allergies] == ["青霉素"]


async def test_a_dose_that_is_taken_back_no_longer_counts(ward: Any) -> None:
    def dose(hour: float, **more: Any) -> Any:
        body = Administration(**({"key": "O1/1", "order": "O1", "what": CEFTRIAXONE, "status": "given"} | more))
        return ward.message(ward.fact("medication.given", hour, data=body))

    await ward.deliver(dose(9, amount="2", unit="g", time=Moment(at="2026-03-02T09:00:00Z")))
    await ward.deliver(dose(10, status="withdrawn"))
    (found,) = (await ward.chart()).administrations
    assert (found.order, found.amount, found.unit, found.status, found.counts) == ("O1", "2", "g", "withdrawn", False)


async def test_notes_stand_with_the_reading_and_with_its_report(ward: Any) -> None:
    reading = Reading(item=Code(code="K"), values=["6.9"], notes=["已复查"])
    body = Report(number="R1", service=Code(code="S"), notes=["标本溶血"], readings=[reading])
    await ward.deliver(ward.message(ward.fact("result.reported", 9, data=body)))
    (found,) = (await ward.chart()).results
    assert (found.notes, found.report_notes) == (["已复查"], ["标本溶血"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("疑似肺炎", True),
        ("发热待查", True),
        ("胸痛待排", True),
        ("急性胰腺炎？", True),
        ("肺栓塞(肺?)", True),
        ("? pulmonary embolism", True),
        ("Rule out MI", True),
        ("R/O sepsis", True),
        ("Suspected stroke", True),
        ("肺炎", False),
        ("????", False),
        ("", False),
        ("疑似结核病的观察", False),
        ("Observation for suspected disease, ruled out", False),
        ("Contact with and (suspected) exposure to tuberculosis", False),
    ],
)
def test_a_diagnosis_is_suspected_where_its_words_say_so(text: str, expected: bool) -> None:
    assert suspected(text) == expected


async def test_what_the_source_says_of_a_suspicion_outweighs_the_text(ward: Any) -> None:
    items = [
        Diagnosis(code=Code(code=code, text="肺炎？"), suspected=said)
        for code, said in (("A", None), ("B", False), ("C", True))
    ]
    body = Diagnoses(status="admitting", items=items)
    await ward.deliver(ward.message(ward.fact("diagnosis.recorded", 9, data=body)))
    assert [item.suspected for item in (await ward.chart()).diagnoses] == [True, False, True]


# --- where he lay


async def history(ward: Any) -> list[tuple[int, str, str, str, bool]]:
    moves = (await ward.chart()).moves
    return [(m.since.at.hour, m.location.ward, m.department, m.patient_class, m.cancelled) for m in moves]


async def test_the_history_names_each_ward_department_and_class_from_when_on(ward: Any) -> None:
    await ward.each(
        [
            ward.adt("registered", 7, location=W1, patient_class="emergency"),
            ward.adt("admitted", 8, patient_class="inpatient", department="CARD"),
            ward.adt("updated", 9, location=W1),
            ward.adt("transferred", 12, location=W2),
            ward.adt("discharged", 20),
        ]
    )
    expected = [
        (7, "W1", "", "emergency", False),
        (8, "W1", "CARD", "inpatient", False),
        (12, "W2", "CARD", "inpatient", False),
    ]
    assert await history(ward) == expected
    await ward.deliver(ward.adt("transferred", 10, location=W3))
    assert await history(ward) == [*expected[:2], (10, "W3", "CARD", "inpatient", False), expected[2]]


async def test_a_cancelled_transfer_brings_him_back_and_stays_visible(ward: Any) -> None:
    back = ward.adt("transfer_cancelled", 13, location=W1)
    await ward.each([ward.adt("admitted", 8, location=W1), back, ward.adt("transferred", 12, location=W2)])
    assert [(row[1], row[4]) for row in await history(ward)] == [("W1", False), ("W2", True)]
    await ward.deliver(ward.adt("transferred", 14, location=W3))
    assert [row[1] for row in await history(ward)] == ["W1", "W2", "W3"]


@pytest.mark.parametrize("says", [None, W2, W1], ids=["nothing", "where it led", "where he lay"])
@pytest.mark.parametrize("kind", ["transferred", "beds_swapped"])
async def test_whose_transfer_is_cancelled_lies_where_he_lay(ward: Any, kind: str, says: Location | None) -> None:
    back = ward.adt("transfer_cancelled", 14, **({"location": says} if says else {}))
    there = ward.adt("updated", 13, location=W2, department="NEURO")
    await ward.each([ward.adt("admitted", 8, location=W1, department="CARD"), back, there])
    await ward.deliver(ward.adt(kind, 12, location=W2))
    chart = await ward.chart()
    assert (chart.location, chart.department) == (W1, "CARD")
    assert [(row[1], row[4]) for row in await history(ward)] == [("W1", False), ("W2", True), ("W2", True)]


async def test_a_cancelled_transfer_says_where_he_lies_where_nothing_else_did(ward: Any) -> None:
    await ward.each([ward.adt("transferred", 9, location=W2), ward.adt("transfer_cancelled", 10, location=W1)])
    await ward.deliver(ward.adt("transferred", 12, location=W3))
    assert [(row[1], row[4]) for row in await history(ward)] == [("W2", True), ("W1", False), ("W3", False)]
    assert (await ward.chart()).location == W3


async def test_a_stay_that_begins_again_begins_its_history_again(ward: Any) -> None:
    first, then = ward.adt("admitted", 8, location=W1), ward.adt("updated", 10, location=W2)
    await ward.each([first, ward.adt("cancelled", 9), then])
    assert await history(ward) == [(8, "W1", "", "", True)]
    await ward.deliver(ward.adt("admitted", 11, location=W1))
    assert await history(ward) == [(8, "W1", "", "", True), (11, "W1", "", "", False)]


# --- unknown codes


def unclassed(ward: Any, hour: float, code: str) -> Any:
    said = [Unknown(item="class", code=Code(code=code))]
    return ward.message(ward.fact("encounter.updated", hour, stay=Stay(deleted=["patient_class"]), unknown=said))


async def unknown(ward: Any) -> list[tuple[str, str, str]]:
    return [(each.item, each.entry, each.code.code) for each in (await ward.chart()).unknown]


async def test_an_unknown_class_is_kept_as_sent_until_a_class_is_known(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8, patient_class="inpatient"), unclassed(ward, 9, "ZY")])
    assert ((await ward.chart()).patient_class, await unknown(ward)) == ("", [("class", "", "ZY")])
    await ward.deliver(ward.adt("updated", 10, department="CARD"))
    assert await unknown(ward) == [("class", "", "ZY")], "what says nothing of the class changes nothing"
    await ward.deliver(ward.adt("updated", 11, patient_class="day"))
    assert ((await ward.chart()).patient_class, await unknown(ward)) == ("day", [])
    await ward.deliver(unclassed(ward, 10.5, "QT"))
    assert await unknown(ward) == [], "what comes late takes its place"


def filed(
    ward: Any, hour: float, number: str, code: str, *, known: bool, action: str = "file", parent: str = ""
) -> Any:
    body = Document(number=number, action=action, type=Code(code=code), parent=parent)
    said = [] if known else [Unknown(item="document:*", code=Code(code=code), entry=number)]
    return ward.message(ward.fact("document.filed", hour, data=body, unknown=said))


async def test_an_unknown_type_goes_with_its_document(ward: Any) -> None:
    await ward.each([filed(ward, 9, "D1", "PN", known=False), filed(ward, 9, "D2", "C0034", known=True)])
    first, _ = (await ward.chart()).documents
    assert await unknown(ward) == [("document:*", first.id, "PN")]
    await ward.deliver(filed(ward, 8, "D1", "C0038", known=True))
    assert await unknown(ward) == [("document:*", first.id, "PN")], "what comes late takes its place"
    await ward.deliver(filed(ward, 10, "D1", "C0037", known=True))
    assert await unknown(ward) == []


@pytest.mark.parametrize(("number", "action", "parent"), [("D1", "withdraw", ""), ("D2", "replace", "D1")])
async def test_of_a_document_that_no_longer_counts_nothing_is_unknown(
    ward: Any, number: str, action: str, parent: str
) -> None:
    await ward.deliver(filed(ward, 9, "D1", "PN", known=False))
    await ward.deliver(filed(ward, 10, number, "C0038", known=True, action=action, parent=parent))
    assert await unknown(ward) == []


async def test_an_unknown_item_of_a_report_is_of_its_reading(ward: Any) -> None:
    def report(hour: float, code: str, *said: Unknown) -> Any:
        body = Report(number="R1", service=Code(), readings=[Reading(item=Code(code=code), values=["1"])])
        return ward.message(ward.fact("result.reported", hour, data=body, unknown=list(said)))

    await ward.deliver(report(9, "TEMP", Unknown(item="vital:*", code=Code(code="TEMP"), entry="TEMP")))
    await ward.deliver(report(10, "PULSE"))
    first, _ = (await ward.chart()).results
    assert await unknown(ward) == [("vital:*", first.id, "TEMP")]
    await ward.deliver(report(11, "TEMP"))
    assert await unknown(ward) == []


async def test_every_part_of_a_chart_is_filled_by_some_event(ward: Any) -> None:
    code = Code(code="X")
    said: list[tuple[str, Any]] = [
        ("document.filed", Document(number="1", action="file", type=code)),
        ("diagnosis.recorded", Diagnoses(status="final", items=[Diagnosis(code=code)])),
        ("procedure.started", Procedure(key="1", code=code)),
        ("order.placed", Order(key="1", action="placed", what=code)),
        ("result.reported", Report(number="1", service=code, readings=[Reading(item=code)])),
        ("vitals.recorded", Report(number="2", service=code, readings=[Reading(item=code)])),
        ("charge.posted", Charge(key="1", code=code)),
        ("allergy.recorded", Allergy(key="1", what=code)),
        ("medication.given", Administration(key="1", what=code)),
    ]
    assert [part_of(kind, body.body) for kind, body in said] == [part.name for part in LISTS if part.bodies]
    facts = [ward.fact(kind, 9, data=body) for kind, body in said]
    await ward.deliver(ward.adt("admitted", 8, location=W1), ward.message(*facts), unclassed(ward, 10, "X"))
    chart = await ward.chart()
    assert [part.name for part in LISTS if not getattr(chart, part.name)] == []
