"""Both tables of states, walked with the real code: every move leads where its table says, and there is no other."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select, update

from hisbus.errors import RetryLater
from hisbus_bus.flow.review import Review, Sent, decide, proposals, refresh, take_over, undo
from hisbus_bus.flow.review import states as review
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.review.states import State
from hisbus_bus.flow.writeback import Sender, WriteBackStep, ledger, resolve
from hisbus_bus.flow.writeback import states as writeback
from hisbus_bus.flow.writeback.outgoing import Outgoing
from hisbus_bus.kernel import charts, database, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import HIS, PERSON, STEP, TOPIC, Impossible
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import (
    Assessed,
    Assessment,
    Chart,
    Decision,
    Finding,
    Patient,
    PatientId,
    Proposal,
    Receipt,
    Text,
    VisitId,
)

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
Move = tuple[Any, str, str]
"""State, event, who."""


class Life:
    """One proposal on a site of its own, and what may happen to it."""

    def __init__(self, folder: str, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(database, "SQLITE_PRAGMAS", ("journal_mode=MEMORY", "synchronous=OFF"))
        patch.setattr(charts, "chart", self.chart)
        self.stay = "admitted"
        self.version = 0
        self.topic: list[Decision] = []
        self.committed_to = 0
        self.database = Database(f"sqlite:///{Path(folder)}/hisbus.db")
        log: Any = self
        how: Any = {"review": {"grace_s": 3600}, "writeback": {"retry_s": 0.000001}}
        self.site = Site(Settings(site="test", **how), Keys(b"test"), log, self.database)

    async def open(self) -> Self:
        async with self.database.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        async with self.database.write() as connection:
            user = {"name": "ann", "role": "reviewer", "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)
        return self

    async def close(self) -> None:
        await self.database.close()

    async def rows(self, table: Any) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(select(table)))

    async def told(self, prefix: str) -> list[str]:
        return [row.action for row in await self.rows(tables.audit) if row.action.startswith(prefix)]

    async def chart(self, _connection: Any, _encounter: str) -> Chart:
        about = {"encounter": "e1", "version": 1, "now": AT, "visit": VisitId(authority="A", number="1")}
        patient = Patient(id=PatientId(authority="A", number="7"))
        return Chart(**about, status=self.stay, connector="his", patient=patient)

    # --- a log that holds decisions

    async def begins(self, _topic: str) -> Mapping[int, int]:
        return {0: 0}

    async def ends(self, _topic: str) -> Mapping[int, int]:
        return {0: len(self.topic)}

    async def committed(self, _topic: str, _group: str) -> Mapping[int, int]:
        return {0: self.committed_to}

    async def read(self, _topic: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        return [
            Record("decisions", partition, place, "e1", one.model_dump_json().encode(), {}, AT)
            for place, one in enumerate(self.topic)
        ][offset : offset + limit]

    # --- what agents and people do

    async def say(self, *fingerprints: str) -> None:
        """Let the agent say it in these words; in none: it says nothing."""
        self.version += 1
        found: list[Proposal] = [
            Finding(
                key="R01",
                rule="R01",
                message=Text(zh="缺", en="missing"),
                fingerprint=words,
                reads=[f"stay.status@{self.stay}"],
            )
            for words in fingerprints
        ]
        said = Assessed(
            id=f"a{self.version}",
            agent="qc",
            agent_version="1",
            encounter="e1",
            version=self.version,
            event="",
            key="",
            now=AT,
            assessment=Assessment(evaluated=frozenset({"R01"}), proposals=found),
        )
        record = Record("assessments", 0, self.version, "e1", said.model_dump_json().encode(), {}, AT)
        await Review(self.site).handle(Batch([record], {0: self.version + 1}))

    async def answer(self, answer: str) -> Decision:
        row = await self.standing()
        return await decide(
            self.site,
            proposal_id=row.id,
            user="ann",
            role="reviewer",
            if_match=row.etag,
            decision=answer,
            reason="wrong",
            payload={"note": "x"},
        )

    async def standing(self) -> Standing:
        """Return the first revision."""
        found = await self.rows(tables.proposals)
        return Standing.of(min(found, key=lambda row: row.revision))


class ProposalLife(Life):
    """What may happen to a proposal."""

    async def state(self) -> State:
        found = await self.rows(tables.proposals)
        return (await self.standing()).state if found else review.NEW

    async def taken_over(self, answer: str) -> None:
        """Let the topic hold a decision that the table lacks."""
        id = proposals.revision_id(proposals.identity("test", "qc", "e1", "R01"), 1)
        approved = Finding(key="R01", rule="R01", message=Text(zh="缺", en="missing"), fingerprint="x")
        about = {"proposal": id, "revision": 1, "agent": "qc", "rule": "R01", "encounter": "e1", "user": "ann"}
        made = Decision(**about, id=f"t{len(self.topic)}", decision=answer, decided=AT, etag="", approved=approved)
        self.topic.append(made)
        assert await take_over(self.site) == 1
        if not await self.rows(tables.proposals):
            await self.say("x")

    async def look(self, stay: str) -> None:
        self.stay = stay
        async with self.database.write() as connection:
            await refresh(connection, await self.standing(), await self.chart(connection, "e1"))

    async def can(self, event: str, who: str) -> bool:
        """Tell whether it can be brought about now: what came from the topic has left, so nobody takes it back."""
        if (event, who) != ("undo", PERSON):
            return True
        return any(row.topic == "decisions" for row in await self.rows(tables.outbox))

    async def do(self, event: str, who: str) -> None:
        match event, who:
            case "said", _:
                await self.say("x")
            case "unsaid", _:
                await self.say()
            case "replaced", _:
                await self.say("y")
            case "disconnected", _:
                async with self.database.write() as connection:
                    await proposals.turn(connection, await self.standing(), "disconnected", STEP, proposals.ACTOR)
            case "changed" | "holds", _:
                await self.look("discharged" if self.stay == "admitted" else "admitted")
            case "undo", "person":
                row = await self.standing()
                await undo(self.site, proposal_id=row.id, user="ann", role="reviewer", if_match=row.etag)
            case "undo", _:
                await self.taken_over("reject")
            case _, "topic":
                await self.taken_over(event)
            case _:
                await self.answer(event)

    async def refuses(self, event: Any, who: str) -> None:
        """Check that what the table does not know cannot be done, and leaves no trace."""
        before = [await self.rows(table) for table in (tables.proposals, tables.audit, tables.proposal_history)]
        with pytest.raises(Impossible):
            async with self.database.write() as connection:
                await proposals.turn(connection, await self.standing(), event, who, "test")
        assert before == [await self.rows(table) for table in (tables.proposals, tables.audit, tables.proposal_history)]


def follows(state: Any, event: str, who: str) -> State:
    """Return where the table leads, and what review does besides in the same breath."""
    now = review.TABLE.after(state, event, who)
    if (event, who) == ("undo", TOPIC):
        return review.TABLE.after(now, "reject", TOPIC)  # another decision is why it was undone
    if event == "undo" and state.rectified:
        return review.TABLE.after(now, "unsaid", STEP)  # the agent had said no more of it
    return now


def explained(history: Sequence[str]) -> State:
    """Return where the lines of a proposal's history lead through the table."""
    at = review.NEW
    for line in history:
        ways = {
            now for (state, event, _), now in review.TABLE.rows.items()
            if state == at and review.told(state, event, now) == line  # type: ignore[arg-type]
        }  # fmt: skip
        assert len(ways) == 1, f"{at} does not become {line}"
        (at,) = ways
    return at


