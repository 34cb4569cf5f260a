"""Replays as rows in the outbox, and what a rehearsal says of them."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from hisbus.connector import Arrival, Raw, Translation
from hisbus.errors import BadMessage, ConfigError, RetryLater
from hisbus_bus.flow.review import Review
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.translate import Translate
from hisbus_bus.kernel import outbox, parked, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Proposed
from hisbus_bus.lab import rehearsal, replay
from hisbus_bus.lab.replay import Wanted, instant
from hisbus_mapping import Judged
from hisbus_schemas import (
    Assessed,
    Assessment,
    Due,
    Event,
    Evidence,
    Fact,
    Finding,
    Moment,
    PatientId,
    Position,
    Text,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WANG = PatientId(authority="HOSP", number="P1")
DAYS = {1: NOON, 2: NOON + timedelta(days=1)}


class Connector:
    name, timezone, clock = "his", "Asia/Shanghai", "feed"


class Mapping:
    """Maps a message to one fact for each of its words; ``?`` is unmapped, ``!`` cannot be read."""

    def __init__(self, name: str = "v1", **now_means: str) -> None:
        self.connector = Connector()
        self.name = name
        self._now_means = now_means
        self.read: list[Raw] = []

    def judge_again(self, raw: Raw, refusal: str) -> tuple[Arrival, Judged]:
        arrival = Arrival(raw.id, raw.body, raw.recorded, "control-id", "ADT^A08", flags=raw.flags)
        return arrival, Judged(refusal if b"x" in raw.body else "", WANG, ("odd",))

    def translate(self, raw: Raw, answers: Any = None) -> Translation:
        self.read.append(raw)
        words = [self._now_means.get(word, word) for word in raw.body.decode().split()]
        if "!" in words:
            raise BadMessage("It cannot be read.", code="unreadable")
        facts = [Fact(kind=kind, time=Moment(at=NOON), segments=rest) for kind, *rest in (w.split("=") for w in words)]
        return Translation("?" not in words, facts if "?" not in words else [])


@pytest.fixture
def stored(site: Site, log: Any, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What the log keeps of ``raw``; it remembers how it was read."""
    records: list[Record] = []

    async def read(topic: str, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        log.reads.append((partition, offset, limit))
        return [one for one in records if one.partition == partition and offset <= one.offset < offset + limit]

    log.reads = []
    monkeypatch.setattr(log, "read", read)
    return records


def record(offset: int, body: str, *, partition: int = 0, key: str = "patient", **headers: str) -> Record:
    known = {"message": f"id-of-{partition}.{offset}", "connector": "his", "msgtype": "ADT^A01", **headers}
    time = NOON + timedelta(seconds=10 * offset + partition)
    return Record("raw", partition, offset, key, body.encode(), known, time)


async def take(site: Site, mapping: Any, *records: Record) -> None:
    """Let translate read records, and let charts know their events."""
    log: Any = site.log
    for one in records:
        before = len(log.appended)
        await Translate(site, Live([mapping])).handle(Batch([one], {one.partition: one.offset + 1}))
        for output in log.appended[before:]:
            await chart(site, one, output.value)


async def chart(site: Site, one: Record, value: bytes) -> None:
    """Store a message's events as the chart step does."""
    from hisbus_schemas import Translated

    table = tables.events
    async with site.database.write() as connection:
        await connection.execute(delete(table).where(table.c.message == one.headers["message"]))
        for event in Translated.model_validate_json(value).events:
            text = dict.fromkeys((column.name for column in table.c if not column.nullable), "")
            said = event.model_dump_json()
            body: Any = said.encode() if isinstance(table.c.body.type, tables.LargeBinary) else said
            row = text | {"id": event.id, "message": event.message, "kind": event.kind, "body": body}
            await connection.execute(table.insert(), row)


async def waiting(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        return list((await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id))).all())


async def sent(site: Site, wanted: Wanted) -> replay.Sent:
    return await replay.messages(site, wanted, lambda done, total: None, by="command:me")


async def test_first_copies_go_again_under_their_own_keys_in_the_order_in_which_they_came(
    site: Site, stored: list[Record]
) -> None:
    stored += [record(0, "a", key="one"), record(1, "b", key="two"), record(0, "c", partition=1, key="three")]
    stored.append(replace(stored[0], offset=2))  # a further copy of the first
    await take(site, Mapping(), *stored)
    assert (await sent(site, Wanted(Mapping("v2"), NOON))).sent == 3
    rows = await waiting(site)
    assert [(row.topic, row.key, row.value) for row in rows] == [
        ("raw", "one", b"a"), ("raw", "two", b"b"), ("raw", "three", b"c"),
    ]  # fmt: skip
    assert ['"origin": "0:0"' in rows[0].headers, '"origin": "1:0"' in rows[2].headers] == [True, True]
    assert all(parked.REPLAY in row.headers for row in rows)


