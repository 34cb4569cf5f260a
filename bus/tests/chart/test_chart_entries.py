"""The entries of a chart: documents, diagnoses, procedures, orders, readings, charges."""

from typing import Any

import pytest

from hisbus_schemas import (
    Charge,
    Code,
    Diagnoses,
    Diagnosis,
    Document,
    Moment,
    Order,
    Person,
    Procedure,
    Reading,
    Report,
    Section,
)

SIGNED = Moment(at="2026-03-02T09:00:00Z")


def statuses(chart: Any) -> dict[str, str]:
    return {document.number: document.status for document in chart.documents}


async def test_a_document_is_signed_once_its_filing_says_so(ward: Any) -> None:
    await ward.deliver(ward.document(9))
    assert statuses(await ward.chart()) == {"D1": "draft"}
    await ward.deliver(ward.document(10, signed=SIGNED))
    (document,) = (await ward.chart()).documents
    assert (document.status, document.signed, document.text) == ("signed", SIGNED, "正文")


async def test_a_late_event_takes_its_place_in_the_fold(ward: Any) -> None:
    newer = ward.document(10, text="newer", signed=SIGNED)
    await ward.deliver(newer)
    await ward.deliver(ward.document(9, text="older"))
    (document,) = (await ward.chart()).documents
    assert (document.text, document.version) == ("newer", newer.events[0].id)


async def test_an_addendum_is_a_document_of_its_own(ward: Any) -> None:
    await ward.each([ward.document(9), ward.document(10, "D2", "addendum", parent="D1")])
    chart = await ward.chart()
    assert [(document.number, document.parent) for document in chart.documents] == [("D1", ""), ("D2", "D1")]


async def test_what_is_replaced_stays_replaced_even_when_filed_again(ward: Any) -> None:
    await ward.each([ward.document(9), ward.document(10, "D2", "replace", parent="D1"), ward.document(11)])
    chart = await ward.chart()
    assert statuses(chart) == {"D1": "replaced", "D2": "draft"}
    assert chart.documents[0].replaced_by == "D2"
    assert [document.number for document in chart.documents if document.counts] == ["D2"]


async def test_a_replacement_under_the_same_number_is_a_new_version(ward: Any) -> None:
    replacing = ward.document(10, "D1", "replace", parent="D1", text="new")
    await ward.each([ward.document(9, text="old"), replacing])
    (document,) = (await ward.chart()).documents
    assert (document.text, document.status, document.version) == ("new", "draft", replacing.events[0].id)


async def test_a_withdrawal_may_arrive_before_the_filing(ward: Any) -> None:
    await ward.deliver(ward.document(10, action="withdraw"))
    assert (await ward.chart()).documents == []
    await ward.deliver(ward.document(9, text="kept"))
    (document,) = (await ward.chart()).documents
    assert (document.status, document.text) == ("withdrawn", "kept")


async def test_a_replacement_may_arrive_before_what_it_replaces(ward: Any) -> None:
    await ward.deliver(ward.document(10, "D2", "replace", parent="D1"))
    assert statuses(await ward.chart()) == {"D2": "draft"}
    await ward.deliver(ward.document(9))
    assert statuses(await ward.chart()) == {"D1": "replaced", "D2": "draft"}


def diagnoses(
    ward: Any, hour: float, *codes: str, deleted: bool = False, status: str = "final", whole: bool = True
) -> Any:
    items = [Diagnosis(code=Code(code=code, system="ICD-10"), deleted=deleted) for code in codes]
    return ward.message(ward.fact("diagnosis.recorded", hour, data=Diagnoses(status=status, items=items, whole=whole)))


async def test_a_set_of_diagnoses_replaces_the_earlier_set_of_its_status(ward: Any) -> None:
    await ward.each(
        [diagnoses(ward, 8, "I10", status="admitting"), diagnoses(ward, 9, "I21", "E11"), diagnoses(ward, 10, "I21")]
    )
    found = [(item.status, item.code.code) for item in (await ward.chart()).diagnoses]
    assert found == [("admitting", "I10"), ("final", "I21")]


async def test_diagnoses_that_are_not_the_whole_set_are_added_to_it(ward: Any) -> None:
    await ward.each([diagnoses(ward, 8, "I21", "E11"), diagnoses(ward, 10, "J18", "E11", whole=False)])
    before = (await ward.chart()).diagnoses
    assert [item.code.code for item in before] == ["I21", "J18", "E11"]
    await ward.deliver(diagnoses(ward, 11, "I21", deleted=True, whole=False))
    after = (await ward.chart()).diagnoses
    assert after == before[1:]  # untouched, in their versions
    await ward.deliver(diagnoses(ward, 9, "N18"))
    assert [item.code.code for item in (await ward.chart()).diagnoses] == ["N18", "J18", "E11"]


