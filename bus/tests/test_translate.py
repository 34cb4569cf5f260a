import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.connector import Counted, Raw, Translation
from hisbus.errors import BadMessage
from hisbus_bus.flow.translate import Translate
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import digest
from hisbus_mapping import Losses
from hisbus_schemas import Assigned, Due, Fact, Moment, Translated, VisitId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Connector:
    name = "his"
    timezone = "Asia/Shanghai"
    clock = "feed"


class Mapping:
    """Maps a message to one fact for each of its lines; ``?`` is unmapped, ``!`` cannot be read."""

    name = "v1"
    connector = Connector()

    def translate(self, raw: Raw, answers: Any = None) -> Translation:
        text = raw.body.decode()
        if text == "!":
            raise BadMessage("It cannot be read.", code="unreadable")
        if text == "?":
            return Translation(mapped=False)
        lines = text.split()
        return Translation(
            mapped=True,
            facts=[Fact(kind=line, time=Moment(at=NOON + timedelta(hours=n))) for n, line in enumerate(lines)],
        )


@pytest.fixture
def mapping() -> Mapping:
    return Mapping()


@pytest.fixture
def step(site: Site, mapping: Any) -> Translate:
    return Translate(site, Live([mapping]))


def record(offset: int, body: str, *, message: str = "", control_id: str = "", **headers: str) -> Record:
    known = {"message": message or f"id-of-{body}", "connector": "his", "control_id": control_id, **headers}
    return Record("raw", 0, offset, "key", body.encode(), known, NOON + timedelta(seconds=offset))


async def take(step: Translate, *records: Record) -> None:
    for one in records:
        await step.handle(Batch([one], {0: one.offset + 1}))


async def ledger(site: Site) -> Sequence[Any]:
    async with site.database.read() as connection:
        return (await connection.execute(select(tables.messages).order_by(tables.messages.c.offset))).all()


def translated(log: Any) -> list[Translated]:
    return [Translated.model_validate_json(one.value) for one in log.appended]


async def test_a_message_becomes_one_record_with_all_its_events(site: Site, step: Translate, log: Any) -> None:
    await take(step, record(0, "a.b c.d"))
    (output,) = translated(log)
    assert [event.kind for event in output.events] == ["a.b", "c.d"]
    assert [event.id for event in output.events] == [digest("id-of-a.b c.d", 1, 0), digest("id-of-a.b c.d", 1, 1)]
    assert output.position.offset == 0
    assert [row.status for row in await ledger(site)] == ["mapped"]


async def test_the_same_position_again_is_a_redelivery_and_is_appended_again(
    site: Site, step: Translate, log: Any
) -> None:
    await take(step, record(0, "a.b"), record(0, "a.b"))
    first, second = log.appended
    assert first.value == second.value
    assert first.headers["ce_id"] == second.headers["ce_id"]
    assert len(await ledger(site)) == 1


async def test_a_further_copy_is_marked_and_makes_no_event(site: Site, step: Translate, log: Any) -> None:
    await take(step, record(0, "a.b"), record(1, "a.b"), record(1, "a.b"))
    assert len(log.appended) == 1
    assert [row.status for row in await ledger(site)] == ["mapped", "duplicate"]


async def test_the_same_control_id_with_other_content_is_a_new_message_and_flagged(
    site: Site, step: Translate, log: Any
) -> None:
    await take(step, record(0, "a.b", control_id="17"), record(1, "c.d", control_id="17"))
    assert [row.status for row in await ledger(site)] == ["mapped", "mapped"]
    assert [row.flags for row in await ledger(site)] == ["[]", '["control_id_reused"]']
    assert len(log.appended) == 2