async def test_translated_again_a_message_keeps_row_place_and_time_and_gets_a_revision(
    site: Site, stored: list[Record], log: Any
) -> None:
    stored += [record(0, "a"), record(1, "b")]
    await take(site, Mapping(), *stored)
    newest = Mapping("v2", a="a=mended")
    await sent(site, Wanted(newest, NOON))
    for at, row in enumerate(await waiting(site)):
        again = record(7 + at, row.value.decode(), **outbox.json.loads(row.headers))
        await take(site, newest, again, again)
    assert [raw.recorded for raw in newest.read] == [one.time for one in (stored[0],) * 2 + (stored[1],) * 2]
    async with site.database.read() as connection:
        rows = (await connection.execute(select(tables.messages).order_by(tables.messages.c.offset))).all()
    assert [(row.id, row.status, row.revision, row.mapping) for row in rows] == [
        ("0.0", "mapped", 2, "v2"), ("0.1", "mapped", 2, "v2"),
    ]  # fmt: skip
    assert await replay.count(site, Wanted(newest, NOON)) == 0, "what the newest mapping has read is left out"


async def test_only_the_named_connector_and_time_are_meant(site: Site, stored: list[Record]) -> None:
    stored += [record(at, "a") for at in range(4)]
    await take(site, Mapping(), *stored)
    other = Mapping("v2")
    other.connector.name = "lis"
    assert (await sent(site, Wanted(other, NOON))).sent == 0
    span = Wanted(Mapping("v2"), stored[1].time, stored[3].time)
    assert (await sent(site, span)).sent == 2
    assert [row.value for row in await waiting(site)] == [b"a"] * 2


async def test_pages_are_bounded_and_neighbours_are_read_together(
    site: Site, stored: list[Record], log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored += [record(at, "a") for at in (0, 1, 2, 5, 60)]
    await take(site, Mapping(), *stored)
    wanted = Wanted(Mapping("v2"), NOON)
    sizes = [[one.row.offset for one in page] async for page in replay.originals(site, wanted)]
    assert sizes == [[0, 1, 2, 5, 60]]
    assert log.reads == [(0, 0, 6), (0, 60, 1)]
    monkeypatch.setattr(replay, "PAGE", 2)
    assert [len(page) async for page in replay.originals(site, wanted)] == [2, 2, 1]
    monkeypatch.setattr(replay, "PAGE_BYTES", 1)
    assert [len(page) async for page in replay.originals(site, wanted)] == [1] * 5


async def test_what_is_gone_is_named_and_what_was_refused_at_arrival_is_counted(
    site: Site, stored: list[Record]
) -> None:
    records = [record(0, "a"), record(1, "b"), record(2, "x", verdict="not_hl7")]
    await take(site, Mapping(), *records)
    stored += records[1:]
    wanted = Wanted(Mapping("v2"), NOON)
    said = await rehearsal.messages(site, wanted, lambda done, total: None)
    assert (said.total, said.unchanged, said.refused, said.gone) == (3, 1, {"not_hl7": 1}, ["0.0"])
    outcome = await sent(site, wanted)
    assert (outcome.sent, outcome.refused, outcome.gone) == (1, {"not_hl7": 1}, ["0.0"])


async def test_what_was_refused_and_is_taken_now_goes_under_its_patient_s_key(site: Site, stored: list[Record]) -> None:
    stored += [record(0, "a"), record(1, "b c", key="of-the-message", verdict="undecodable", flags="in_batch")]
    await take(site, Mapping(), *stored)
    wanted = Wanted(Mapping("v1"), NOON)
    said = await rehearsal.messages(site, wanted, lambda done, total: None)
    assert (said.turns, said.kinds.keys()) == ({("parked", "mapped"): 1}, {"b", "c"})
    outcome = await sent(site, wanted)
    assert (outcome.sent, outcome.taken, outcome.refused) == (1, 1, {})
    (copy,) = await waiting(site)
    headers = outbox.json.loads(copy.headers)
    assert copy.key == site.keys.patient(WANG)
    assert {name: headers.get(name) for name in ("verdict", "origin", "control_id", "msgtype", "flags")} == {
        "verdict": None, "origin": "0:1", "control_id": "control-id", "msgtype": "ADT^A08", "flags": "odd",
    }  # fmt: skip
    await take(site, Mapping(), record(7, copy.value.decode(), key=copy.key, **headers))
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.messages).where(tables.messages.c.id == "0.1"))).one()
        assert await connection.scalar(select(tables.parked.c.status)) == "closed"
    assert (row.status, row.revision, row.control_id, row.type, row.flags) == (
        *("mapped", 1, "control-id", "ADT^A08", '["odd"]'),
    )
    # Another mapping reads it again, though what the log holds of it bears its verdict still.
    assert (await sent(site, Wanted(Mapping("v2"), NOON))).taken == 1


