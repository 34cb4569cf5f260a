"""Who knows a stay reads what changed, and then knows it as if it had been read whole."""

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from hisbus_bus.kernel.charts import stored
from hisbus_bus.kernel.kept import Kept
from hisbus_bus.kernel.stored import StoredChart
from hisbus_schemas import Code, Document

from .test_chart_property import VISITS, batches, deliveries, given_by_hand, of_one_number

conversations = deliveries() | deliveries(of_one_number()) | given_by_hand() | given_by_hand(of_one_number())


def said(stays: Mapping[str, StoredChart]) -> dict[str, Any]:
    """Everything that is told of stays, with what a process is told to check its own by."""
    digests = {
        id: {name: rows.digest for name, rows in stay.parts.items() if rows.digest} for id, stay in stays.items()
    }
    return {id: (stay.chart(), stay.waits, digests[id]) for id, stay in stays.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(conversations, st.data())
async def test_what_changed_laid_over_what_was_known_is_the_stay(fresh_ward: Any, delivery: Any, data: Any) -> None:
    messages, order, sizes = delivery
    async with fresh_ward() as ward:
        kept = Kept(ward.site.database)
        chosen = [ward.message(*messages[n][revision], number=n, revision=revision + 1) for n, revision in order]
        ids = [ward.encounter(stay) for stay in VISITS]
        for batch in batches(chosen, sizes):
            await ward.deliver(*batch)
            asked = data.draw(st.sets(st.sampled_from(ids)))
            async with ward.site.database.read() as connection:
                found, whole = await kept.read(connection, asked), await stored(connection, asked)
            assert said(found) == said(whole)


async def statements(ward: Any, kept: Kept) -> int:
    sent: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    engine = ward.site.database.engine.sync_engine
    async with ward.site.database.read() as connection:
        event.listen(engine, "before_cursor_execute", remember)
        await kept.read(connection, [ward.encounter("V1")])
        event.remove(engine, "before_cursor_execute", remember)
    return len(sent)


async def rows_read(ward: Any, kept: Kept, *before: StoredChart) -> list[str]:
    """The entries of V1 that are other objects than before."""
    async with ward.site.database.read() as connection:
        (found,) = (await kept.read(connection, [ward.encounter("V1")])).values()
    known = [row for stay in before for rows in stay.parts.values() for row in rows.by_entry.values()]
    new = [row for rows in found.parts.values() for row in rows.by_entry.values()]
    return [row.items for row in new if not any(row is old for old in known)]


async def test_no_more_is_read_than_what_changed(ward: Any) -> None:
    kept = Kept(ward.site.database)
    await ward.deliver(ward.adt("admitted", 8), ward.document(9, "D1", text="first"))
    async with ward.site.database.read() as connection:
        (before,) = (await kept.read(connection, [ward.encounter("V1")])).values()
    assert await statements(ward, kept) == 1
    await ward.deliver(ward.document(10, "D2", text="second"))
    (new,) = await rows_read(ward, kept, before)
    assert "second" in new


async def test_a_stay_that_was_folded_anew_is_read_anew(ward: Any) -> None:
    kept = Kept(ward.site.database)
    notes = [ward.fact("document.filed", hour, data=Document(number=number, action="file", type=Code(code="C1")))
             for hour, number in ((9, "D1"), (10, "D2"))]  # fmt: skip
    await ward.deliver(ward.adt("admitted", 8), ward.message(*notes, number=7))
    await rows_read(ward, kept)
    await ward.deliver(ward.message(notes[1], number=7, revision=2))
    async with ward.site.database.read() as connection:
        (found,) = (await kept.read(connection, [ward.encounter("V1")])).values()
    assert [note.number for note in found.chart().documents] == ["D2"]


async def test_what_was_kept_is_forgotten_once_a_connection_was_lost(ward: Any) -> None:
    kept = Kept(ward.site.database)
    await ward.deliver(ward.adt("admitted", 8), ward.document(9))
    async with ward.site.database.read() as connection:
        (before,) = (await kept.read(connection, [ward.encounter("V1")])).values()
    async with ward.site.database.engine.connect() as connection:
        await connection.invalidate()
    assert len(await rows_read(ward, kept, before)) == sum(len(rows.by_entry) for rows in before.parts.values())


async def test_no_more_stays_are_kept_than_there_is_room_for(ward: Any) -> None:
    await ward.deliver(*(ward.adt("admitted", 8, f"P{n}", f"V{n}") for n in (1, 2)))
    async with ward.site.database.read() as connection:
        first, second = (await stored(connection, [ward.encounter("V1"), ward.encounter("V2")])).values()
        kept = Kept(ward.site.database, first.size + second.size - 1)
        for encounter, there in ((first, 1), (second, 1), (first, 1)):
            await kept.read(connection, [encounter.encounter])
            assert len(kept._stays) == there