async def test_what_is_flagged_is_what_was_flagged_when_it_was_read_last(
    site: Site, step: Translate, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control id that was another's stays so, and that of the first never becomes so."""
    await take(step, record(0, "a.b", control_id="17"), record(1, "c.d", control_id="17", flags="crlf_segments"))
    monkeypatch.setattr(mapping, "name", "v2")
    monkeypatch.setattr(mapping, "translate", lambda raw, answers: Translation(True, flags=["unknown_code.X"]))
    again = {"control_id": "17", "replay": "x"}
    await take(
        step, record(7, "a.b", origin="0:0", **again), record(8, "c.d", origin="0:1", flags="nul_bytes", **again)
    )
    assert [json.loads(row.flags) for row in await ledger(site)] == [
        ["unknown_code.X"],
        ["nul_bytes", "unknown_code.X", "control_id_reused"],
    ]


async def test_two_messages_of_one_batch_with_the_same_control_id_are_flagged_too(site: Site, step: Translate) -> None:
    both = [record(0, "a.b", control_id="17"), record(1, "c.d", control_id="17")]
    await step.handle(Batch(both, {0: 2}))
    assert [row.flags for row in await ledger(site)] == ["[]", '["control_id_reused"]']


async def test_a_message_without_mapping_is_kept_as_unmapped_with_an_empty_record(
    site: Site, step: Translate, log: Any
) -> None:
    await take(step, record(0, "?"))
    assert [row.status for row in await ledger(site)] == ["unmapped"]
    assert translated(log)[0].events == []


async def test_a_message_that_is_withheld_says_why_and_a_copy_of_it_is_read_anew(
    site: Site, step: Translate, log: Any, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    withheld = Translation(mapped=False, withheld="not_production")
    with monkeypatch.context() as patch:
        patch.setattr(mapping, "translate", lambda raw, answers=None: withheld)
        await take(step, record(0, "a.b"))
    assert [row.status for row in await ledger(site)] == ["not_production"]
    assert translated(log)[0].events == []
    monkeypatch.setattr(mapping, "name", "v2")
    await take(step, record(1, "a.b"))
    assert [(row.status, row.revision) for row in await ledger(site)] == [("mapped", 2), ("duplicate", 0)]
    assert [event.kind for event in translated(log)[-1].events] == ["a.b"]


async def test_what_was_refused_at_arrival_is_parked_with_the_verdict(site: Site, step: Translate, log: Any) -> None:
    await take(step, record(0, "not hl7", verdict="not_hl7"))
    assert [(row.status, row.reason) for row in await ledger(site)] == [("parked", "not_hl7")]
    async with site.database.read() as connection:
        (row,) = (await connection.execute(select(tables.parked))).all()
    assert (row.step, row.reason, row.value) == ("translate", "not_hl7", b"not hl7")
    assert not log.appended


async def test_a_copy_that_is_taken_closes_what_was_refused_and_neither_is_undone_by_a_redelivery(
    site: Site, step: Translate, log: Any
) -> None:
    refused = record(0, "a.b", verdict="undecodable")
    twice = record(1, "a.b", verdict="undecodable")
    taken = record(2, "a.b", control_id="17", msgtype="ADT^A01")
    await take(step, refused, twice, taken, refused, twice, taken)
    rows = [(row.status, row.reason, row.revision, row.control_id, row.type) for row in await ledger(site)]
    assert rows[0] == ("mapped", "", 1, "17", "ADT^A01")
    assert [row[0] for row in rows[1:]] == ["duplicate", "duplicate"]
    async with site.database.read() as connection:
        assert set(await connection.scalars(select(tables.parked.c.status))) == {"closed"}
    assert {output.revision for output in translated(log)} == {1}


async def test_a_message_that_was_refused_and_its_copy_that_is_taken_may_be_in_one_batch(
    site: Site, step: Translate, log: Any
) -> None:
    await step.handle(Batch([record(0, "a.b", verdict="undecodable"), record(1, "a.b")], {0: 2}))
    assert [(row.first, row.status) for row in await ledger(site)] == [(True, "mapped"), (False, "duplicate")]
    assert [output.position.offset for output in translated(log)] == [0]


async def test_one_unreadable_message_leaves_the_rest_of_its_batch_alone(site: Site, step: Translate, log: Any) -> None:
    await step.handle(Batch([record(0, "!"), record(1, "a.b")], {0: 2}))
    assert [row.status for row in await ledger(site)] == ["parked", "mapped"]
    assert len(log.appended) == 1


async def test_a_copy_of_what_is_still_unmapped_is_its_replay_under_the_mended_mapping(
    site: Site, step: Translate, log: Any, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    await take(step, record(0, "?"))
    monkeypatch.setattr(mapping, "name", "v2")
    monkeypatch.setattr(
        mapping, "translate", lambda raw, answers: Translation(True, [Fact(kind="now.mapped", time=Moment(at=NOON))])
    )
    await take(step, record(5, "?"))
    rows = await ledger(site)
    assert [(row.status, row.revision) for row in rows] == [("mapped", 2), ("duplicate", 0)]
    assert translated(log)[-1].position.offset == 0, "the place in the fold is the first copy's"


async def test_a_replay_keeps_the_place_of_the_first_copy(site: Site, step: Translate, log: Any) -> None:
    await take(step, record(3, "a.b"), record(9, "a.b", origin="0:3", replay="x"))
    first, second = translated(log)
    assert first.position == second.position
    assert len(await ledger(site)) == 1


async def test_every_change_of_the_mapping_gets_a_revision_of_its_own_also_back(
    step: Translate, log: Any, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("v1", "v2", "v2", "v1"):
        monkeypatch.setattr(mapping, "name", name)
        await take(step, record(0, "a.b"))
    assert [output.revision for output in translated(log)] == [1, 2, 2, 3]


async def test_the_feed_clock_only_moves_on_and_never_to_a_time_flagged_as_future(
    site: Site, step: Translate, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def now() -> datetime | None:
        async with site.database.read() as connection:
            time: datetime | None = await connection.scalar(select(tables.clock.c.time))
            return time

    await take(step, record(0, "a.b c.d"))
    assert await now() == NOON + timedelta(hours=1)
    await take(step, record(1, "earlier"))
    assert await now() == NOON + timedelta(hours=1)
    future = Fact(kind="late", time=Moment(at=NOON + timedelta(days=900)), flags=["future_time"])
    monkeypatch.setattr(mapping, "translate", lambda raw, answers: Translation(True, [future]))
    await take(step, record(2, "future"))
    assert await now() == NOON + timedelta(hours=1)


async def test_a_timer_passes_through_without_a_row_in_the_ledger(site: Site, step: Translate, log: Any) -> None:
    due = Due(agent="qc", name="R01", due=NOON, encounter="e1")
    await take(step, record(0, due.model_dump_json(), message="wake-1", connector="hisbus"))
    (output,) = translated(log)
    assert (output.events[0].kind, output.events[0].data, output.events[0].time.at) == ("timer.due", due, NOON)
    assert await ledger(site) == []


async def test_a_persons_decision_passes_through_under_its_own_kind(site: Site, step: Translate, log: Any) -> None:
    visit = VisitId(authority="HOSP", number="V1")
    said = Assigned(message="m1", encounter="e1", visit=visit, who="user:ann", at=NOON)
    more = {"message": "assigned-1", "connector": "hisbus", "kind": "message.assigned"}
    await take(step, record(0, said.model_dump_json(), **more))
    (output,) = translated(log)
    assert (output.events[0].kind, output.events[0].data) == ("message.assigned", said)
    assert (output.message, output.events[0].time.at, output.clock) == ("assigned-1", NOON, "wall")
    assert await ledger(site) == []


async def test_news_of_changed_proposals_pass_through_like_a_timer(site: Site, step: Translate, log: Any) -> None:
    news = Due(agent="qc", name="proposals", due=NOON, encounter="e1", depth=1)
    more = {"message": "changed-1", "connector": "hisbus", "kind": "proposals.changed"}
    await take(step, record(0, news.model_dump_json(), **more))
    (output,) = translated(log)
    assert (output.events[0].kind, output.events[0].data) == ("proposals.changed", news)


async def test_what_was_taken_and_left_is_entered_and_follows_the_mapping(
    site: Site, step: Translate, mapping: Mapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(unread: dict[str, int]) -> None:
        counted = Counted(3, 5, unread)
        said = Translation(True, [Fact(kind="a.b", time=Moment(at=NOON))], collided=2, count=lambda: counted)
        monkeypatch.setattr(mapping, "translate", lambda raw, answers: said)

    says({"ZZZ-1": 3})
    await take(step, record(0, "a.b"), record(1, "a.b"))
    first, copy = await ledger(site)
    assert json.loads(first.losses) == {
        "parts": 3, "values": 5, "read": 2, "unread": {"ZZZ-1": 3}, "facts": 1, "collided": 2,
    }  # fmt: skip
    assert copy.losses == ""
    says({})
    monkeypatch.setattr(mapping, "name", "v2")
    await take(step, record(0, "a.b"))
    assert Losses.of((await ledger(site))[0].losses).unread == {}


async def test_of_a_message_that_is_parked_nothing_was_counted(site: Site, step: Translate) -> None:
    await take(step, record(0, "!"))
    assert [(row.status, row.losses) for row in await ledger(site)] == [("parked", "")]
