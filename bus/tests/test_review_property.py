"""Whatever agents say and people decide, in whatever order it arrives: what review promises holds."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from hisbus.errors import Refused
from hisbus_bus.flow.review import Review, decide, refresh, undo
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.kernel import charts, database, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import Assessed, Assessment, Chart, Decision, Finding, Text, Unevaluated, VisitId

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
DECIDED = {"accepted", "edited", "rejected"}
LIVE = {"open", "stale"}
KEYS = ("R01", "R02/a", "R02/b")

said = st.fixed_dictionaries({}, optional={key: st.sampled_from("xyz") for key in KEYS})
evaluated = st.sets(st.sampled_from(("R01", "R02")))
stays = st.sampled_from(("admitted", "discharged"))


def lacking(rule: str) -> Unevaluated:
    return Unevaluated(rule=rule, reason="not_connected", text=Text(zh="未接入", en="not connected"))


class ReviewMachine(RuleBasedStateMachine):
    """Two agents speak about one stay while a person decides and the chart changes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stay: Any = "admitted"
        self.sent: list[Assessed] = []
        self.heads: dict[str, int] = defaultdict(int)
        self.before: list[Any] = []
        self.undone: set[str] = set()
        self.patch = pytest.MonkeyPatch()

    @initialize()
    def open(self) -> None:
        self.patch.setattr(database, "SQLITE_PRAGMAS", ("journal_mode=MEMORY", "synchronous=OFF"))
        self.patch.setattr(charts, "chart", self.chart)
        self.patch.setattr(charts, "charts", self.charts)
        self.database = Database(f"sqlite:///{Path(self.folder.name)}/hisbus.db")
        log: Any = None
        self.site = Site(Settings(site="test", review={"grace_s": 3600}), Keys(b"test"), log, self.database)
        self.review = Review(self.site)
        self.runner.run(self._create())

    async def _create(self) -> None:
        async with self.database.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        async with self.database.write() as connection:
            user = {"name": "ann", "role": "reviewer", "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)

    async def chart(self, _connection: Any, _encounter: str) -> Chart:
        visit = VisitId(authority="A", number="1")
        return Chart(encounter="e1", version=1, now=AT, visit=visit, status=self.stay)

    async def charts(self, connection: Any, encounters: Collection[str]) -> dict[str, Chart]:
        return {encounter: await self.chart(connection, encounter) for encounter in encounters}

    async def rows(self, table: Any = tables.proposals) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(select(table)))

    def deliver(self, one: Assessed) -> None:
        record = Record("assessments", 0, 0, "e1", one.model_dump_json().encode(), {}, AT)
        self.runner.run(self.review.handle(Batch([record], {0: 1})))

    # --- what may happen ----------------------------------------------------------------------------------------------

    @rule(
        agent=st.sampled_from(("qc", "text")),
        says=said,
        evaluated=evaluated,
        unconnected=evaluated,
        ahead=st.integers(-2, 3),
        reads=stays,
    )
    def assess(
        self, agent: str, says: dict[str, str], evaluated: set[str], unconnected: set[str], ahead: int, reads: str
    ) -> None:
        evaluated, says = evaluated - unconnected, {k: v for k, v in says.items() if k[:3] not in unconnected}
        proposals = [
            Finding(
                key=key,
                rule=key.split("/")[0],
                message=Text(zh="缺", en="missing"),
                fingerprint=value,
                reads=[f"stay.status@{reads}"],
            )
            for key, value in says.items()
        ]
        version = max(1, self.heads[agent] + ahead)
        one = Assessed(
            id=f"{agent}{len(self.sent)}",
            agent=agent,
            agent_version="1",
            encounter="e1",
            version=version,
            event="",
            key="",
            now=AT,
            assessment=Assessment(
                evaluated=frozenset(evaluated), unevaluated=[lacking(rule) for rule in unconnected], proposals=proposals
            ),
        )
        before = self.runner.run(self.rows())
        self.deliver(one)
        after = {row.id: row for row in self.runner.run(self.rows())}
        if version < self.heads[agent]:
            assert list(after.values()) == before
            return
        self.heads[agent] = version
        self.sent.append(one)
        for row in before:
            mine = row.agent == agent
            assert mine or after[row.id] == row, "another agent's answer touched it"
            if mine and row.status in LIVE and after[row.id].status == "resolved":
                assert row.rule in evaluated, "it closed, and nobody had looked"
                assert row.key not in says
            if mine and row.status in LIVE and row.rule in evaluated and row.key not in says:
                assert after[row.id].status == "resolved"
            if mine and row.status in LIVE and row.rule in unconnected:
                assert after[row.id].status == "withdrawn"
            newest = max(other.revision for other in before if other.identity == row.identity) == row.revision
            if mine and row.status == "withdrawn" and newest and says.get(row.key) == row.fingerprint:
                assert after[row.id].status == "open", "it came back as another"

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        newest = {one.agent: one for one in self.sent}
        one = newest[data.draw(st.sampled_from(sorted(newest)))]
        before = self.runner.run(self.rows()), self.runner.run(self.rows(tables.audit))
        self.deliver(one)
        assert (self.runner.run(self.rows()), self.runner.run(self.rows(tables.audit))) == before

    @precondition(lambda self: self.before)
    @rule(data=st.data(), answer=st.sampled_from(("accept", "reject", "edit")), seen=st.booleans())
    def answer(self, data: st.DataObject, answer: str, seen: bool) -> None:
        row = data.draw(st.sampled_from(sorted(self.before, key=lambda row: row.id)))
        deciding = decide(
            self.site,
            proposal_id=row.id,
            user="ann",
            role="reviewer",
            if_match=row.etag if seen else "another",
            decision=answer,
            reason="wrong" if answer == "reject" else None,
            payload={"note": "x"},
        )
        try:
            made = self.runner.run(deciding)
        except Refused:
            return
        assert seen
        assert row.status == "open"
        assert made.proposal == row.id
        assert f"stay.status@{self.stay}" in row.body.decode(), "it was decided on what had changed"

    @precondition(lambda self: any(row.status in DECIDED for row in self.before))
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        decided = sorted(row.id for row in self.before if row.status in DECIDED)
        row = next(row for row in self.before if row.id == data.draw(st.sampled_from(decided)))
        self.runner.run(undo(self.site, proposal_id=row.id, user="ann", role="reviewer", if_match=row.etag))
        self.undone.add(row.id)

    @rule(stay=stays)
    def change_the_chart(self, stay: str) -> None:
        self.stay = stay

    @rule()
    def look(self) -> None:
        async def refreshed() -> None:
            async with self.database.write() as connection:
                for row in await connection.execute(select(tables.proposals)):
                    await refresh(connection, Standing.of(row), await self.chart(connection, row.encounter))

        self.runner.run(refreshed())

    # --- what holds at any time ---------------------------------------------------------------------------------------

    @invariant()
    def promises(self) -> None:
        rows = self.runner.run(self.rows())
        now = {row.id: row for row in rows}
        of_identity = defaultdict(list)
        for row in sorted(rows, key=lambda row: row.revision):
            of_identity[row.identity].append(row)
        for revisions in of_identity.values():
            assert sum(row.status in LIVE for row in revisions) <= 1, "two are open"
            assert [row.revision for row in revisions] == list(range(1, len(revisions) + 1))
            rejected: set[str] = set()
            for row in revisions:
                assert row.fingerprint not in rejected, "a rejected one opened again"
                rejected |= {row.fingerprint} if row.status == "rejected" else set()
        for row in self.before:
            if row.status in DECIDED and row.id not in self.undone:
                kept = now[row.id]
                assert (kept.status, kept.body, kept.etag) == (row.status, row.body, row.etag), "a decided one changed"
            if row.status in {"resolved", "superseded"}:
                assert now[row.id] == row, "a closed one changed"
        stand = {row.id: row.proposal for row in self.runner.run(self.rows(tables.decisions)) if row.state == "stands"}
        assert sorted(stand.values()) == sorted(row.id for row in rows if row.status in DECIDED)
        leaving = [Decision.model_validate_json(row.value).id for row in self.runner.run(self.rows(tables.outbox))]
        assert sorted(leaving) == sorted(stand), "what leaves is not what stands"
        self.before, self.undone = rows, set()

    @invariant()
    def each_change_is_told_once(self) -> None:
        audited = [row.object for row in self.runner.run(self.rows(tables.audit))]
        told = [row.proposal for row in self.runner.run(self.rows(tables.proposal_history))]
        assert audited == told

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.patch.undo()
        self.folder.cleanup()


TestReview = ReviewMachine.TestCase
TestReview.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
