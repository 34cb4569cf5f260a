"""A person gives a message to a stay: it is folded there, whatever comes first and however it is read."""

from typing import Any

import pytest

from hisbus_bus.flow.chart.store import BY_HAND
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import Assigned, Code, Document, Moment, Section, Translated, VisitId

HAND = "V2"


def decision(ward: Any, message: str, stay: str | None, hour: float, number: int | None = None) -> Translated:
    """What translate makes of a person's decision."""
    made = ward.message(number=number)
    at = ward.message(ward.fact("x.y", hour), number=1).events[0].time.at
    visit = None
    if stay is not None:
        name, _, counter = stay.partition("/")
        visit = VisitId(authority="HOSP", number=name, counter=counter)
    said = Assigned(message=message, encounter=ward.encounter(stay) if stay else "", visit=visit, who="user:ann", at=at)
    fact = {"kind": BY_HAND, "time": Moment(at=at), "data": said}
    return ward.message(fact, number=made.position.offset)


async def numbers(ward: Any, stay: str) -> list[str]:
    return [document.number for document in (await ward.chart(stay)).documents]


async def test_a_message_of_no_stay_is_folded_where_a_person_gives_it(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    data = Document(number="D9", action="file", type=Code(code="C0038"), sections=[Section(name="TEXT", text="a")])
    lost = ward.message(ward.fact("document.filed", 2, "P9", "V9", opens=False, data=data))
    await ward.deliver(lost)
    assert (await ward.flags(), await numbers(ward, HAND)) == (["unassigned_visit"], [])
    charted = await ward.deliver(decision(ward, lost.message, HAND, 5))
    assert {(one.encounter, one.kind) for one in charted} == {
        (ward.encounter(HAND), "document.filed"),
        (ward.encounter(HAND), BY_HAND),
    }
    assert (await ward.flags(), await numbers(ward, HAND)) == ([], ["D9"])


async def test_the_last_decision_stands_and_giving_it_to_none_undoes_all(ward: Any) -> None:
    for stay, who in (("V1", "P1"), (HAND, "P2")):
        await ward.deliver(ward.adt("admitted", 1, stay=stay, who=who))
    note = ward.document(2)
    await ward.deliver(note)
    first, second, none = (decision(ward, note.message, stay, 5 + n) for n, stay in enumerate((HAND, "V1", None)))
    await ward.deliver(second)
    await ward.deliver(first)  # it was decided before, and comes late
    assert (await numbers(ward, "V1"), await numbers(ward, HAND)) == (["D1"], [])
    await ward.deliver(decision(ward, note.message, HAND, 9))
    assert (await numbers(ward, "V1"), await numbers(ward, HAND)) == ([], ["D1"])
    await ward.deliver(none)
    assert (await numbers(ward, "V1"), await numbers(ward, HAND)) == ([], ["D1"]), "an older word changes nothing"
    await ward.deliver(decision(ward, note.message, None, 10))
    assert (await numbers(ward, "V1"), await numbers(ward, HAND)) == (["D1"], [])


async def test_a_message_that_is_read_again_stays_where_it_was_given(ward: Any) -> None:
    for stay, who in (("V1", "P1"), (HAND, "P2")):
        await ward.deliver(ward.adt("admitted", 1, stay=stay, who=who))
    await ward.deliver(ward.document(2))
    await ward.deliver(decision(ward, digest("message", 3), HAND, 5))
    section = Section(name="TEXT", text="second reading")
    data = Document(number="D1", action="file", type=Code(code="C0038"), sections=[section])
    await ward.deliver(ward.message(ward.fact("document.filed", 2, data=data), number=3, revision=2))
    assert await numbers(ward, "V1") == []
    assert [d.sections[0].text for d in (await ward.chart(HAND)).documents] == ["second reading"]


async def test_a_stay_takes_what_it_was_given_before_it_was_known(ward: Any) -> None:
    note = ward.document(2, stay=None, who="P9")
    await ward.deliver(decision(ward, note.message, HAND, 5))
    await ward.deliver(note)
    assert await ward.flags() == ["unassigned_visit"]
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    assert (await ward.flags(), await numbers(ward, HAND)) == ([], ["D1"])


async def test_what_opened_a_stay_by_mistake_opens_it_no_more_once_it_is_another_stays(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    wrong = ward.adt("transferred", 2, stay="V9", who="P9", department="Surgery")
    await ward.deliver(wrong)
    await ward.deliver(decision(ward, wrong.message, HAND, 5))
    assert (await ward.chart("V9")).status == "cancelled"
    assert (await ward.chart(HAND)).department == "Surgery"
    await ward.deliver(decision(ward, wrong.message, None, 6))
    assert (await ward.chart("V9")).status != "cancelled"
    assert (await ward.chart(HAND)).department == ""


async def test_a_decision_says_nothing_of_how_far_the_stay_was_heard_of(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    await ward.deliver(ward.document(2, stay=None, who="P9"))
    before = await ward.chart(HAND)
    made = decision(ward, digest("message", 2), HAND, 500)
    (output, *_) = await ward.deliver(made.model_copy(update={"clock": "wall"}))
    after = await ward.chart(HAND)
    assert (after.now, after.key) == (before.now, before.key), "its own backlog may still wait"
    assert (output.key, after.version > before.version) == (before.key, True)


@pytest.mark.parametrize("again", [1, 2])
async def test_a_decision_that_comes_again_changes_nothing_and_says_the_same(ward: Any, again: int) -> None:
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    await ward.deliver(ward.document(2, stay=None, who="P9"))
    made = decision(ward, digest("message", 2), HAND, 5)
    first = await ward.deliver(made)
    before = await ward.everything()
    for _ in range(again):
        assert await ward.deliver(made) == first
    assert await ward.everything() == before


async def test_no_patient_is_needed(ward: Any) -> None:
    await ward.deliver(ward.adt("admitted", 1, stay=HAND, who="P2"))
    nobody = ward.document(2, stay=None, who=None)
    await ward.deliver(nobody)
    assert await ward.flags() == ["unassigned_visit"]
    await ward.deliver(decision(ward, nobody.message, HAND, 5))
    assert (await ward.flags(), await numbers(ward, HAND)) == ([], ["D1"])
    await ward.deliver(decision(ward, nobody.message, None, 6))
    assert (await ward.flags(), await numbers(ward, HAND)) == (["unassigned_visit"], [])
