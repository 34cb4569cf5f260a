"""What an agent goes by is a release: the same content is the same one, and all that is said by it names it."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from hisbus import answer as answering
from hisbus.answer import declared
from hisbus.frames import AgentInfo
from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.read import traces, worklist
from hisbus_bus.flow.dispatch import Dispatch
from hisbus_bus.flow.review import Review, Unknown, decide
from hisbus_bus.flow.review.notes import of as notes_of
from hisbus_bus.flow.timers import Timers
from hisbus_bus.host.agents import UNHEARD, AgentHost
from hisbus_bus.host.calls import StoredCase, call_of
from hisbus_bus.kernel import charts, releases, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.stored import StoredChart
from hisbus_schemas import Assessed, Assessment, Chart, Decision, Unevaluated, Wake

from .evaluate.conftest import Looker
from .test_dispatch import NOON, QC, Host, batch, record
from .test_review_step import answer, finding, shown
from .test_review_step import batch as assessments

__all__ = ["shown"]


async def kept(site: Site, table: Any) -> list[Any]:
    async with site.database.read() as connection:
        return list(await connection.execute(select(table)))


# --- what a release is ------------------------------------------------------------------------------------------------


def test_the_same_content_is_the_same_release_whatever_the_order_in_which_it_is_said() -> None:
    info = QC.model_copy(update={"kinds": frozenset({"a.b", "c.d", "e.f"})})
    again = AgentInfo.model_validate_json(info.model_dump_json())
    first, second = releases.of_agent(info, {"a": 1, "b": 2}), releases.of_agent(again, {"b": 2, "a": 1})
    assert (first.id, first.hash) == (second.id, second.hash)
    assert json.loads(first.content)["settings"] == {"a": 1, "b": 2}


def test_whatever_the_agent_goes_by_makes_another_one(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    rule = tmp_path / "rules" / "R01.toml"
    rule.write_text("points = 1")
    settings = {"rules_folder": str(tmp_path / "rules")}
    made = [releases.of_agent(QC, settings)]
    rule.write_text("points = 2")
    made.append(releases.of_agent(QC, settings))
    (tmp_path / "rules" / "R02.toml").touch()
    made.append(releases.of_agent(QC, settings))
    made += [
        releases.of_agent(QC, {}),
        releases.of_agent(QC.model_copy(update={"version": "8"}), {}),
        releases.of_agent(QC.model_copy(update={"sources": "0" * 64}), {}),
        releases.of_agent(QC.model_copy(update={"name": "other"}), {}),
    ]
    assert len({release.id for release in made}) == len(made)


def test_an_agent_declares_what_its_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "vendor_of_rules"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rule.toml").write_text("points = 1")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("vendor_of_rules")
    hashes = []
    for text in ("points = 1", "points = 2", "points = 1"):
        (package / "rule.toml").write_text(text)
        answering.sources.cache_clear()
        hashes.append(answering.sources("vendor_of_rules.agent"))
    answering.sources.cache_clear()
    assert hashes[0] == hashes[2] != hashes[1] and len(hashes[0]) == 64
    assert answering.sources("not_loaded_at_all") == ""
    assert declared(Looker()).sources == answering.sources(Looker.__module__)


async def test_a_release_is_registered_once_and_follows_the_last(site: Site) -> None:
    first, second = releases.of_agent(QC, {}), releases.of_agent(QC, {"a": 1})
    for release in (first, second, first):
        async with site.database.write() as connection:
            await releases.register(connection, release, author="step:dispatch.qc", made_from="start")
    rows = {row.id: row for row in await kept(site, tables.releases)}
    assert rows.keys() == {first.id, second.id}
    assert (rows[first.id].parent, rows[second.id].parent) == ("", first.id)
    row = rows[second.id]
    assert (row.kind, row.name, row.version, row.state, row.hash) == ("agent", "qc", "7", "live", second.hash)
    assert row.content == second.content and row.created == row.changed


# --- a call by it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def charted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stored(_connection: Any, encounters: Collection[str], _known: Any) -> dict[str, StoredChart]:
        return {name: StoredChart(name, 5, NOON, "k", {}, '{"status":"admitted"}') for name in encounters}

    async def stored_events(_connection: Any, _ids: Collection[str]) -> dict[str, str]:
        return {}

    monkeypatch.setattr(charts, "stored", stored)
    monkeypatch.setattr(charts, "stored_events", stored_events)


@pytest.mark.usefixtures("charted")
async def test_a_call_carries_its_release_and_the_answer_names_it(site: Site, log: Any) -> None:
    host = Host()
    step = Dispatch(site, cast(AgentHost, host), QC)
    await step.handle(batch(record("e1")))
    await step.handle(batch(record("e2")))
    (row,) = await kept(site, tables.releases)
    said = [Assessed.model_validate_json(out.value) for out in log.appended]
    assert {one.release for one in said} == {row.id} == {case.release for case in host.cases}
    assert not any(one.shadow for one in said)
    assert f'"release":"{row.id}"' in call_of(host.cases[0], QC, site.settings).whole().replace(": ", ":")


@pytest.mark.usefixtures("charted")
async def test_an_agent_that_is_another_by_now_goes_by_another_release(site: Site, log: Any) -> None:
    host = Host()
    step = Dispatch(site, cast(AgentHost, host), QC)
    await step.handle(batch(record("e1")))
    host.agents = [QC.model_copy(update={"sources": "a" * 64})]
    await step.handle(batch(record("e2")))
    first, second = (Assessed.model_validate_json(out.value).release for out in log.appended)
    assert first != second and {row.id for row in await kept(site, tables.releases)} == {first, second}


@pytest.mark.usefixtures("charted")
async def test_a_service_that_was_never_heard_has_no_release_yet(site: Site, log: Any) -> None:
    class Late(Host):
        agents = [QC.model_copy(update={"version": UNHEARD})]

        async def assess(self, *given: Any) -> Assessment:
            self.agents = [QC]
            return await super().assess(*given)

    host = Late()
    await Dispatch(site, cast(AgentHost, host), QC).handle(batch(record("e1")))
    (row,) = await kept(site, tables.releases)
    assert host.cases[0].release == "" and row.version == "7"
    assert Assessed.model_validate_json(log.appended[0].value).release == row.id, "it answered by what it is"


# --- what is said by it -----------------------------------------------------------------------------------------------


async def reviewed(site: Site, *answers: Assessed, offset: int = 0) -> None:
    await Review(site).handle(assessments(*answers, offset=offset))


@pytest.mark.usefixtures("shown")
async def test_proposals_and_heads_name_the_release(site: Site) -> None:
    await reviewed(site, answer(finding(), release="r1"))
    (row,), (head,) = await kept(site, tables.proposals), await kept(site, tables.assessment_heads)
    assert (row.release, row.shadow, head.release, head.shadow) == ("r1", False, "r1", False)
    await reviewed(site, answer(finding(reads=["d1@2"]), version=2, release="r2"), offset=1)
    (row,), (head,) = await kept(site, tables.proposals), await kept(site, tables.assessment_heads)
    assert (row.release, head.release) == ("r2", "r2"), "it rests on what the second one read"


@pytest.mark.usefixtures("shown")
async def test_what_is_tried_unseen_is_kept_apart_and_nobody_is_shown_it(site: Site) -> None:
    reason = Unevaluated(rule="R02", text=finding().message)
    silent = Assessment(
        evaluated=frozenset({"R01", "R02"}), proposals=[finding(says="other"), finding("R02/x")], unevaluated=[reason]
    )
    await reviewed(site, answer(finding(), version=3, release="live"))
    (seen,) = await kept(site, tables.proposals)
    await reviewed(site, answer(version=9, release="tried", shadow=True, assessment=silent), offset=1)
    rows = await kept(site, tables.proposals)
    live, tried = [row for row in rows if not row.shadow], [row for row in rows if row.shadow]
    assert live == [seen], "an unseen answer supersedes and closes nothing"
    assert {row.key for row in tried} == {"R01", "R02/x"} and {row.release for row in tried} == {"tried"}
    assert {row.identity for row in tried}.isdisjoint({seen.identity})
    await reviewed(site, answer(version=4, release="live"), offset=2)
    status = {row.id: row.status for row in await kept(site, tables.proposals)}
    assert status.pop(seen.id) == "resolved", "its later version holds nothing up"
    assert set(status.values()) == {"open"}
    async with site.database.read() as connection:
        listed, _ = await worklist.page(connection, worklist.Filter(), 100, None)
        counted = await worklist.counts(connection, worklist.Filter(), "status")
        said = await notes_of(connection, "e1")
        with pytest.raises(Problem) as caught:
            await worklist.one(connection, tried[0].id)
    assert caught.value.code == "not_found"
    assert [row.id for row in listed] == [seen.id] and counted == {"resolved": 1}
    assert [one.notes.unevaluated for one in said] == [[]]


@pytest.mark.usefixtures("shown")
async def test_nobody_decides_on_what_is_tried_unseen(site: Site) -> None:
    await reviewed(site, answer(finding(), shadow=True))
    (row,) = await kept(site, tables.proposals)
    async with site.database.write() as connection:
        user = {"name": "ann", "role": "reviewer", "password": "", "active": True, "failures": 0}
        await connection.execute(tables.users.insert(), user)
    about = {"user": "ann", "role": "reviewer", "if_match": row.etag, "decision": "accept"}
    with pytest.raises(Unknown):
        await decide(site, proposal_id=row.id, **about)
    assert await kept(site, tables.decisions) == []


@pytest.mark.usefixtures("charted")
async def test_no_other_agent_hears_of_what_is_tried_unseen(site: Site, shown: dict[str, Chart]) -> None:
    tried = assessments(answer(finding(), shadow=True))
    heard = [replace(one, headers=one.headers | {"announce": "1"}) for one in tried.records]
    await Review(site).handle(replace(tried, records=heard))
    assert await kept(site, tables.outbox) == []

    class Hearing(Host):
        agents = [QC.model_copy(update={"name": "check", "grants": frozenset({"findings"})})]

        async def assess(self, agent: str, case: StoredCase, *_more: Any) -> Assessment:
            self.cases.append(case)
            return Assessment()

    host = Hearing()
    await Dispatch(site, cast(AgentHost, host), Hearing.agents[0]).handle(batch(record("e1")))
    assert [list(case.proposals) for case in host.cases] == [[]]


async def test_what_is_tried_unseen_wakes_nobody(site: Site) -> None:
    timers = Timers(site, {})
    wake = Assessment(wakes=[Wake(name="w", due=NOON)])
    other = Assessment(wakes=[Wake(name="v", due=NOON)])
    await timers.handle(assessments(answer(version=1, assessment=wake)))
    await timers.handle(assessments(answer(version=2, assessment=other, shadow=True), offset=1))
    assert [row.name for row in await kept(site, tables.wakes)] == ["w"]


# --- from a write-back to all that it rests on ------------------------------------------------------------------------


@pytest.mark.usefixtures("shown")
async def test_a_write_back_leads_to_message_event_chart_release_and_decisions(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = releases.of_agent(QC, {"a": 1})
    blank: dict[type, Any] = {str: "", int: 0, bytes: b"", bool: False, object: NOON}

    def row(table: Any, **its: Any) -> dict[str, Any]:
        return {one.name: blank[one.type.python_type] for one in table.columns if not one.nullable} | its

    async def read(_connection: Any, encounter: str) -> Chart:
        return Chart(
            encounter=encounter, version=3, now=NOON, visit={"authority": "A", "number": "1"}, status="admitted"
        )

    monkeypatch.setattr(charts, "chart", read)
    async with site.database.write() as connection:
        await releases.register(connection, release, author="step:dispatch.qc", made_from="start")
        user = {"name": "ann", "role": "reviewer", "password": "", "active": True, "failures": 0}
        await connection.execute(tables.users.insert(), user)
        await connection.execute(tables.events.insert(), row(tables.events, id="event", message="m1"))
        for copy, first in (("0.1", True), ("0.2", False)):
            await connection.execute(tables.messages.insert(), row(tables.messages, id=copy, message="m1", first=first))
    made: list[Decision] = []
    for version, says in ((1, "first"), (3, "second")):
        await reviewed(site, answer(finding(says=says), version=version, release=release.id), offset=version)
        (waiting,) = [one for one in await kept(site, tables.proposals) if one.status == "open"]
        about = {"user": "ann", "role": "reviewer", "if_match": waiting.etag, "decision": "accept"}
        made.append(await decide(site, proposal_id=waiting.id, **about))
    assert (
        [one.release for one in made] == [release.id] * 2 == [one.release for one in await kept(site, tables.decisions)]
    )
    sent = row(tables.writebacks, id="w1", decision=made[1].id, proposal=made[1].proposal, encounter="e1")
    async with site.database.write() as connection:
        await connection.execute(tables.writebacks.insert(), sent)
    async with site.database.read() as connection:
        origin = await traces.of_writeback(connection, "w1")
        assert await traces.of_writeback(connection, "another") is None
    assert origin == traces.Origin(
        message="0.1",
        event="event",
        encounter="e1",
        version=3,
        release=release.id,
        content=release.content,
        decision=made[1].id,
        decisions=[made[0].id, made[1].id],
    )
