"""Codes that people are asked for: entered once, answered by a person, and gone by in what is read again."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.connector import LookedUp, Raw, Translation
from hisbus_bus.flow.translate import Translate
from hisbus_bus.kernel import codes, outbox, tables
from hisbus_bus.kernel.codes import BadWord, Key, Looked, UnknownTable
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab import rehearsal
from hisbus_bus.lab.answered import Answered
from hisbus_bus.lab.replay import Wanted
from hisbus_mapping import NONE, Asks
from hisbus_schemas import Code, Fact, Moment, Translated

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ASKS = {"class": Asks("class", ["inpatient", "outpatient", NONE])}
IP, OP = (Key("his", "EMR", "class", code) for code in ("IP", "OP"))


class Connector:
    name, timezone, clock = "his", "Asia/Shanghai", "wall"


class Mapping:
    """Each word of a message is a code, looked up for its sender, which comes first; ``=`` stands for one it knows."""

    def __init__(self, name: str = "v1") -> None:
        self.connector, self.name = Connector(), name
        self.read: list[str] = []

    def translate(self, raw: Raw, answers: Any = None) -> Translation:
        sender, *words = raw.body.decode().split()
        self.read.append(raw.body.decode())
        said = (answers or {}).get(sender, (answers or {}).get("", {}))
        asked = [word for word in words if not word.startswith("=")]
        looked = [
            LookedUp("class", "class", Code(code=one, text=f"text of {one}"), said.get(("class", one), ""))
            for one in asked
        ]
        facts = [Fact(kind=f"x.{one.answer or 'open'}", time=Moment(at=NOON)) for one in looked]
        return Translation(True, facts, sender=sender, looked_up=looked)


@pytest.fixture
def stored(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What the log keeps of ``raw``."""
    records: list[Record] = []

    async def read(topic: str, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        return [one for one in records if one.partition == partition and offset <= one.offset < offset + limit]

    monkeypatch.setattr(site.log, "read", read)
    return records


def record(offset: int, body: str, message: str = "", **headers: str) -> Record:
    known = {"message": message or f"m{offset}", "connector": "his", "msgtype": "ADT^A01", **headers}
    return Record("raw", 0, offset, "key", body.encode(), known, NOON + timedelta(seconds=offset))


def translating(site: Site, mapping: Any = None) -> Translate:
    return Translate(site, Live([mapping or Mapping()]))


async def take(step: Translate, *records: Record) -> None:
    await step.handle(Batch(list(records), {0: records[-1].offset + 1}))


async def rows(site: Site, table: Any) -> Sequence[Any]:
    async with site.database.read() as connection:
        return (await connection.execute(select(table))).all()


async def known(site: Site) -> dict[str, Any]:
    return {row.code: row for row in await rows(site, tables.codes)}


async def say(site: Site, key: Key, word: str, who: str = "user:qin") -> bool:
    async with site.database.write() as connection:
        return await codes.answer(connection, key, word, asks=ASKS, who=who)


async def again(site: Site, step: Translate, stored: list[Record]) -> list[str]:
    """Follow every answer, and read what was sent again; return the bodies."""
    answered = Answered(site, {})
    while await answered.next():
        pass
    waiting = await rows(site, tables.outbox)
    async with site.database.write() as connection:
        await connection.execute(tables.outbox.delete())
    for at, row in enumerate(waiting, 100):
        headers = outbox.json.loads(row.headers)
        await take(step, Record("raw", 0, at, row.key, row.value, headers, NOON + timedelta(seconds=at)))
    return [row.value.decode() for row in waiting]


def events(site: Site) -> dict[str, tuple[int, list[str]]]:
    """Return the revision of each message that was read last, and its events."""
    log: Any = site.log
    read = [Translated.model_validate_json(one.value) for one in log.appended if one.topic == "events"]
    return {one.message: (one.revision, [event.kind for event in one.events]) for one in read}


async def test_a_code_is_entered_once_with_the_message_it_was_seen_in_first(site: Site) -> None:
    step = translating(site)
    await take(step, record(0, "EMR IP"), record(1, "EMR IP OP"))
    await take(step, record(0, "EMR IP"))
    found = await known(site)
    assert found.keys() == {"IP", "OP"}
    row = found["IP"]
    assert (row.id, row.message, row.seen, row.item, row.text) == (IP.id, "m0", NOON, "class", "text of IP")
    assert (row.word, row.who, row.answered, row.pending) == (None, "", None, False)
    looked = {(row.message, row.code, row.answer) for row in await rows(site, tables.lookups)}
    assert looked == {("m0", IP.id, ""), ("m1", IP.id, ""), ("m1", OP.id, "")}


async def test_an_answer_reads_again_what_looked_the_code_up_and_nothing_else(site: Site, stored: list[Record]) -> None:
    mapping = Mapping()
    step = translating(site, mapping)
    stored += [
        record(0, "EMR IP"),
        record(1, "EMR OP"),
        record(2, "EMR =I"),
        record(3, "EMR OP IP"),
        record(4, "LIS IP"),
    ]
    await take(step, *stored)
    assert await say(site, IP, "inpatient")
    assert await again(site, step, stored) == ["EMR IP", "EMR OP IP"]
    assert events(site) == {
        "m0": (2, ["x.inpatient"]), "m1": (1, ["x.open"]), "m2": (1, []), "m3": (2, ["x.open", "x.inpatient"]),
        "m4": (1, ["x.open"]),
    }  # fmt: skip
    assert not (await known(site))["IP"].pending
    assert await again(site, step, stored) == [], "what was followed is not followed again"
    assert await say(site, IP, "outpatient"), "changed"
    assert await again(site, step, stored) == ["EMR IP", "EMR OP IP"]
    assert events(site)["m0"] == (3, ["x.outpatient"])
    assert await say(site, IP, ""), "taken back"
    assert await again(site, step, stored) == ["EMR IP", "EMR OP IP"]
    assert events(site)["m0"] == (4, ["x.open"])


async def test_an_answer_for_any_sender_gives_way_to_a_senders_own(site: Site, stored: list[Record]) -> None:
    step = translating(site)
    stored += [record(0, "EMR IP"), record(1, "LIS IP"), record(2, "PACS =I")]
    await take(step, *stored)
    assert await say(site, IP, "outpatient") and await say(site, IP.common, "inpatient")
    await again(site, step, stored)
    assert {name: kinds for name, (_, kinds) in events(site).items()} == {
        "m0": ["x.outpatient"], "m1": ["x.inpatient"], "m2": [],
    }  # fmt: skip
    await take(step, record(10, "PACS IP"))
    assert events(site)["m10"] == (1, ["x.inpatient"])
    assert len([row for row in await rows(site, tables.codes) if row.code == "IP"]) == 3, "PACS opens nothing"


async def test_what_is_said_while_a_message_is_read_counts_for_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process answers after this one has read the answers: what it knows is older."""
    mapping = Mapping()
    step = translating(site, mapping)
    await take(step, record(0, "EMR =I"))
    await say(site, IP, "inpatient")
    await take(step, record(1, "EMR IP"))
    assert events(site)["m1"] == (1, ["x.inpatient"])
    assert mapping.read == ["EMR =I", "EMR IP", "EMR IP"], "read without, found out, and read once more"
    await take(step, record(2, "EMR IP"))
    assert mapping.read[3:] == ["EMR IP"], "once it is known it is known"


async def test_an_answer_waits_for_what_is_being_read_without_it(site: Site) -> None:
    """Else a message could be entered with the old answer after all that had it were sought."""
    await take(translating(site), record(0, "EMR IP"))
    one = Looked("m1", NOON, IP, LookedUp("class", "class", Code(code="IP")))

    async def said() -> list[str]:
        await say(site, IP, "inpatient")
        async with site.database.read() as connection:
            return sorted(await connection.scalars(codes.stale(IP.id)))

    async with site.database.write() as connection:
        assert await codes.Answered().hold(connection, [one])
        answering = asyncio.create_task(said())
        while not (answering.done() or await blocked(connection)):
            await asyncio.sleep(0.01)
        row = {"message": "m1", "code": IP.id, "common": IP.common.id, "answer": ""}
        await connection.execute(tables.lookups.insert(), row)
    assert await answering == ["m0", "m1"]


async def blocked(connection: Any) -> bool:
    """Tell whether somebody waits for a lock. SQLite's second writer always does."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return connection.dialect.name == "sqlite" or bool((await connection.exec_driver_sql(waiting)).scalar())


async def test_many_messages_cost_no_more_statements_than_one(site: Site, counted: Any) -> None:
    step, counts = translating(site), []
    await take(step, record(0, "EMR IP"))
    for first, many in ((10, 1), (20, 40)):
        with counted(site.database) as sent:
            await take(step, *(record(first + at, f"EMR IP OP X{first}") for at in range(many)))
        counts.append(len(sent))
    assert counts[0] == counts[1]


async def test_another_mapping_that_knows_the_code_looks_nothing_up(site: Site, stored: list[Record]) -> None:
    stored.append(record(0, "EMR IP"))
    await take(translating(site), *stored)
    async with site.database.read() as connection:
        waiting = select(tables.codes.c.code).where(codes.unanswered())
        assert (await connection.scalars(waiting)).all() == ["IP"]
    newer: Any = Mapping("v2")
    newer.translate = lambda raw, answers=None: Translation(True, sender="EMR")
    await take(translating(site, newer), record(7, "EMR IP", "m0", origin="0:0"))
    assert await rows(site, tables.lookups) == []
    async with site.database.read() as connection:
        assert (await connection.scalars(waiting)).all() == [], "nobody is asked any more"
    await say(site, IP, "inpatient")
    assert await again(site, translating(site, newer), stored) == []


async def test_a_rehearsal_goes_by_what_people_have_said(site: Site, stored: list[Record]) -> None:
    step = translating(site)
    stored.append(record(0, "EMR IP"))
    await take(step, *stored)
    await say(site, IP, "inpatient")
    await again(site, step, stored)
    log: Any = site.log
    blank = dict.fromkeys((one.name for one in tables.events.c if not one.nullable), "")
    async with site.database.write() as connection:
        for one in Translated.model_validate_json(log.appended[-1].value).events:
            row = blank | {"id": one.id, "message": one.message, "body": one.model_dump_json()}
            await connection.execute(tables.events.insert(), row)
    newer: Any = Mapping("v2")
    said = await rehearsal.messages(site, Wanted(newer, NOON), lambda done, total: None)
    assert (said.total, said.unchanged) == (1, 1)


async def test_killed_before_all_is_on_its_way_it_begins_again_with_what_is_left(
    site: Site, stored: list[Record]
) -> None:
    step = translating(site)
    stored += [record(0, "EMR IP"), record(1, "EMR IP")]
    await take(step, *stored)
    await say(site, IP, "inpatient")
    await take(step, record(9, "EMR IP", "m0", origin="0:0"))  # the first was sent before it was killed
    assert await again(site, step, stored) == ["EMR IP"]
    assert {name: revision for name, (revision, _) in events(site).items()} == {"m0": 2, "m1": 2}


async def test_an_answer_is_audited_and_must_be_a_word_of_the_profile(site: Site) -> None:
    assert await say(site, IP, "inpatient") and not await say(site, IP, "inpatient")
    for key, word, error in ((IP, "C0034", BadWord), (IP._replace(table="sex"), "male", UnknownTable)):
        with pytest.raises(error):
            await say(site, key, word)
    assert await say(site, OP, NONE)
    found = await rows(site, tables.audit)
    assert [(row.actor, row.action, row.object) for row in found] == [
        ("user:qin", "code.answered", IP.id), ("user:qin", "code.answered", OP.id),
    ]  # fmt: skip
    assert json.loads(found[0].detail) == {"connector": "his", "table": "class", "word": "inpatient"}


async def test_what_hangs_on_a_code_is_counted_while_it_is_open(site: Site, stored: list[Record]) -> None:
    step = translating(site)
    stored += [record(0, "EMR IP"), record(1, "EMR IP"), record(2, "LIS IP")]
    await take(step, *stored)
    blank = dict.fromkeys((one.name for one in tables.events.c if not one.nullable), "")
    async with site.database.write() as connection:
        for number, stay in ((0, "e1"), (1, "e1"), (2, None)):
            row = blank | {"id": f"v{number}", "message": f"m{number}", "encounter": stay}
            await connection.execute(tables.events.insert(), row)
    async with site.database.read() as connection:
        assert await codes.hanging(connection, IP.id) == (1, 2)
        assert await codes.hanging(connection, IP.common.id) == (1, 3)
    await say(site, IP, "inpatient")
    await again(site, step, stored)
    async with site.database.read() as connection:
        assert await codes.hanging(connection, IP.id) == (0, 0)
