"""What stays bring of what rules need is counted until it is enough, once for each stay, whichever step counts."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from hisbus.errors import RetryLater
from hisbus.frames import AgentInfo
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_bus.kernel.coverage import Word
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import CoverageSettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import Charge, Code, Coverage, Document, Due, Moment, Need, Procedure, Section, Translated

from .conftest import Ward, at, moment

NOTE, CONSENT, CHARGES, CLASS = "document:C0034", "document:C0026", "charge", "class"
NEEDS = {
    "R01": (Need(item=NOTE, after="admission"), Need(item=CLASS, after="admission")),
    "R36": (Need(item=CONSENT, after="operation"),),
    "R50": (Need(item=CHARGES),),
}
OBSERVED = CoverageSettings(default="observed", stays=3, share=0.5)


async def site(database: Database, log: Any, settings: CoverageSettings = OBSERVED) -> Site:
    """A site with one agent, as its start leaves it."""
    made = Site(Settings(site="test", coverage=settings), Keys(b"test-secret"), log, database)
    info = AgentInfo(name="qc", version="1", kinds=frozenset(), grants=frozenset(), needs=NEEDS)
    async with database.write() as connection:
        await coverage.configure(connection, made.headers, settings)
        await rules.keep(connection, info)
    return made


@pytest.fixture
async def learning(database: Database, log: Any) -> Ward:
    return Ward(await site(database, log))


def admitted(ward: Ward, stay: str, hour: float = 1, **more: Any) -> Translated:
    return ward.adt("admitted", hour, f"P-{stay}", stay, **({"patient_class": "inpatient"} | more))


def filed(ward: Ward, stay: str, type: str = "C0034", hour: float = 2) -> Translated:
    body = Document(
        number=f"{type}-{stay}", action="file", type=Code(code=type), sections=[Section(name="TEXT", text="正文")]
    )
    return ward.message(ward.fact("document.filed", hour, f"P-{stay}", stay, data=body))


def operated(ward: Ward, stay: str) -> Translated:
    body = Procedure(key="O1", code=Code(code="47.01"), start=moment(3), operation=True)
    return ward.message(ward.fact("procedure.started", 3, f"P-{stay}", stay, data=body))


def with_notes(ward: Ward, *stays: str, **more: Any) -> list[Translated]:
    return [message for stay in stays for message in (admitted(ward, stay, **more), filed(ward, stay))]


async def known(database: Database) -> Coverage:
    async with database.read() as connection:
        return await coverage.read(connection)


async def counted(database: Database) -> dict[tuple[str, bool], int]:
    """Return on how many stays each item came (True), and how many called for it."""
    row = tables.coverage_stays.c
    async with database.read() as connection:
        rows = await connection.execute(select(row.item, row.seen, func.count()).group_by(row.item, row.seen))
        return {(item, seen): count for item, seen, count in rows}


async def told(database: Database) -> list[str]:
    """Return the stays that are told of a change, sorted."""
    async with database.read() as connection:
        values = await connection.scalars(select(tables.outbox.c.value))
        return sorted(Due.model_validate_json(value).encounter for value in values)


async def test_a_site_that_takes_everything_for_connected_counts_nothing(
    database: Database, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = Ward(await site(database, log, CoverageSettings()))
    monkeypatch.setattr(coverage, "stamp", None)  # whoever asks would fail
    await ward.each(with_notes(ward, "V1", "V2", "V3", "V4"))
    assert await counted(database) == {} and await known(database) == Coverage()


async def test_what_enough_stays_have_brought_is_connected_and_every_open_stay_is_told(
    learning: Ward, database: Database
) -> None:
    await learning.each([*with_notes(learning, "V1", "V2"), admitted(learning, "V3")])
    before = await known(database)
    assert (before.version, before.brings(NOTE), before.brings(CLASS)) == (2, False, True)
    assert await counted(database) == {(NOTE, True): 2, (NOTE, False): 3, (CLASS, True): 3, (CLASS, False): 3}
    async with database.write() as connection:
        await connection.execute(tables.outbox.delete())
    await learning.deliver(filed(learning, "V3"))
    now = await known(database)
    assert (now.version, now.brings(NOTE)) == (3, True)
    assert await told(database) == sorted(map(learning.encounter, ("V1", "V2", "V3")))
    async with database.read() as connection:
        rows = await connection.execute(select(tables.audit.c.actor, tables.audit.c.action, tables.audit.c.object))
        assert tuple(rows.all()[-1]) == ("step:chart", "coverage.connected", NOTE)


async def test_a_share_of_those_that_call_for_it_must_have_it(learning: Ward, database: Database) -> None:
    await learning.each([admitted(learning, f"V{number}") for number in range(4)])
    await learning.each(with_notes(learning, "V7", "V8", "V9"))
    assert not (await known(database)).brings(NOTE), "three of seven"
    await learning.deliver(filed(learning, "V0"))
    assert (await known(database)).brings(NOTE), "four of seven"


async def test_what_nothing_calls_for_is_connected_once_it_came_often_enough(
    learning: Ward, database: Database
) -> None:
    for stay in ("V1", "V2", "V3"):
        assert not (await known(database)).brings(CHARGES)
        body = Charge(key="C1", code=Code(code="X"))
        await learning.deliver(admitted(learning, stay))
        await learning.deliver(learning.message(learning.fact("charge.posted", 2, f"P-{stay}", stay, data=body)))
    assert (await known(database)).brings(CHARGES)


async def test_what_is_settled_and_what_nobody_asks_after_is_not_counted(learning: Ward, database: Database) -> None:
    await learning.each(with_notes(learning, "V1", "V2", "V3"))
    await learning.deliver(filed(learning, "V1", "C0099"))
    before = await counted(database)
    assert {item for item, _ in before} == {NOTE, CLASS}
    await learning.each(with_notes(learning, "V4", "V5"))
    assert await counted(database) == before


async def test_only_an_operation_that_has_begun_calls_for_what_operations_need(
    learning: Ward, database: Database
) -> None:
    await learning.each([admitted(learning, "V1"), filed(learning, "V1", "C0026")])
    assert await counted(database) == {(CLASS, True): 1, (CLASS, False): 1, (NOTE, False): 1, (CONSENT, True): 1}
    await learning.deliver(operated(learning, "V1"))
    assert (await counted(database))[CONSENT, False] == 1


@pytest.mark.parametrize("more", [{"patient_class": "outpatient"}, {"patient_class": "emergency"}])
async def test_an_outpatient_calls_for_nothing(learning: Ward, database: Database, more: dict[str, Any]) -> None:
    await learning.each([*with_notes(learning, "V1", "V2", "V3", "V4", **more), operated(learning, "V1")])
    assert {item for item, seen in await counted(database) if not seen} == set()
    assert not (await known(database)).brings(NOTE)


async def test_a_stay_that_was_cancelled_is_not_counted(learning: Ward, database: Database) -> None:
    await learning.deliver(admitted(learning, "V1"), learning.adt("cancelled", 2, "P-V1", "V1"))
    assert await counted(database) == {}


async def test_a_department_without_it_is_not_connected_once_enough_of_its_stays_call_for_it(
    learning: Ward, database: Database
) -> None:
    await learning.each(with_notes(learning, "V1", "V2", "V3", department="内科"))
    await learning.each([admitted(learning, f"B{number}", department="骨科") for number in (1, 2)])
    assert (await known(database)).brings(NOTE, "骨科"), "two stays say nothing for their department"
    await learning.deliver(admitted(learning, "B3", department="骨科"))
    now = await known(database)
    assert not now.brings(NOTE, "骨科") and now.brings(NOTE, "内科") and now.brings(NOTE, "儿科")
    await learning.each([filed(learning, "B1"), filed(learning, "B2")])
    assert (await known(database)).brings(NOTE, "骨科"), "two of three: it goes by the site again"


async def test_a_person_ends_the_counting(learning: Ward, database: Database) -> None:
    async with database.write() as connection:
        words = [Word(NOTE, "", "not_connected")]
        assert await coverage.say(connection, learning.site.headers, words, "command:root")
    await learning.each(with_notes(learning, "V1", "V2", "V3", "V4"))
    assert {item for item, _ in await counted(database)} == {CLASS}
    assert not (await known(database)).brings(NOTE)


async def test_the_configuration_s_word_ends_it_again_once_a_person_has_taken_theirs_back(
    learning: Ward, database: Database
) -> None:
    head = learning.site.headers
    settings = OBSERVED.model_copy(update={"items": {NOTE: "not_connected"}})
    async with database.write() as connection:
        await coverage.configure(connection, head, settings)
        for state in ("connected", "observed"):
            assert await coverage.say(connection, head, [Word(NOTE, "", state)], "command:root")  # type: ignore[arg-type]
    await learning.each(with_notes(learning, "V1"))
    assert {item for item, _ in await counted(database)} == {CLASS}
    assert not (await known(database)).brings(NOTE)


async def test_a_stay_counts_once_however_often_it_brings_a_thing_and_whoever_looks(
    learning: Ward, database: Database
) -> None:
    first = with_notes(learning, "V1", "V2")
    await learning.each(first)
    before = await counted(database)
    await learning.each(first)  # delivered again
    learning.step = ChartStep(learning.site)  # started again
    await learning.each([filed(learning, "V1", hour=5), filed(learning, "V2", hour=6)])
    await learning.each([learning.adt("updated", 7, "P-V1", "V1", name="B")])
    assert await counted(database) == before


async def test_what_was_rolled_back_is_counted_when_it_is_done_again(
    learning: Ward, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = admitted(learning, "V1")
    with monkeypatch.context() as broken:

        async def away(*_args: Any) -> None:
            raise RetryLater(code="database")

        broken.setattr(learning.step._counting, "_words", away)
        with pytest.raises(RetryLater):
            await learning.deliver(message)
    assert await counted(database) == {}
    await learning.deliver(message)
    assert await counted(database) == {(CLASS, True): 1, (CLASS, False): 1, (NOTE, False): 1}


async def test_two_steps_count_for_each_other(learning: Ward, database: Database) -> None:
    steps = [learning.step, ChartStep(learning.site)]
    for number, message in enumerate(with_notes(learning, "V1", "V2", "V3")):
        learning.step = steps[number % 2]
        await learning.deliver(message)
    assert (await known(database)).brings(NOTE)
    before = await counted(database)
    for learning.step in steps:
        await learning.each(with_notes(learning, "V4"))
    assert await counted(database) == before, "both know that it is settled"


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_of_steps_that_work_at_once_one_says_it(learning: Ward, database: Database) -> None:
    async def deliver(ward: Ward, messages: Sequence[Translated]) -> None:
        for message in messages:
            while True:
                try:
                    await ward.deliver(message)
                except RetryLater:
                    continue
                break

    for round in range(4):
        wards = [Ward(learning.site) for _ in range(3)]
        messages = [with_notes(ward, f"V{round}{number}") for number, ward in enumerate(wards)]
        for number, ward in enumerate(wards):
            ward.messages = 1000 * (round * 3 + number + 1)
            messages[number] = with_notes(ward, f"V{round}{number}")
        await asyncio.gather(*(deliver(ward, its) for ward, its in zip(wards, messages, strict=True)))
    async with database.read() as connection:
        said = [one.word.item for one in await coverage.journal(connection) if one.who == coverage.FOUND]
    assert sorted(said) == [CLASS, NOTE]


async def test_the_news_of_a_stay_that_was_read_in_later_does_not_make_it_a_present_one(learning: Ward) -> None:
    admission = admitted(learning, "V1")
    past = [event.model_copy(update={"backfill": True}) for event in admission.events]
    await learning.deliver(admission.model_copy(update={"events": past}))
    chart = await learning.chart()
    news = Due(agent="", name="coverage", due=chart.now, encounter=chart.encounter)
    fact = {"kind": coverage.KIND, "time": Moment(at=chart.now), "data": news}
    await learning.deliver(learning.message(fact))
    assert (await learning.chart()).backfill


async def test_the_news_makes_a_version_for_everybody_and_says_nothing_of_the_stay(learning: Ward) -> None:
    await learning.deliver(admitted(learning, "V1"))
    before = await learning.chart()
    news = Due(agent="", name="coverage", due=before.now, encounter=before.encounter)
    fact = {"kind": coverage.KIND, "time": Moment(at=before.now), "data": news}
    (output,) = await learning.deliver(learning.message(fact))
    after = await learning.chart()
    assert (output.kind, output.agent, output.by, output.version) == (coverage.KIND, "", "", before.version + 1)
    left_out = {"version", "now"}
    assert after.model_dump(exclude=left_out) == before.model_dump(exclude=left_out)
    assert after.now == before.now == at(1)
