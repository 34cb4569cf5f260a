"""The entries of a chart: documents, diagnoses, procedures, orders, readings, charges."""

from typing import Any

from hisbus_schemas import (
    Charge,
    Code,
    Diagnoses,
    Diagnosis,
    Moment,
    Order,
    Procedure,
    Reading,
    Report,
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