async def test_a_set_that_is_all_deleted_removes_its_diagnoses(ward: Any) -> None:
    await ward.deliver(diagnoses(ward, 9, "I21", "E11"))
    before = {item.code.code: item.id for item in (await ward.chart()).diagnoses}
    await ward.deliver(diagnoses(ward, 10, "I21", deleted=True))
    assert {item.code.code: item.id for item in (await ward.chart()).diagnoses} == {"E11": before["E11"]}


def procedure(ward: Any, hour: float, key: str, **more: Any) -> Any:
    body = Procedure(key=key, code=Code(code="47.0"), operation=True, **more)
    return ward.message(ward.fact("procedure.started", hour, data=body))


async def test_procedures_add_up_and_one_can_be_deleted(ward: Any) -> None:
    start, end = Moment(at="2026-03-02T10:00:00Z"), Moment(at="2026-03-02T11:00:00Z")
    await ward.each(
        [
            procedure(ward, 10, "1", start=start),
            procedure(ward, 11, "2", start=start),
            procedure(ward, 12, "1", end=end),
        ]
    )
    first, _ = (await ward.chart()).procedures
    assert (first.key, first.start, first.end) == ("1", start, end)
    await ward.deliver(procedure(ward, 13, "1", deleted=True))
    assert [item.key for item in (await ward.chart()).procedures] == ["2"]


async def test_a_deletion_that_overtakes_its_procedure_still_deletes_it(ward: Any) -> None:
    await ward.deliver(procedure(ward, 13, "1", deleted=True))
    await ward.deliver(procedure(ward, 10, "1"))
    assert (await ward.chart()).procedures == []


async def test_an_order_has_the_state_of_its_newest_action(ward: Any) -> None:
    def order(hour: float, action: str, what: str = "") -> Any:
        body = Order(key="O1", placer="O1", action=action, what=Code(code=what))
        return ward.message(ward.fact(f"order.{action}", hour, data=body))

    await ward.each([order(9, "placed", "CBC"), order(11, "cancelled"), order(10, "changed", "CBC2")])
    (found,) = (await ward.chart()).orders
    assert (found.status, found.what.code) == ("cancelled", "CBC2")


def report(ward: Any, hour: float, value: str, *, status: str = "final", kind: str = "result.reported") -> Any:
    readings = [
        Reading(item=Code(code="8310-5"), values=[value] if value else [], status=status),
        Reading(item=Code(code="8867-4"), values=["80"], status="final"),
    ]
    body = Report(number="VS1", service=Code(code="VS"), readings=readings)
    return ward.message(ward.fact(kind, hour, data=body))


async def test_a_later_reading_takes_the_place_of_the_earlier(ward: Any) -> None:
    await ward.each([report(ward, 9, "42.1"), report(ward, 10, "36.5")])
    assert [item.values for item in (await ward.chart()).results] == [["36.5"], ["80"]]


async def test_a_withdrawn_reading_stays_visible(ward: Any) -> None:
    await ward.each(
        [
            report(ward, 9, "42.1", kind="vitals.recorded"),
            report(ward, 10, "", status="withdrawn", kind="vitals.recorded"),
        ]
    )
    assert [item.withdrawn for item in (await ward.chart()).vitals] == [True, False]


async def test_charges_are_kept_by_their_key(ward: Any) -> None:
    for amount in ("1", "2"):
        body = Charge(key="C1", code=Code(code="X"), amount=amount)
        await ward.deliver(ward.message(ward.fact("charge.posted", 9 + int(amount), data=body)))
    assert [item.amount for item in (await ward.chart()).charges] == ["2"]


async def test_an_entry_keeps_its_id_and_its_ref_names_the_newest_event(ward: Any) -> None:
    await ward.deliver(ward.document(9))
    (first,) = (await ward.chart()).documents
    again = ward.document(10)
    await ward.deliver(again)
    chart = await ward.chart()
    (second,) = chart.documents
    assert (first.id, second.ref) == (second.id, f"{first.id}@{again.events[0].id}")
    assert chart.holds(second.ref)
    assert not chart.holds(first.ref)
    assert "@" not in first.id


# --- what happens to a document that is there


async def test_a_status_signs_a_document_and_changes_nothing_else_of_it(ward: Any) -> None:
    doctor, other = Person(id="1", name="李"), Code(code="C0034")
    await ward.deliver(ward.document(9, text="正文", completion="IP"))
    signing = ward.document(10, action="status", text="", completion="LA", signed=SIGNED, author=doctor, about=SIGNED)
    bare = signing.events[0].data.model_copy(update={"sections": [], "type": other})
    signing.events[0] = signing.events[0].model_copy(update={"data": bare})
    (before,) = (await ward.chart()).documents
    await ward.deliver(signing)
    (after,) = (await ward.chart()).documents
    changed = {"status", "signed", "completion", "author", "version"}
    assert (after.status, after.signed, after.completion, after.author) == ("signed", SIGNED, "LA", doctor)
    assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    await ward.deliver(ward.document(11, action="status", completion="IP", text="新的正文"))
    (again,) = (await ward.chart()).documents
    assert (again.status, again.signed, again.text, again.author) == ("draft", None, "新的正文", doctor)