async def test_a_refused_one_whose_sender_has_sent_another_since_waits_until_it_is_wanted(
    site: Site, stored: list[Record]
) -> None:
    stored += [
        record(0, "b", verdict="undecodable"),
        record(1, "c", control_id="another"),
        record(2, "d", control_id="control-id"),
        record(3, "e", control_id="control-id"),
    ]
    await take(site, Mapping(), *stored)
    wanted = Wanted(Mapping("v1"), NOON)
    assert (await rehearsal.messages(site, wanted, lambda done, total: None)).overtaken == [("0.0", "0.2")]
    outcome = await sent(site, wanted)
    assert (outcome.sent, outcome.overtaken, await waiting(site)) == (0, [("0.0", "0.2")], [])
    assert (await sent(site, replace(wanted, force=True))).taken == 1


async def test_what_is_parked_is_replayed_by_its_own_row(site: Site, stored: list[Record]) -> None:
    stored.append(record(0, "!"))
    await take(site, Mapping(), *stored)
    same_mapping = Wanted(Mapping("v1"), NOON)
    assert (await sent(site, same_mapping)).sent == 1, "it was never read, so the mapping does not matter"
    async with site.database.read() as connection:
        (row,) = (await connection.execute(select(tables.parked))).all()
    (copy,) = await waiting(site)
    assert row.status == "replayed" and f'"{parked.REPLAY}": "{row.id}"' in copy.headers


async def test_a_site_that_takes_nothing_is_not_buried(
    site: Site, stored: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PAGE", 1)
    monkeypatch.setattr(replay, "AHEAD", 1)
    monkeypatch.setattr(replay, "PATIENCE_S", 0.0)
    stored += [record(at, "a") for at in range(5)]
    await take(site, Mapping(), *stored)
    log: Any = site.log
    log.appended.clear()
    with pytest.raises(RetryLater, match="hisbus up"):
        await sent(site, Wanted(Mapping("v2"), NOON))
    assert len(await waiting(site)) == 2


async def test_stays_are_woken_under_a_name_of_each_run(site: Site) -> None:
    async with site.database.write() as connection:
        for id, status in (("e1", "admitted"), ("e2", "discharged"), ("e3", "registered")):
            blank: dict[str, Any] = {
                column.name: "" for column in tables.encounters.c if not (column.nullable or column.server_default)
            }
            row = blank | {"id": id, "status": status, "now": NOON, "version": 1, "key": f"key-{id}"}
            row |= {"past": False, "lanes": "[]"}
            await connection.execute(tables.encounters.insert(), row)
    for closed, number in ((False, 2), (True, 3)):
        assert (
            await replay.stays(site, "qc", closed=closed, progress=lambda done, total: None, by="command:me") == number
        )
    rows = await waiting(site)
    dues = [Due.model_validate_json(row.value) for row in rows]
    assert [(due.encounter, row.key) for due, row in zip(dues, rows, strict=True)] == [
        (id, f"key-{id}") for id in ("e1", "e3", "e1", "e2", "e3")
    ]
    assert {due.agent for due in dues} == {"qc"} and {due.due for due in dues} == {NOON}
    assert len({due.name for due in dues}) == 2, "else the second would not fire"


def test_a_time_without_an_offset_is_the_connector_s() -> None:
    assert instant("2026-03-02T08:30", "Asia/Shanghai") == datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    assert instant("2026-03-02", "Asia/Shanghai") == datetime(2026, 3, 1, 16, tzinfo=UTC)
    assert instant("2026-03-02T08:30+02:00", "Asia/Shanghai") == datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
    with pytest.raises(ConfigError, match="Write it like"):
        instant("on Monday", "UTC")


# --- what a rehearsal says of messages --------------------------------------------------------------------------------


async def test_a_rehearsal_tells_by_type_and_kind_what_would_change(site: Site, stored: list[Record]) -> None:
    stored += [record(0, "a b"), record(1, "?", msgtype="SIU^S12"), record(2, "!"), record(3, "c"), record(4, "d")]
    await take(site, Mapping(), *stored)
    newest = Mapping("v2", **{"b": "b=otherwise", "?": "e", "!": "f", "c": "!"})
    said = await rehearsal.messages(site, Wanted(newest, NOON), lambda done, total: None)
    assert said.turns == {
        ("mapped", "mapped"): 1, ("unmapped", "mapped"): 1, ("parked", "mapped"): 1, ("mapped", "parked"): 1,
    }  # fmt: skip
    assert said.changed == {"ADT^A01": ["0.0", "0.2", "0.3"], "SIU^S12": ["0.1"]}
    assert said.kinds == {"b": {"change": 1}, "e": {"appear": 1}, "f": {"appear": 1}}
    assert said.unchanged == 1
    assert await waiting(site) == []


async def test_events_that_go_are_told_apart_from_events_that_change(site: Site, stored: list[Record]) -> None:
    stored.append(record(0, "a a=1 b"))
    await take(site, Mapping(), *stored)
    newest = Mapping("v2", **{"a=1": "a=2", "b": "c"})
    said = await rehearsal.messages(site, Wanted(newest, NOON), lambda done, total: None)
    assert said.kinds == {"a": {"change": 1}, "b": {"disappear": 1}, "c": {"appear": 1}}


# --- what a rehearsal says of proposals -------------------------------------------------------------------------------

FINDINGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)
LOOKS = st.tuples(FINDINGS, st.frozensets(st.sampled_from("ab")))
EXAMPLES = itertools.count()
DECISIONS = st.sampled_from(["", "accepted", "rejected", "stale"])


