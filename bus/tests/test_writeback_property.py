"""Whatever the HIS does and whenever the process dies: at most one effect, and none without a decision."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from hisbus.errors import Refused, RetryLater
from hisbus_bus.flow.review import Review, decide
from hisbus_bus.flow.writeback import Sender, WriteBackStep
from hisbus_bus.kernel import charts, database, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import (
    Assessed,
    Assessment,
    Chart,
    Decision,
    Finding,
    Patient,
    PatientId,
    Receipt,
    Text,
    VisitId,
)

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
ANSWERS = ("accept", "edit", "reject", None)
FAULTS = ("away", "dies before", "dies after begin", "dies after effect", "no answer", "lost answer", "temporary")
KEYS = ("R01", "R02", "R03")


class Killed(BaseException):
    """The process ends here."""


class His:
    """Applies a document, or not; answers, or not; and knows afterwards, or will not say."""

    name = "his"
    writes = True
    his_drops_duplicates = False

    def __init__(self, faults: list[str], silent: list[bool]) -> None:
        self.faults = faults
        self.silent = silent
        self.effects: list[str] = []

    async def write(self, writeback: Any, begin: Any) -> Receipt:
        fault = self.faults.pop() if self.faults else ""
        if fault == "away":
            raise RetryLater
        if fault == "dies before":
            raise Killed
        await begin()
        if fault == "dies after begin":
            raise Killed
        if fault in {"", "dies after effect", "lost answer"}:
            self.effects.append(writeback.decision)
        if fault == "dies after effect":
            raise Killed
        outcome: Any = {"no answer": "unknown", "lost answer": "unknown", "temporary": "temporary"}.get(
            fault, "applied"
        )
        return Receipt(writeback=writeback.id, outcome=outcome, received=AT)

    async def find(self, writeback: Any) -> Any:
        if self.silent and self.silent.pop():
            return "unknown"
        return "applied" if writeback.decision in self.effects else "not_applied"


class Lived:
    """A site with three proposals, from the agent's answer to the HIS."""

    def __init__(self, folder: str, his: His) -> None:
        self.his = his
        self.database = Database(f"sqlite:///{Path(folder)}/hisbus.db")
        log: Any = self
        self.site = Site(Settings(site="test", writeback={"retry_s": 0.000001}), Keys(b"test"), log, self.database)

    async def committed(self, _topic: str, _group: str) -> dict[int, int]:
        return {}

    async def rows(self, table: Any) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(select(table)))

    async def open(self) -> None:
        async with self.database.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        async with self.database.write() as connection:
            user = {"name": "ann", "role": "reviewer", "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)
        found = [Finding(key=key, rule=key, message=Text(zh="缺", en="missing")) for key in KEYS]
        said = Assessed(
            id="a",
            agent="qc",
            agent_version="1",
            encounter="e1",
            version=1,
            event="",
            key="",
            now=AT,
            assessment=Assessment(evaluated=frozenset(KEYS), proposals=found),
        )
        record = Record("assessments", 0, 0, "e1", said.model_dump_json().encode(), {}, AT)
        await Review(self.site).handle(Batch([record], {0: 1}))

    async def answer(self, row: Any, answer: str | None) -> None:
        try:
            await decide(
                self.site,
                proposal_id=row.id,
                user="ann",
                role="reviewer",
                if_match=row.etag,
                decision=answer or "",
                reason="wrong",
                payload={"note": "x"},
            )
        except Refused:
            assert answer is None

    async def relay(self) -> None:
        """Deliver every decision twice, as a crash before the commit of its offset would."""
        sent = [row for row in await self.rows(tables.outbox) if row.topic == "decisions"]
        for _ in range(2):
            for offset, row in enumerate(sent):
                record = Record("decisions", 0, offset, row.key, row.value, {}, AT)
                await WriteBackStep(self.site, [self.connector]).handle(Batch([record], {0: offset + 1}))

    @property
    def connector(self) -> Any:
        return self.his

    async def work_off(self) -> None:
        past = datetime.now(UTC) - timedelta(days=1)
        for _ in range(20):
            async with self.database.write() as connection:
                table = tables.writebacks
                held = update(table).where(table.c.lease_until.is_not(None)).values(lease_until=past)
                await connection.execute(held)
                await connection.execute(update(table).values(not_before=past))
            try:
                if not await Sender(self.site, [self.connector]).once():
                    return
            except Killed:
                continue


async def live(folder: str, his: His, answers: tuple[str | None, ...], forget: bool) -> None:
    one = Lived(folder, his)
    await one.open()
    for row, answer in zip(sorted(await one.rows(tables.proposals), key=lambda row: row.key), answers, strict=True):
        await one.answer(row, answer)
    await one.relay()
    if forget:
        async with one.database.write() as connection:
            await connection.execute(delete(tables.decisions))
    await one.work_off()

    made = {row.id: Decision.model_validate_json(row.body) for row in await one.rows(tables.decisions)}
    assert len(his.effects) == len(set(his.effects)), "two effects of one decision"
    assert set(his.effects) <= {id for id, decision in made.items() if decision.decision in {"accept", "edit"}}
    states = {row.decision: row.status for row in await one.rows(tables.writebacks)}
    assert len(states) == sum(answer in {"accept", "edit"} for answer in answers)
    for decision, status in states.items():
        if decision in his.effects:
            assert status in {"applied", "undecided"}, "an effect that nobody can see"
        else:
            assert status != "applied", "applied, says the table, and it is not so"
    await one.database.close()


@given(
    answers=st.tuples(*[st.sampled_from(ANSWERS)] * 3),
    faults=st.lists(st.sampled_from(FAULTS), max_size=6),
    silent=st.lists(st.booleans(), max_size=4),
    forget=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_at_most_one_effect_and_none_without_a_decision(
    answers: tuple[str | None, ...], faults: list[str], silent: list[bool], forget: bool
) -> None:
    async def chart(_connection: Any, _encounter: str) -> Chart:
        patient = Patient(id=PatientId(authority="A", number="7"))
        visit = VisitId(authority="A", number="1")
        return Chart(
            encounter="e1", version=1, now=AT, visit=visit, status="admitted", connector="his", patient=patient
        )

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "chart", chart, raising=False)
        patch.setattr(database, "SQLITE_PRAGMAS", ("journal_mode=MEMORY", "synchronous=OFF"))
        asyncio.run(live(folder, His(faults, silent), answers, forget))