def sections(*named: tuple[str, str]) -> list[Section]:
    return [Section(name=name, text=text) for name, text in named]


async def test_an_edit_changes_the_sections_that_come(ward: Any) -> None:
    def of(hour: float, action: str, *named: tuple[str, str], **more: Any) -> Any:
        body = Document(number="D1", action=action, type=Code(code="C0034"), sections=sections(*named), **more)
        return ward.message(ward.fact("document.filed", hour, data=body))

    await ward.deliver(of(9, "file", ("ZS", "a"), ("XBS", "b"), ("XBS", "b2"), ("TGJC", "c"), signed=SIGNED))
    await ward.deliver(of(10, "edit", ("XBS", "B"), ("NEW", "d"), completion="IP"))
    (document,) = (await ward.chart()).documents
    assert document.sections == sections(("ZS", "a"), ("XBS", "B"), ("TGJC", "c"), ("NEW", "d"))
    assert document.signed == SIGNED, "an edit says nothing of the signature"


@pytest.mark.parametrize("late", [True, False])
async def test_a_status_or_edit_applies_to_what_is_filed_only_later(ward: Any, late: bool) -> None:
    signing = ward.document(10, action="status", completion="LA", signed=SIGNED)
    edit = ward.document(10, action="edit", text="b")
    await ward.each([signing, edit])
    assert (await ward.chart()).documents == []
    await ward.deliver(ward.document(9 if late else 11, text="a", completion="IP"))
    (document,) = (await ward.chart()).documents
    assert (document.status, document.signed, document.text) == ("signed", SIGNED, "b")


@pytest.mark.parametrize("action", ["status", "edit"])
async def test_what_was_withdrawn_or_replaced_stays_so_whatever_its_status(ward: Any, action: str) -> None:
    await ward.each([ward.document(9), ward.document(9, "D2"), ward.document(10, action="withdraw")])
    await ward.deliver(ward.document(10, "D3", "replace", parent="D2"))
    await ward.each([ward.document(11, number, action, completion="LA", signed=SIGNED) for number in ("D1", "D2")])
    assert statuses(await ward.chart()) == {"D1": "withdrawn", "D2": "replaced", "D3": "draft"}


# --- which reading is which


def readings(ward: Any, hour: float, *said: Reading, kind: str = "result.reported", **more: Any) -> Any:
    body = Report(**({"number": "R1", "service": Code(code="S")} | more), readings=list(said))
    return ward.message(ward.fact(kind, hour, data=body))


def read(value: str, code: str = "K", **more: Any) -> Reading:
    return Reading(**({"item": Code(code=code), "values": [value]} | more))


async def values(ward: Any, part: str = "results") -> list[str]:
    return [item.value for item in getattr(await ward.chart(), part)]


DIFFERENT = {
    "sub": [read("1", sub="1"), read("2", sub="1.1")],
    "system": [read("1", item=Code(code="K", system="L")), read("2", item=Code(code="K", system="LN"))],
    "text": [read("1", item=Code(text="钾")), read("2", item=Code(text="钠"))],
    "alternate": [read("1", item=Code(alternate_code="A")), read("2", item=Code(alternate_code="B"))],
    "alternate_text": [read("1", item=Code(alternate_text="A")), read("2", item=Code(alternate_text="B"))],
    "nothing": [read("1"), read("2")],
    "ordinal": [read("1"), read("2", ordinal=1)],
}


@pytest.mark.parametrize("how", DIFFERENT)
async def test_readings_of_one_message_stand_beside_each_other_and_a_later_message_replaces_each(
    ward: Any, how: str
) -> None:
    said = DIFFERENT[how]
    await ward.deliver(readings(ward, 9, *said))
    before = (await ward.chart()).results
    assert [item.value for item in before] == ["1", "2"]
    later = [reading.model_copy(update={"values": [f"{reading.values[0]}a"]}) for reading in said]
    await ward.deliver(readings(ward, 10, *later))
    after = (await ward.chart()).results
    assert [item.value for item in after] == ["1a", "2a"]
    assert [item.id for item in after] == [item.id for item in before]
    assert len({item.id for item in after}) == 2