def assessment(said: dict[str, str], evaluated: frozenset[str]) -> Assessment:
    found = [
        Finding(key=key, rule=key, message=Text(zh="", en=""), evidence=[Evidence(path="x", value=value)])
        for key, value in said.items()
    ]
    return Assessment(evaluated=evaluated | said.keys(), proposals=found)


async def standing(site: Site, encounter: str) -> list[Standing]:
    table = tables.proposals
    async with site.database.read() as connection:
        query = select(table).where(table.c.encounter == encounter).order_by(table.c.revision)
        return [Standing.of(row) for row in await connection.execute(query)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(looks=st.lists(st.tuples(LOOKS, DECISIONS), min_size=1, max_size=4), last=LOOKS)
async def test_property_a_rehearsal_says_what_review_then_does(looks: Any, last: Any, site: Site) -> None:
    """Whatever agents said and people decided before."""
    review = Review(site)
    encounter = f"e{next(EXAMPLES)}"

    def looked(version: int, said: Assessment) -> Assessed:
        return Assessed(
            id=f"{encounter}.{version}", agent="qc", agent_version="1", encounter=encounter, version=version,
            event="", key="k", now=NOON, assessment=said,
        )  # fmt: skip

    async def look(version: int, said: Assessment) -> None:
        value = looked(version, said).model_dump_json().encode()
        await review.handle(Batch([Record("assessments", 0, version, encounter, value, {}, NOON)], {}))

    for version, (said, decision) in enumerate(looks, 1):
        await look(version, assessment(*said))
        if decision:
            async with site.database.write() as connection:
                mine = (tables.proposals.c.encounter == encounter) & tables.proposals.c.status.in_(Proposed.LIVE)
                await connection.execute(update(tables.proposals).where(mine).values(status=decision))
    before = await standing(site, encounter)
    forecast = Counter(rehearsal._outcome(looked(len(looks) + 1, assessment(*last)), before))
    await look(len(looks) + 1, assessment(*last))
    assert forecast == _done(before, await standing(site, encounter))


def _done(before: list[Standing], after: list[Standing]) -> Counter[tuple[str, str]]:
    """Return what review did, in a rehearsal's words."""
    old = {row.id: row for row in before}
    done: Counter[tuple[str, str]] = Counter()
    for row in after:
        was = old.get(row.id)
        if was is None:
            done[row.rule, "open"] += 1
        elif row.status != was.status:
            done[row.rule, "again" if row.status == "open" else row.status] += 1
        elif row.rectified != was.rectified:
            done[row.rule, "resolved" if row.rectified else "again"] += 1
    return done


def test_an_event_and_the_fact_that_it_was_made_of_say_the_same() -> None:
    fact = Fact(kind="a", time=Moment(at=NOON), flags=["x"])
    position = Position(recorded=NOON, partition=0, offset=0)
    event = Event(
        **fact.model_dump(), id="1", message="m", revision=1, ordinal=0, connector="his", position=position
    )  # fmt: skip
    assert rehearsal._moved([event], [fact]) == {}
