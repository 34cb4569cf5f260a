"""What concerns an agent reaches it, and its answers go on with the version that it read."""

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from hisbus.errors import CallFailed, RetryLater
from hisbus.frames import AgentInfo
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.host.calls import StoredCase
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel import coverage, parked, tables, wakes
from hisbus_bus.kernel.consumer import BATCH_SIZE, Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.stored import StoredChart
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_schemas import Assessed, Assessment, Charted, Due, Need

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DUE = ("first_look", "replay 2026-03-01T12:00:00+00:00", "admission + 24 h")
QC = AgentInfo(name="qc", version="7", kinds=frozenset({"document.filed"}), grants=frozenset({"documents"}))


class Host:
    """Answers from this process; an encounter can be told to fail."""

    agents = [QC]

    def __init__(self) -> None:
        self.cases: list[StoredCase] = []
        self.deadlines: list[float] = []
        self.priorities: list[Priority] = []
        self.failing: dict[str, Exception] = {}

    async def assess(self, agent: str, case: StoredCase, deadline_s: float, priority: Priority) -> Assessment:
        assert agent == "qc"
        self.priorities.append(priority)
        self.cases.append(case)
        self.deadlines.append(deadline_s)
        if case.chart.encounter in self.failing:
            raise self.failing[case.chart.encounter]
        return Assessment(evaluated=frozenset({case.chart.encounter}))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def charted(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, StoredChart]:
    """The charts that are stored, by encounter; and one event."""
    charts = {
        name: StoredChart(name, 5, NOON, f"key-{name}", {}, '{"status":"admitted"}', waits=True)
        for name in ("e1", "e2", "e3")
    }

    async def stored(_connection: Any, encounters: Collection[str], _known: Any) -> Mapping[str, StoredChart]:
        return {name: chart for name, chart in charts.items() if name in encounters}

    async def stored_events(_connection: Any, ids: Collection[str]) -> Mapping[str, str]:
        known = {"ev": '{"id":"ev"}'} | {
            name: f'{{"id":"{name}","kind":"timer.due","data":{{"body":"due","name":"{name}"}}}}' for name in DUE
        }
        return {id: body for id, body in known.items() if id in ids}

    monkeypatch.setattr("hisbus_bus.kernel.charts.stored", stored)
    monkeypatch.setattr("hisbus_bus.kernel.charts.stored_events", stored_events)
    return charts


def dispatch(site: Site, host: Host) -> Dispatch:
    return Dispatch(site, cast(AgentHost, host), QC)


def record(
    encounter: str = "e1", version: int = 5, kind: str = "document.filed", agent: str = "", backfill: str = ""
) -> Record:
    value = Charted(
        id=f"{encounter}.{version}", encounter=encounter, version=version, event="ev", kind=kind, key="k", agent=agent
    )
    more = {"agent": agent, "backfill": backfill}
    headers = {"kind": kind, "ce_correlationid": encounter} | {name: said for name, said in more.items() if said}
    return Record("charted", 0, version, encounter, value.model_dump_json().encode(), headers, NOON)


def batch(*records: Record) -> Batch:
    return Batch(records, {0: 1})


@pytest.mark.parametrize(
    ("kind", "agent", "wanted"),
    [
        ("document.filed", "", True),
        ("order.placed", "", False),
        ("timer.due", "qc", True),
        ("timer.due", "coding", False),
        ("document.filed", "coding", False),
    ],
)
def test_an_agent_gets_its_kinds_and_what_is_bound_for_it_alone(
    site: Site, host: Host, kind: str, agent: str, wanted: bool
) -> None:
    assert dispatch(site, host).wants(record(kind=kind, agent=agent)) is wanted
    assert not dispatch(site, host).wants(record(kind=kind, agent=agent, backfill="all")), "nobody is called"


@pytest.mark.parametrize(("agent", "wanted"), [("", True), ("qc", True), ("coding", False)])
def test_with_what_a_stay_of_backfill_goes_on_is_for_every_agent(
    site: Site, host: Host, agent: str, wanted: bool
) -> None:
    assert dispatch(site, host).wants(record(kind="order.placed", agent=agent, backfill="ends")) is wanted


def test_an_agent_whose_rules_need_something_hears_when_something_else_is_connected(site: Site, host: Host) -> None:
    news = record(kind=coverage.KIND)
    assert not dispatch(site, host).wants(news)
    host.agents = [QC.model_copy(update={"needs": {"R01": (Need(item="document:C0034"),)}})]
    assert dispatch(site, host).wants(news)
    assert not dispatch(site, host).wants(record(kind=coverage.KIND, backfill="all"))