@pytest.mark.parametrize("status", ["preliminary", "final", ""])
async def test_a_later_reading_takes_the_place_whatever_its_status(ward: Any, status: str) -> None:
    await ward.each([readings(ward, 9, read("1", status="corrected")), readings(ward, 10, read("2", status=status))])
    assert await values(ward) == ["2"]


async def test_two_panels_under_one_number_are_two_readings(ward: Any) -> None:
    serum, fluid = Code(code="SER"), Code(code="CSF")
    both = [Report(number="R1", service=service, readings=[read(service.code)]) for service in (serum, fluid)]
    await ward.deliver(ward.message(*(ward.fact("result.reported", 9, data=body) for body in both)))
    assert await values(ward) == ["SER", "CSF"]


async def test_two_reports_of_one_message_never_replace_each_other(ward: Any) -> None:
    both = [Report(number="R1", service=Code(code="S"), readings=[read(value)]) for value in "12"]
    await ward.deliver(ward.message(*(ward.fact("result.reported", 9, data=body) for body in both)))
    assert await values(ward) == ["1", "2"]
    assert [item.ordinal for item in (await ward.chart()).results] == [0, 1]


async def test_vital_signs_of_two_times_are_two_and_of_one_time_the_later_message_counts(ward: Any) -> None:
    eight, nine = (Moment(at=f"2026-03-02T0{hour}:00:00Z") for hour in (8, 9))
    vitals = {"kind": "vitals.recorded"}
    await ward.deliver(readings(ward, 9, read("36.5", time=eight), read("36.6", time=nine), **vitals))
    await ward.deliver(readings(ward, 10, read("37.5"), time=nine, **vitals))
    assert await values(ward, "vitals") == ["36.5", "37.5"]
    await ward.deliver(readings(ward, 11, read("37.6", time=nine), read("4.0", "X")))
    assert (await values(ward, "vitals"), await values(ward)) == (["36.5"], ["37.6", "4.0"])


async def test_a_reading_has_the_time_of_its_report_where_it_has_none_of_its_own(ward: Any) -> None:
    eight, nine = (Moment(at=f"2026-03-02T0{hour}:00:00Z") for hour in (8, 9))
    await ward.deliver(readings(ward, 9, read("1"), read("2", "X", time=nine), time=eight, reported=nine))
    found = (await ward.chart()).results
    assert [(item.time, item.reported) for item in found] == [(eight, nine), (nine, nine)]


# --- orders, diagnoses


async def test_an_order_that_was_stopped_counts_until_then_and_one_that_was_cancelled_never_ran(ward: Any) -> None:
    def order(hour: float, action: str, **more: Any) -> Any:
        body = Order(key="O1", action=action, what=Code(code="X"), **more)
        return ward.message(ward.fact(f"order.{action}", hour, data=body))

    await ward.each([order(8, "placed"), order(10, "stopped", stopped=SIGNED)])
    (found,) = (await ward.chart()).orders
    assert (found.status, found.stopped, found.counts) == ("stopped", SIGNED, True)
    await ward.deliver(order(11, "stopped"))
    assert (await ward.chart()).orders[0].stopped == SIGNED, "nothing newer was said"
    await ward.deliver(order(12, "cancelled"))
    (found,) = (await ward.chart()).orders
    assert (found.status, found.stopped, found.counts) == ("cancelled", None, False)


async def test_an_order_that_was_stopped_without_a_time_ran_until_it_was_said(ward: Any) -> None:
    body = Order(key="O1", action="stopped", what=Code(code="X"))
    stop = ward.message(ward.fact("order.stopped", 10, data=body))
    await ward.deliver(stop)
    assert (await ward.chart()).orders[0].stopped == stop.events[0].time


async def test_two_sets_of_diagnoses_of_one_message_stand_beside_each_other(ward: Any) -> None:
    items = [Diagnosis(code=Code(code=code)) for code in ("I21", "E11")]
    both = [ward.fact("diagnosis.recorded", 9, data=Diagnoses(status="final", items=[item])) for item in items]
    await ward.each([diagnoses(ward, 8, "I10"), ward.message(*both)])
    assert [item.code.code for item in (await ward.chart()).diagnoses] == ["I21", "E11"]


async def test_diagnoses_that_have_only_a_text_or_an_alternate_are_deleted_one_by_one(ward: Any) -> None:
    codes = [Code(text="肺炎"), Code(alternate_code="J18", alternate_system="I10"), Code(alternate_text="pneumonia")]
    said = [Diagnosis(code=code) for code in codes]
    await ward.deliver(ward.message(ward.fact("d", 8, data=Diagnoses(status="final", items=said))))
    gone = [Diagnosis(code=codes[1], deleted=True)]
    await ward.deliver(ward.message(ward.fact("d", 9, data=Diagnoses(status="final", items=gone, whole=False))))
    assert [item.code for item in (await ward.chart()).diagnoses] == [codes[0], codes[2]]
