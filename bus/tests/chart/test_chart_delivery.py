"""What the step does with copies, revisions and many events."""

from typing import Any

import pytest

from hisbus.errors import BadMessage
from hisbus_bus.kernel import charts
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Code, Document, Due, Section


async def test_a_redelivery_changes_no_table_and_appends_the_same_ids(ward: Any) -> None:
    messages = [ward.adt("admitted", 8), ward.document(9), ward.merge(10, "P1", "P2"), ward.document(9, stay=None)]
    first = await ward.each(messages)
    before = await ward.everything()
    again = await ward.each(messages)
    assert again == first
    assert len(again) == len({output.id for output in again})
    assert await ward.everything() == before


async def test_a_version_is_appended_once_everybody_can_read_it(ward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    async def append(records: Any) -> None:
        read.extend([(await ward.chart()).version] * len(records))

    monkeypatch.setattr(ward.site.log, "append", append)
    await ward.deliver(ward.adt("admitted", 8))
    assert read == [1]


async def test_a_message_that_says_nothing_is_remembered(ward: Any) -> None:
    assert await ward.deliver(ward.message()) == []
    assert len((await ward.everything())["charted_messages"]) == 1


def revised(ward: Any, revision: int, *, stay: str = "V1", text: str = "old") -> Any:
    body = Document(number="D1", action="file", type=Code(code="C0034"), sections=[Section(name="T", text=text)])
    return ward.message(ward.fact("document.filed", 9, "P1", stay, data=body), number=50, revision=revision)


async def test_a_higher_revision_replaces_the_events_of_its_message(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), revised(ward, 1)])
    await ward.deliver(revised(ward, 2, text="mended"))
    (document,) = (await ward.chart()).documents
    assert (document.text, document.version) == ("mended", digest(digest("message", 50), 2, 0))


async def test_a_lower_revision_is_ignored(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), revised(ward, 2, text="mended")])
    before = await ward.everything()
    assert await ward.deliver(revised(ward, 1)) == []
    assert await ward.everything() == before


async def test_a_revision_refolds_the_stay_that_it_left(ward: Any) -> None:
    await ward.each([ward.adt("admitted", 8), revised(ward, 1)])
    outputs = await ward.deliver(revised(ward, 2, stay="V2"))
    assert {output.encounter for output in outputs} == {ward.encounter("V1"), ward.encounter("V2")}
    assert (await ward.chart("V1")).documents == []
    assert len((await ward.chart("V2")).documents) == 1


async def test_a_stay_that_no_event_names_any_more_stands_as_cancelled(ward: Any) -> None:
    await ward.deliver(revised(ward, 1))
    (output,) = await ward.deliver(ward.message(number=50, revision=2))
    chart = await ward.chart()
    assert (output.encounter, chart.status, chart.documents, chart.patient) == (chart.encounter, "cancelled", [], None)
    async with ward.site.database.read() as connection:
        assert await charts.event(connection, output.event) is None


async def test_a_wake_for_an_unknown_stay_is_a_bad_message(ward: Any) -> None:
    due = Due(agent="qc", name="R01", due="2026-03-03T09:00:00Z", encounter="nobody")
    with pytest.raises(BadMessage) as raised:
        await ward.deliver(ward.message(ward.fact("timer.due", 9, None, None, data=due)))
    assert raised.value.code == "unknown_encounter"
    assert not any((await ward.everything()).values())


async def test_what_cannot_be_read_is_a_bad_message(ward: Any) -> None:
    record = Record("events", 0, 1, "key", b"{}", {}, ward.message().position.recorded)
    with pytest.raises(BadMessage) as raised:
        await ward.step.handle(Batch([record], {0: 2}))
    assert raised.value.code == "malformed"


async def test_an_event_costs_the_same_at_the_end_of_a_long_stay(ward: Any, counted: Any) -> None:
    def document(number: int) -> Any:
        return ward.document(9 + number / 100, f"D{number}")

    await ward.deliver(ward.adt("admitted", 8, name="A", patient_class="inpatient"))
    await ward.deliver(*(document(number) for number in range(1, 50)))
    with counted(ward.site.database) as early:
        await ward.deliver(document(50))
    await ward.deliver(*(document(number) for number in range(51, 1000)))
    with counted(ward.site.database) as late:
        await ward.deliver(document(1000))
    assert late == early
    assert len(late) < 20
    assert len((await ward.chart()).documents) == 1000


async def test_a_late_event_reads_only_what_it_touches(ward: Any, counted: Any) -> None:
    await ward.deliver(ward.adt("admitted", 8), *(ward.document(9 + n / 100, f"D{n}") for n in range(200)))
    with counted(ward.site.database) as sent:
        await ward.deliver(ward.document(8.5, "D7"))
    assert len(sent) < 20
    assert not [statement for statement in sent if statement[0].startswith("DELETE")]
    (document,) = [document for document in (await ward.chart()).documents if document.number == "D7"]
    assert document.filed.at > (await ward.chart()).admitted.at


async def test_a_batch_costs_hardly_more_statements_than_one_message(ward: Any, counted: Any) -> None:
    await ward.deliver(*(ward.adt("admitted", 8, f"P{n}", f"V{n}") for n in range(16)))
    with counted(ward.site.database) as sent:
        await ward.deliver(*(ward.document(9, who=f"P{n}", stay=f"V{n}") for n in range(16)))
    assert len(sent) < 20