async def test_an_agent_is_called_with_the_coverage_of_the_snapshot_and_its_answer_names_the_version(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    step = dispatch(site, host)
    for state in ("not_connected", "connected"):
        async with site.database.write() as connection:
            words = [coverage.Word("document:C0034", "", state)]
            await coverage.say(connection, site.headers, words, "user:qc")
        await step.handle(batch(record(kind=coverage.KIND)))
    assert [case.coverage.brings("document:C0034") for case in host.cases] == [False, True]
    assert [Assessed.model_validate_json(out.value).coverage for out in log.appended] == [1, 2]
    assert host.priorities == [Priority.BACKFILL, Priority.BACKFILL]


def test_each_agent_has_a_group_of_its_own(site: Site, host: Host) -> None:
    step = dispatch(site, host)
    assert (step.name, step.group, step.topic, step.start) == ("dispatch.qc", "test.dispatch.qc", "charted", "end")


@pytest.mark.parametrize(
    ("said", "configured", "holds"), [(True, None, True), (True, False, False), (False, True, True)]
)
def test_an_agent_says_that_the_newest_chart_will_do_and_the_operator_has_the_last_word(
    database: Database, log: Any, host: Host, said: bool, configured: bool | None, holds: bool
) -> None:
    settings = Settings(site="test", agents={"qc": {"latest_only": configured}})
    info = QC.model_copy(update={"latest_only": said})
    assert Dispatch(Site(settings, Keys(b"s"), log, database), cast(AgentHost, host), info).latest_only is holds


def test_one_that_asks_the_model_is_called_in_batches_that_the_model_can_answer(
    database: Database, log: Any, host: Host
) -> None:
    llm = {"url": "http://127.0.0.1:1", "model": "tiny", "concurrency": 3}
    asking = Site(Settings(site="test", llm=llm), Keys(b"s"), log, database)
    there = cast(AgentHost, host)
    assert Dispatch(asking, there, QC.model_copy(update={"asks": True})).batch_size == 3
    assert Dispatch(asking, there, QC).batch_size == BATCH_SIZE


async def test_an_answer_carries_the_version_that_was_read_not_the_one_that_woke(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    await dispatch(site, host).handle(batch(record(version=3)))
    (out,) = log.appended
    said = Assessed.model_validate_json(out.value)
    assert (out.topic, out.key, out.headers["agent"]) == ("assessments", "e1", "qc")
    assert (out.headers["ce_correlationid"], out.headers["ce_causationid"]) == ("e1", "e1.3")
    assert (said.version, said.now, said.key, said.event) == (5, NOON, "key-e1", "ev")
    assert (said.agent, said.agent_version) == ("qc", "7")
    assert said.id == out.headers["ce_id"] == digest("assessed", "qc", "e1.3")
    assert said.assessment.evaluated == {"e1"}


async def test_an_answer_says_since_which_version_it_stands_for_what_waited_together(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    older = {"e1": [record(version=2), record(version=4)], "e2": [record("e2", 3)]}
    await dispatch(site, host).handle(
        Batch([record(version=3), record("e2", 5), record("e3", 5)], {0: 1}, covered=older)
    )
    said = [Assessed.model_validate_json(out.value) for out in log.appended]
    newest = [digest("assessed", "qc", id) for id in ("e1.4", "e2.5", "e3.5")]
    assert [one.id for one in said] == newest, "e1.3 is a copy that came again behind e1.4"
    assert [one.since for one in said] == [2, 3, 0]
    assert len(host.cases) == 3


async def test_the_agent_is_called_with_the_stored_chart_and_event_and_its_deadline(
    database: Database, log: Any, host: Host, charted: Mapping[str, StoredChart]
) -> None:
    settings = Settings(site="test", agents={"qc": {"deadline_s": 3}})
    await dispatch(Site(settings, Keys(b"s"), log, database), host).handle(batch(record()))
    assert host.cases == [StoredCase('{"id":"ev"}', charted["e1"], release=host.cases[0].release)]
    assert host.deadlines == [3]


@pytest.mark.parametrize(("name", "priority"), list(zip(DUE, (20, 20, 10), strict=True)))
async def test_questions_about_what_was_there_before_give_way_to_those_about_what_just_happened(
    site: Site, host: Host, charted: Mapping[str, StoredChart], name: str, priority: int
) -> None:
    due = Charted(id="e1.5", encounter="e1", version=5, event=name, kind="timer.due", key="k", agent="qc")
    woken = Record("charted", 0, 5, "e1", due.model_dump_json().encode(), {"kind": "timer.due"}, NOON)
    await dispatch(site, host).handle(batch(record(), woken))
    assert host.priorities == [Priority.LIVE, priority]


async def test_a_batch_is_called_at_once_and_answered_in_its_order(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    await dispatch(site, host).handle(batch(record("e2"), record("e1"), record("e3")))
    assert [out.key for out in log.appended] == ["e2", "e1", "e3"]


async def test_a_redelivery_is_appended_again_under_the_same_id(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    step = dispatch(site, host)
    await step.handle(batch(record()))
    await step.handle(batch(record()))
    first, second = log.appended
    assert (first.value, first.headers["ce_id"]) == (second.value, second.headers["ce_id"])


async def test_a_record_ahead_of_the_stored_chart_waits(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    with pytest.raises(RetryLater) as caught:
        await dispatch(site, host).handle(batch(record(version=6)))
    assert caught.value.code == "chart_behind"
    assert (host.cases, log.appended) == ([], [])


async def test_a_stay_that_a_replay_has_made_backfill_since_is_done_with_unless_its_chart_is_behind(
    site: Site, host: Host, log: Any, charted: dict[str, StoredChart]
) -> None:
    charted["e2"] = StoredChart("e2", 5, NOON, "key-e2", {"backfill": "true"}, "{}")
    await dispatch(site, host).handle(batch(record("e2"), record("e1")))
    assert [out.key for out in log.appended] == ["e1"]
    with pytest.raises(RetryLater):
        await dispatch(site, host).handle(batch(record("e2", version=6)))


async def test_a_stay_that_is_no_more_is_done_with(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    await dispatch(site, host).handle(batch(record("gone"), record("e1")))
    assert [out.key for out in log.appended] == ["e1"]


async def test_a_failure_is_raised_after_all_have_finished_and_nothing_is_appended(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart]
) -> None:
    host.failing = {"e1": RetryLater(), "e2": CallFailed(code="crashed")}
    with pytest.raises(CallFailed):
        await dispatch(site, host).handle(batch(record("e1"), record("e2"), record("e3")))
    assert len(host.cases) == 3
    assert log.appended == []


async def test_an_agent_that_must_wait_pauses_its_consumer(
    site: Site, host: Host, charted: Mapping[str, StoredChart]
) -> None:
    host.failing = {"e1": RetryLater(code="quarantined")}
    with pytest.raises(RetryLater):
        await dispatch(site, host).handle(batch(record("e1"), record("e2")))


async def test_a_newer_answer_closes_the_parked_call_of_its_own_agent_and_stay_only(
    site: Site, host: Host, charted: Mapping[str, StoredChart]
) -> None:
    async with site.database.write() as connection:
        for offset, step, encounter in (
            (1, "dispatch.qc", "e1"),
            (2, "dispatch.qc", "e2"),
            (3, "dispatch.coding", "e1"),
        ):
            await parked.park(connection, step, record(encounter, offset), CallFailed(), 4)
    await dispatch(site, host).handle(batch(record("e1")))
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.parked.c.step, tables.parked.c.encounter, tables.parked.c.status))
        assert {tuple(row) for row in rows} == {
            ("dispatch.qc", "e1", "closed"),
            ("dispatch.qc", "e2", "parked"),
            ("dispatch.coding", "e1", "parked"),
        }


# --- other agents' proposals ------------------------------------------------------------------------------------------

CHECK = AgentInfo(name="check", version="1", kinds=frozenset({"proposals.changed"}), grants=frozenset({"findings"}))


def news(agent: str) -> Record:
    told = record(kind="proposals.changed")
    return replace(told, headers={**told.headers, "by": agent})


def test_an_agent_never_hears_its_own_news(site: Site, host: Host) -> None:
    step = Dispatch(site, cast(AgentHost, host), CHECK)
    assert [step.wants(news(name)) for name in ("qc", "check")] == [True, False]
    assert not dispatch(site, host).wants(news("check"))


@pytest.mark.parametrize(
    ("others", "kind", "depth", "announced"),
    [
        ([QC], "document.filed", 0, None),
        ([QC, CHECK], "document.filed", 0, "1"),
        ([QC, CHECK], "proposals.changed", 1, "2"),
        ([QC, CHECK], "proposals.changed", 2, None),
    ],
)
async def test_review_is_asked_to_tell_where_somebody_would_hear_and_not_for_ever(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart], monkeypatch: pytest.MonkeyPatch,
    others: list[AgentInfo], kind: str, depth: int, announced: str | None,
) -> None:  # fmt: skip
    async def stored_events(_connection: Any, ids: Collection[str]) -> Mapping[str, str]:
        return {id: json.dumps({"id": id, "data": {"depth": depth}}) for id in ids}

    monkeypatch.setattr("hisbus_bus.kernel.charts.stored_events", stored_events)
    await Dispatch(site, cast(AgentHost, host), QC, others).handle(batch(record(kind=kind)))
    (out,) = log.appended
    assert out.headers.get("announce") == announced


@pytest.mark.parametrize(
    ("waited", "announced"),
    [
        ([("document.filed", 0), ("proposals.changed", 2)], "1"),
        ([("proposals.changed", 2), ("document.filed", 0)], "1"),
        ([("proposals.changed", 1), ("proposals.changed", 2)], "2"),
        ([("proposals.changed", 2), ("proposals.changed", 2)], None),
    ],
)
async def test_news_that_others_are_to_hear_of_is_told_whatever_it_was_judged_together_with(
    site: Site, host: Host, log: Any, charted: Mapping[str, StoredChart], monkeypatch: pytest.MonkeyPatch,
    waited: list[tuple[str, int]], announced: str | None,
) -> None:  # fmt: skip
    async def stored_events(_connection: Any, ids: Collection[str]) -> Mapping[str, str]:
        return {id: json.dumps({"id": id, "data": {"depth": int(id)}}) for id in ids}

    monkeypatch.setattr("hisbus_bus.kernel.charts.stored_events", stored_events)
    records = []
    for version, (kind, depth) in enumerate(waited, 4):
        plain = record(version=version, kind=kind)
        said = plain.read(Charted).model_copy(update={"event": str(depth)})
        records.append(replace(plain, value=said.model_dump_json().encode()))
    *older, newest = records
    await Dispatch(site, cast(AgentHost, host), QC, [QC, CHECK]).handle(Batch([newest], {0: 1}, {"e1": older}))
    (out,) = log.appended
    assert out.headers.get("announce") == announced


async def test_it_is_given_what_others_have_open_of_the_kinds_it_was_granted(
    site: Site, charted: Mapping[str, StoredChart]
) -> None:
    said = {"key": "k", "rule": "r", "message": {"zh": "有", "en": "here"}, "id": "", "agent": "made up"}
    blank: dict[type, Any] = {str: "", int: 1, bytes: b"", bool: False, float: 0.0, object: NOON}
    columns = tables.proposals.columns
    needed = {one.name: blank[one.type.python_type] for one in columns if not one.nullable}
    rows = [
        ("p1", "qc", "e1", "finding", "open"), ("p2", "qc", "e2", "finding", "open"),
        ("p3", "qc", "e1", "finding", "resolved"), ("p4", "coding", "e1", "codeset", "open"),
        ("p5", "check", "e1", "finding", "open"),
    ]  # fmt: skip
    async with site.database.write() as connection:
        for id, agent, encounter, kind, status in rows:
            its = {"id": id, "identity": id, "agent": agent, "encounter": encounter, "kind": kind, "status": status}
            body = json.dumps(said | {"kind": kind}).encode()
            await connection.execute(tables.proposals.insert(), needed | its | {"body": body})
    host = Hearing()
    await Dispatch(site, cast(AgentHost, host), CHECK).handle(batch(record("e1"), record("e2"), record("e3")))
    heard = {case.chart.encounter: case.proposals for case in host.cases}
    assert {name: [(one["id"], one["agent"]) for one in said] for name, said in heard.items()} == {
        "e1": [("p1", "qc")], "e2": [("p2", "qc")], "e3": [],
    }  # fmt: skip


class Hearing(Host):
    """The host of an agent that asks for other agents' proposals."""

    agents = [CHECK]

    async def assess(self, agent: str, case: StoredCase, deadline_s: float, priority: Priority) -> Assessment:
        self.cases.append(case)
        return Assessment()


# --- a new agent's first look -----------------------------------------------------------------------------------------


@pytest.fixture
async def real(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """A site on the embedded log."""
    log = await SqliteLog.open(tmp_path / "log.db")
    yield Site(Settings(site="test"), Keys(b"s"), log, database)
    await log.close()


async def stays(site: Site, **status: str) -> None:
    blank: dict[type, Any] = {str: "", int: 0, bytes: b"", bool: False, object: NOON}
    needed = {
        column.name: blank[column.type.python_type]
        for column in tables.encounters.columns
        if not column.nullable and column.server_default is None
    }
    rows = [needed | {"id": name, "key": f"key-{name}", "status": its} for name, its in status.items()]
    async with site.database.write() as connection:
        await connection.execute(tables.encounters.insert(), rows)


async def outbox(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        return list((await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id))).all())


async def append(site: Site, encounter: str) -> None:
    await site.log.append([NewRecord("charted", encounter, record(encounter).value)])


async def waiting(site: Site, step: Dispatch) -> list[str]:
    """Return the keys that the group would be given from now on."""

    async def assigned(_partitions: Iterable[int]) -> Mapping[int, int]:
        return {}

    async def revoked(_partitions: Iterable[int]) -> None:
        raise AssertionError

    member = await site.log.subscribe(step.topic, step.group, assigned=assigned, revoked=revoked, start=step.start)
    return [one.key for one in await member.fetch(100, 0)]


async def test_a_new_agent_looks_once_at_every_stay_that_is_not_closed(real: Site, host: Host) -> None:
    await stays(real, e1="registered", e2="admitted", e3="discharged", e4="cancelled")
    await dispatch(real, host).first_look()
    rows = await outbox(real)
    assert [(row.topic, row.key) for row in rows] == [("raw", "key-e1"), ("raw", "key-e2")]
    assert [Due.model_validate_json(row.value) for row in rows] == [
        Due(agent="qc", name="first_look", due=NOON, encounter=encounter) for encounter in ("e1", "e2")
    ]
    headers = json.loads(rows[0].headers)
    assert headers["message"] == digest("wake", "qc", "e1", "first_look", NOON.isoformat())


async def test_a_new_agent_looks_at_no_stay_of_backfill_until_it_goes_on(real: Site, host: Host) -> None:
    await stays(real, e1="admitted", e2="admitted")
    async with real.database.write() as connection:
        await connection.execute(update(tables.encounters).values(past=True))
        e2 = tables.encounters.c.id == "e2"
        await connection.execute(update(tables.encounters).where(e2).values(live="place 2026-03-02T00:30:00+00:00"))
    await dispatch(real, host).first_look()
    assert [row.key for row in await outbox(real)] == ["key-e2"]


async def test_a_new_agent_starts_at_the_end_and_an_old_one_where_it_was(real: Site, host: Host) -> None:
    await append(real, "before")
    await dispatch(real, host).first_look()
    await append(real, "after")
    await dispatch(real, host).first_look()
    assert await waiting(real, dispatch(real, host)) == ["after"]


async def test_an_agent_looks_again_at_nothing_once_it_has_its_place(real: Site, host: Host) -> None:
    await dispatch(real, host).first_look()
    await stays(real, e1="admitted")
    await dispatch(real, host).first_look()
    assert await outbox(real) == []


async def test_what_comes_to_an_empty_site_before_the_consumer_starts_is_not_missed(real: Site, host: Host) -> None:
    step = dispatch(real, host)
    await step.first_look()
    await append(real, "first")
    assert await waiting(real, step) == ["first"]


async def test_what_is_charted_while_a_new_agent_looks_is_not_missed(
    real: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = wakes.send

    async def and_meanwhile(*args: Any, **kwargs: Any) -> None:
        await append(real, "meanwhile")
        await send(*args, **kwargs)

    await stays(real, e1="admitted")
    await append(real, "before")
    monkeypatch.setattr("hisbus_bus.kernel.wakes.send", and_meanwhile)
    step = dispatch(real, host)
    await step.first_look()
    assert await waiting(real, step) == ["meanwhile"]


async def test_a_first_look_that_broke_off_is_made_again(
    real: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: Any, **_kwargs: Any) -> None:
        raise RetryLater

    await stays(real, e1="admitted")
    with monkeypatch.context() as fault:
        fault.setattr(real.log, "place", broken)
        with pytest.raises(RetryLater):
            await dispatch(real, host).first_look()
    await dispatch(real, host).first_look()
    ids = [json.loads(row.headers)["message"] for row in await outbox(real)]
    assert len(ids) == 2 and len(set(ids)) == 1