TO_A_PROPOSAL: dict[State, list[tuple[str, str]]] = {
    review.NEW: [],
    review.OPEN: [("said", STEP)],
    review.STALE: [("said", STEP), ("changed", STEP)],
    review.ACCEPTED: [("said", STEP), ("accept", PERSON)],
    review.EDITED: [("said", STEP), ("edit", PERSON)],
    review.REJECTED: [("said", STEP), ("reject", PERSON)],
    review.ACCEPTED_RECTIFIED: [("said", STEP), ("accept", PERSON), ("unsaid", STEP)],
    review.EDITED_RECTIFIED: [("said", STEP), ("edit", PERSON), ("unsaid", STEP)],
    review.SUPERSEDED: [("said", STEP), ("replaced", STEP)],
    review.RESOLVED: [("said", STEP), ("unsaid", STEP)],
    review.WITHDRAWN: [("said", STEP), ("disconnected", STEP)],
}


@pytest.mark.parametrize("move", review.TABLE.rows, ids=str)
async def test_each_move_of_a_proposal_leads_where_the_table_says(
    move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, event, who = move
    life = await ProposalLife(str(tmp_path), monkeypatch).open()
    for before in TO_A_PROPOSAL[state]:
        await life.do(*before)
    assert await life.state() == state
    await life.do(event, who)
    assert await life.state() == follows(*move)
    await life.close()


class Walk(RuleBasedStateMachine):
    """Anything may happen at any time."""

    table: Any
    events: Sequence[str]
    actors: Sequence[str]
    life: Any

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.runner = asyncio.Runner()

    def made(self) -> Life:
        raise NotImplementedError

    def follows(self, state: Any, event: str, who: str) -> Any:
        return self.table.after(state, event, who)

    @initialize()
    def begin(self) -> None:
        self.life = self.runner.run(self.made().open())

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        state = self.runner.run(self.life.state())
        ways = [(event, who) for at, event, who in self.table.rows if at == state]
        if not ways:
            return
        event, who = data.draw(st.sampled_from(ways))
        if self.runner.run(self.life.can(event, who)):
            self.runner.run(self.life.do(event, who))
            assert self.runner.run(self.life.state()) == self.follows(state, event, who)

    @rule(data=st.data())
    def try_what_cannot_be(self, data: st.DataObject) -> None:
        state = self.runner.run(self.life.state())
        if state in {review.NEW, writeback.NEW}:
            return
        event, who = data.draw(st.sampled_from(self.events)), data.draw(st.sampled_from(self.actors))
        if (state, event, who) not in self.table.rows:
            self.runner.run(self.life.refuses(event, who))

    def teardown(self) -> None:
        self.runner.run(self.life.close())
        self.runner.close()
        self.patch.undo()
        self.folder.cleanup()


class ProposalWalk(Walk):
    """A proposal goes through its table."""

    table = review.TABLE
    events, actors = get_args(review.Event), (STEP, PERSON, TOPIC)

    def made(self) -> Life:
        return ProposalLife(self.folder.name, self.patch)

    def follows(self, state: Any, event: str, who: str) -> Any:
        if (event, who) == ("undo", PERSON) and self.runner.run(self._is_followed()):
            return review.TABLE.after(review.TABLE.after(state, event, who), "replaced", STEP)
        return follows(state, event, who)

    async def _is_followed(self) -> bool:
        return len(await self.life.rows(tables.proposals)) > 1

    @invariant()
    def its_history_and_audit_say_how_it_came_there(self) -> None:
        rows = self.runner.run(self.life.rows(tables.proposals))
        lines = self.runner.run(self.life.rows(tables.proposal_history))
        for row in rows:
            mine = [line.status for line in lines if line.proposal == row.id]
            assert explained(mine) == Standing.of(row).state
        audited = self.runner.run(self.life.told("proposal."))
        assert audited == [f"proposal.{line.status}" for line in lines]

    @invariant()
    def nothing_leaves_without_a_decision_that_stands(self) -> None:
        rows = self.runner.run(self.life.rows(tables.proposals))
        made = self.runner.run(self.life.rows(tables.decisions))
        stands = {row.id: row.proposal for row in made if row.state == "stands"}
        leaving = [
            Decision.model_validate_json(row.value).id
            for row in self.runner.run(self.life.rows(tables.outbox))
            if row.topic == "decisions"
        ]
        assert set(leaving) <= stands.keys()
        assert len(set(stands.values())) == len(stands), "two decisions on one proposal stand"
        if rows:
            decided = {row.id for row in rows if row.status in {"accepted", "edited", "rejected"}}
            assert decided == set(stands.values())


class Lost(BaseException):
    """The sender is gone."""


class WriteBackLife(Life):
    """What may happen to a write-back. It is its own connector, whose HIS answers when it is told to."""

    name = "his"
    writes = True

    def __init__(self, folder: str, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, patch)
        self.attempt: asyncio.Task[Any] | None = None
        self.begins_first = True
        self.at_once = "applied"
        self.found: Any = "unknown"

    async def open(self) -> Self:
        await super().open()
        await self.say("x")
        self.topic.append(await self.answer("accept"))
        return self

    async def close(self) -> None:
        if self.attempt is not None:
            self.attempt.cancel()
            await asyncio.wait([self.attempt])
        await super().close()

    async def write(self, sent: Any, begin: Any) -> Receipt:
        outcome: Any = self.at_once
        if self.begins_first:
            await begin()
            self.begun.set()
            outcome = await self.said
        if outcome == "unanswered":
            raise RetryLater
        return Receipt(writeback=sent.id, outcome=outcome, received=AT)

    async def find(self, _sent: Any) -> Any:
        return self.found

    async def state(self) -> str:
        found = await self.rows(tables.writebacks)
        return str(found[0].status) if found else writeback.NEW

    async def take(self, committed: int) -> None:
        self.committed_to = committed
        records = await self.read("decisions", 0, 0, 1)
        step = WriteBackStep(self.site, [self.connector])
        await step.handle(Batch(records, {0: 1}))

    @property
    def connector(self) -> Any:
        return self

    async def once(self) -> None:
        past = datetime.now(UTC) - timedelta(days=1)
        async with self.database.write() as connection:
            await connection.execute(update(tables.writebacks).values(not_before=past))
        await Sender(self.site, [self.connector]).once()

    async def can(self, event: str, who: str) -> bool:
        """Tell whether it can be brought about now: only a sender that still waits hears an answer that is late."""
        late = who == HIS and event in {"rejected", "unknown"} and await self.state() == "undecided"
        return not late or self.attempt is not None

    async def do(self, event: str, who: str) -> None:
        match event, who:
            case _, "person":
                (row,) = await self.rows(tables.writebacks)
                await self._end()
                await resolve(self.site, row.id, event, "seen in the HIS", "ann")
            case "taken", _:
                await self.take(0)
            case "lost", _:
                await (self.lose() if await self.rows(tables.writebacks) else self.take(1))
            case "begun", _:
                self.begun, self.said = asyncio.Event(), asyncio.get_running_loop().create_future()
                self.attempt = asyncio.create_task(self.once())
                await self.begun.wait()
            case "withheld", _:
                self.stay = "cancelled"
                await self.once()
                self.stay = "admitted"
            case "refused", _:
                await self.without_beginning("rejected")
            case "unanswered", _ if self.attempt is None:
                await self.without_beginning("applied")
            case _ if self.attempt is not None:
                self.said.set_result(event)
                await self.attempt
                self.attempt = None
            case _:
                self.found = {"applied": "applied", "temporary": "not_applied"}[event]
                await self.once()
                self.found = "unknown"

    async def _end(self) -> None:
        """A person answers; whoever still waits for the HIS hears no more of it."""
        if self.attempt is not None:
            self.attempt.cancel()
            await asyncio.wait([self.attempt])
            self.attempt = None

    async def without_beginning(self, outcome: str) -> None:
        self.begins_first, self.at_once = False, outcome
        await self.once()
        self.begins_first = True

    async def lose(self) -> None:
        past = datetime.now(UTC) - timedelta(days=1)
        async with self.database.write() as connection:
            await connection.execute(update(tables.writebacks).values(lease_until=past))
            assert await ledger.reclaim(connection) == 1

    async def refuses(self, event: Any, who: str) -> None:
        """Check that what the table does not know cannot be done, and leaves no trace."""
        (before,) = await self.rows(tables.writebacks)
        audited = await self.rows(tables.audit)
        with pytest.raises(Impossible):
            async with self.database.write() as connection:
                mine = tables.writebacks.c.lease == before.lease
                await ledger._move(connection, Outgoing.of(before), event, who, mine, "", actor="test")
        assert ([before], audited) == (await self.rows(tables.writebacks), await self.rows(tables.audit))


TO_A_WRITEBACK: dict[str, list[tuple[str, str]]] = {
    writeback.NEW: [],
    writeback.QUEUED: [("taken", STEP)],
    writeback.SENDING: [("taken", STEP), ("begun", STEP)],
    writeback.UNDECIDED: [("taken", STEP), ("begun", STEP), ("lost", STEP)],
    writeback.APPLIED: [("taken", STEP), ("begun", STEP), ("applied", HIS)],
    writeback.REJECTED: [("taken", STEP), ("refused", STEP)],
    writeback.STALE: [("taken", STEP), ("withheld", STEP)],
}


@pytest.mark.parametrize("move", writeback.TABLE.rows, ids=str)
async def test_each_move_of_a_write_back_leads_where_the_table_says(
    move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, event, who = move
    life = await WriteBackLife(str(tmp_path), monkeypatch).open()
    for before in TO_A_WRITEBACK[state]:
        await life.do(*before)
    assert await life.state() == state
    await life.do(event, who)
    assert await life.state() == writeback.TABLE.after(*move)
    await life.close()


class WriteBackWalk(Walk):
    """A write-back goes through its table."""

    table = writeback.TABLE
    events, actors = get_args(writeback.Event), (STEP, PERSON, HIS)

    def made(self) -> Life:
        return WriteBackLife(self.folder.name, self.patch)

    @invariant()
    def its_audit_says_how_it_came_there(self) -> None:
        told = [line.removeprefix("writeback.") for line in self.runner.run(self.life.told("writeback."))]
        steps = {(state, now) for (state, *_), now in writeback.TABLE.rows.items()}
        assert set(zip([writeback.NEW, *told], told, strict=False)) <= steps
        assert [writeback.NEW, *told][-1] == self.runner.run(self.life.state())


TestProposalWalk = ProposalWalk.TestCase
TestWriteBackWalk = WriteBackWalk.TestCase
TestProposalWalk.settings = TestWriteBackWalk.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("state", [state for state in TO_A_PROPOSAL if state != review.NEW], ids=str)
async def test_nothing_else_moves_a_proposal(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = await ProposalLife(str(tmp_path), monkeypatch).open()
    for before in TO_A_PROPOSAL[state]:
        await life.do(*before)
    for event in ProposalWalk.events:
        for who in ProposalWalk.actors:
            if (state, event, who) not in review.TABLE.rows:
                await life.refuses(event, who)
    await life.close()


@pytest.mark.parametrize("state", [state for state in TO_A_WRITEBACK if state != writeback.NEW])
async def test_nothing_else_moves_a_write_back(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = await WriteBackLife(str(tmp_path), monkeypatch).open()
    for before in TO_A_WRITEBACK[state]:
        await life.do(*before)
    for event in WriteBackWalk.events:
        for who in WriteBackWalk.actors:
            if (state, event, who) not in writeback.TABLE.rows:
                await life.refuses(event, who)
    await life.close()


def test_there_is_no_other_state() -> None:
    """Each state of the tables is walked to above."""
    for table, walked in ((review.TABLE, set(TO_A_PROPOSAL)), (writeback.TABLE, set(TO_A_WRITEBACK))):
        rows: Any = table.rows
        assert {state for state, *_ in rows} | set(rows.values()) == walked


async def test_what_came_from_the_topic_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = await ProposalLife(str(tmp_path), monkeypatch).open()
    await life.do("said", STEP)
    await life.do("accept", TOPIC)
    with pytest.raises(Sent):
        await life.do("undo", PERSON)
    await life.close()
