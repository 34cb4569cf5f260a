"""From a decision to at most one effect."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest
from sqlalchemy import delete, select, update

from hisbus.errors import Forbidden, RetryLater
from hisbus.lines import lines
from hisbus_bus.flow.writeback import (
    Incomplete,
    NotWaiting,
    Sender,
    Unknown,
    WriteBackStep,
    ledger,
    resolve,
    sender,
    waiting,
)
from hisbus_bus.kernel import charts, tables, telemetry
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import (
    Chart,
    Decision,
    Evidence,
    Finding,
    Patient,
    PatientId,
    Receipt,
    Text,
    VisitId,
    WriteBack,
)

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
Begin = Callable[[], Awaitable[None]]


class Killed(BaseException):
    """The process ends here."""


CANARY = "CANARY"
"""What a HIS says of a patient in its answer."""


class His:
    """A connector with a HIS behind it, that does as it is told."""

    name = "his"
    timezone = "Asia/Shanghai"
    clock = "wall"
    writes = True
    his_drops_duplicates = False

    def __init__(self, *script: str, finds: Sequence[str] = ()) -> None:
        self.script = list(script)
        self.finds = list(finds)
        self.effects: list[str] = []
        self.sent: list[WriteBack] = []

    async def write(self, writeback: WriteBack, begin: Begin) -> Receipt:
        what = self.script.pop(0) if self.script else "applied"
        if what == "away":
            raise RetryLater(code="refused_connection")
        if what == "bug before":
            raise OSError
        if what == "killed before":
            raise Killed
        if what == "refuses":
            return self.receipt(writeback, "rejected")
        if what == "never begins":
            self.effects.append(writeback.id)
            return self.receipt(writeback, "applied")
        await begin()
        self.sent.append(writeback)
        if what == "killed after begin":
            raise Killed
        if what == "bug after begin":
            raise OSError
        if what in {"applied", "unknown but applied", "killed after effect", "bug after effect", "late"}:
            self.effects.append(writeback.id)
        if what == "killed after effect":
            raise Killed
        if what == "bug after effect":
            raise RetryLater
        if what == "late":
            await asyncio.sleep(3600)
        return self.receipt(writeback, {"unknown but applied": "unknown", "late": "applied"}.get(what, what))

    @staticmethod
    def receipt(writeback: WriteBack, outcome: Any) -> Receipt:
        code, now = outcome.upper(), datetime.now(UTC)
        return Receipt(writeback=writeback.id, outcome=outcome, code=code, said=f"{CANARY}\0{outcome}", received=now)

    async def find(self, writeback: WriteBack) -> Any:
        what = self.finds.pop(0) if self.finds else ("applied" if writeback.id in self.effects else "not_applied")
        if what == "away":
            raise RetryLater
        if what == "bug":
            raise OSError
        return what


class Dropping(His):
    """A HIS of which the operator has declared that it drops duplicates."""

    his_drops_duplicates = True


class Committed:
    """A log that knows where a group was."""

    def __init__(self, committed: Mapping[int, int]) -> None:
        self._committed = committed

    async def committed(self, _topic: str, _group: str) -> Mapping[int, int]:
        return self._committed


def chart(**more: Any) -> Chart:
    patient = Patient(id=PatientId(authority="A", number="7"), name="王伟", sex="male")
    about = {"encounter": "e1", "version": 1, "now": AT, "visit": VisitId(authority="A", number="1")}
    return Chart(
        **{**about, "status": "admitted", "connector": "his", "timezone": "Asia/Shanghai", "patient": patient, **more}
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Chart]:
    known = {"e1": chart()}

    async def read(_connection: Any, encounter: str) -> Chart | None:
        return known.get(encounter)

    monkeypatch.setattr(charts, "chart", read, raising=False)
    return known


@pytest.fixture
async def quick(site: Site, shown: dict[str, Chart]) -> Site:
    """A site that tries again at once, with three people."""
    settings = Settings(site="test", writeback={"retry_s": 0.000001})
    async with site.database.write() as connection:
        for name, role in (("ann", "reviewer"), ("vic", "viewer")):
            user = {"name": name, "role": role, "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)
    return Site(settings, site.keys, site.log, site.database)


async def decided(site: Site, answer: str = "accept", *, revision: int = 1, stored: bool = True) -> Decision:
    """Store a proposal with the decision on it."""
    found = Finding(
        key="R01",
        rule="R01",
        message=Text(zh="缺入院记录", en="No admission record"),
        evidence=[Evidence(path="admitted", value="2026-01-04"), Evidence(document="d", quote="头痛\n三天")],
        reads=["stay.status@admitted"],
    )
    made = Decision(
        id=f"d{revision}",
        proposal=f"p{revision}",
        revision=revision,
        agent="qc",
        rule="R01",
        encounter="e1",
        decision=answer,
        user="ann",
        decided=AT,
        etag="etag",
        approved=found,
    )
    body = found.model_dump_json().encode()
    proposal = dict.fromkeys(("agent", "agent_version", "key", "kind", "rule", "state", "severity", "department"), "")
    status = {"accept": "accepted", "edit": "edited", "reject": "rejected"}[answer]
    more = {"points": 0, "fingerprint": "", "rectified": False, "version": 1, "event": "", "opened": AT, "etag": ""}
    async with site.database.write() as connection:
        if stored:
            row = {"id": made.id, "proposal": made.proposal, "user": "ann", "decided": AT, "payload": body}
            await connection.execute(tables.decisions.insert(), {**row, "body": made.model_dump_json().encode()})
        ids = {"id": made.proposal, "identity": "r01", "revision": revision, "encounter": "e1"}
        await connection.execute(tables.proposals.insert(), {**proposal, **more, **ids, "status": status, "body": body})
    return made


def batch(*made: Decision, offset: int = 0, **headers: str) -> Batch:
    records = [
        Record("decisions", 0, offset + place, one.encounter, one.model_dump_json().encode(), headers, AT)
        for place, one in enumerate(made)
    ]
    return Batch(records, {0: offset + len(records)})


async def queued(site: Site, his: His, **how: Any) -> None:
    await WriteBackStep(site, [his]).handle(batch(await decided(site, **how)))


async def rows(site: Site, table: Any = tables.writebacks) -> list[Any]:
    order = table.c.created if table is tables.writebacks else table.c.id
    async with site.database.read() as connection:
        return list(await connection.execute(select(table).order_by(order)))


async def state(site: Site) -> tuple[str, str]:
    (row,) = await rows(site)
    return (row.status, row.code)


async def lapse(site: Site) -> None:
    """Let every lease run out, and every wait be over."""
    past = datetime.now(UTC) - timedelta(days=1)
    async with site.database.write() as connection:
        held = update(tables.writebacks).where(tables.writebacks.c.lease_until.is_not(None))
        await connection.execute(held.values(lease_until=past))
        await connection.execute(update(tables.writebacks).values(not_before=past))


async def work_off(site: Site, his: His, *, turns: int = 12) -> None:
    """Run senders, a new one after each death, until there is nothing to do."""
    for _ in range(turns):
        await lapse(site)
        try:
            if not await Sender(site, [his]).once():
                return
        except Killed:
            continue


async def test_what_leaves_says_what_the_profile_decides_and_is_kept_as_it_left(quick: Site) -> None:
    his = His("bug after begin", finds=["unknown"])
    await queued(quick, his)

    def leaving(writeback: WriteBack) -> WriteBack:
        return writeback.model_copy(update={"out": {"sender": "AI"}})

    mappings: Any = {"his": SimpleNamespace(leaving=leaving)}
    assert await Sender(quick, [his], mappings=mappings).once()
    assert [writeback.out for writeback in his.sent] == [{"sender": "AI"}]
    (row,) = await rows(quick)
    assert WriteBack.model_validate_json(row.body).out == {"sender": "AI"}


# --- the step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "count"), [("accept", 1), ("edit", 1), ("reject", 0)])
async def test_only_what_a_person_approved_is_queued(quick: Site, answer: str, count: int) -> None:
    await queued(quick, His(), answer=answer)
    assert [row.status for row in await rows(quick)] == ["queued"] * count


async def test_a_decision_delivered_twice_is_queued_once(quick: Site) -> None:
    step, made = WriteBackStep(quick, [His()]), await decided(quick)
    await step.handle(batch(made))
    await step.handle(batch(made, offset=5))
    assert len(await rows(quick)) == 1
    assert step.inserted.is_set()


async def test_where_no_connector_can_write_the_audit_says_so(quick: Site) -> None:
    his = His()
    his.writes = False
    await queued(quick, his)
    assert await rows(quick) == []
    assert [row.action for row in await rows(quick, tables.audit)] == ["writeback.impossible"]


async def test_what_the_group_was_past_and_the_table_lacks_is_undecided(quick: Site) -> None:
    log: Any = Committed({0: 1})
    step = WriteBackStep(Site(quick.settings, quick.keys, log, quick.database), [His()])
    await step.handle(batch(await decided(quick), offset=0))
    await step.handle(batch(await decided(quick, revision=2), offset=1))
    assert [(row.decision, row.status) for row in await rows(quick)] == [("d1", "undecided"), ("d2", "queued")]


async def test_a_replay_counts_as_the_record_it_is_a_copy_of(quick: Site) -> None:
    log: Any = Committed({0: 4})
    step = WriteBackStep(Site(quick.settings, quick.keys, log, quick.database), [His()])
    await step.handle(batch(await decided(quick), offset=9, origin="0:3"))
    assert await state(quick) == ("undecided", "restored")


@pytest.mark.parametrize("asked", ["decision not yet taken over", "chart not yet there", "away", "bug", "unknown"])
async def test_asking_in_vain_leaves_the_reason_why_nobody_knows(
    quick: Site, shown: dict[str, Chart], asked: str
) -> None:
    log: Any = Committed({0: 1})
    his = His(finds=[asked])
    await WriteBackStep(Site(quick.settings, quick.keys, log, quick.database), [his]).handle(
        batch(await decided(quick))
    )
    if asked == "decision not yet taken over":
        async with quick.database.write() as connection:
            await connection.execute(delete(tables.decisions))
    elif asked == "chart not yet there":
        shown.clear()
    assert await Sender(quick, [his]).once()
    assert await state(quick) == ("undecided", "restored")


async def test_a_restored_stay_without_chart_waits_for_it(quick: Site, shown: dict[str, Chart]) -> None:
    shown.clear()
    his = His()
    await queued(quick, his)
    await work_off(quick, his)
    assert await state(quick) == ("queued", "")
    shown["e1"] = chart()
    await work_off(quick, his)
    assert await state(quick) == ("applied", "APPLIED")


async def test_a_database_that_is_away_at_the_start_is_waited_for(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    his, write = His(), quick.database.write
    tries: list[int] = []

    def busy() -> Any:
        tries.append(len(tries))
        if len(tries) < 3:
            raise RetryLater(code="database")
        return write()

    await queued(quick, his)
    monkeypatch.setattr(sender, "POLL_S", 0.01)
    monkeypatch.setattr(quick.database, "write", busy)
    running = asyncio.create_task(Sender(quick, [his]).run())
    async with asyncio.timeout(30):
        while not his.effects:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)  # it may be writing, and the database is closed next
    assert len(tries) > 2


# --- sending ----------------------------------------------------------------------------------------------------------


async def test_an_applied_one_is_done_with_its_receipt_and_history(quick: Site) -> None:
    his = His()
    await queued(quick, his)
    await work_off(quick, his)
    (row,) = await rows(quick)
    (sent,) = await rows(quick, tables.outbox)
    assert (row.status, row.attempts, row.control_id) == ("applied", 1, row.id)
    assert Receipt.model_validate_json(sent.value).outcome == "applied"
    assert (sent.topic, sent.key) == ("receipts", "e1")
    expected = ["writeback.queued", "writeback.sending", "writeback.applied"]
    assert [line.action for line in await rows(quick, tables.audit)] == expected
    assert [line.status for line in await rows(quick, tables.proposal_history)] == expected


async def test_the_document_says_what_was_approved_of_the_chart_as_it_is_now(
    quick: Site, shown: dict[str, Chart]
) -> None:
    his = His()
    await queued(quick, his)
    shown["e1"] = chart(patient=Patient(id=PatientId(authority="A", number="8"), name="王伟"))
    await work_off(quick, his)
    assert his.sent[0].patient.number == "8"
    assert lines(his.sent[0]) == [
        "病历质控 R01",
        "缺入院记录",
        "依据: 入院时间 2026-01-04",
        "依据: 病历 “头痛",
        "三天”",
        "请处理: 核实后补正",
        "审核: ann, 2026-01-05 16:00",
    ]


async def test_beside_an_edited_text_the_older_one_in_another_language_stays_here(quick: Site) -> None:
    settings = Settings(site="test", writeback={"retry_s": 0.000001, "languages": ["en", "zh"]})
    his, site = His(), Site(settings, quick.keys, quick.log, quick.database)
    await WriteBackStep(site, [his]).handle(batch(await decided(site, "edit")))
    async with site.database.write() as connection:
        found = tables.proposals.c.body
        (body,) = (await connection.scalars(select(found))).all()
        said = body.replace("缺入院记录".encode(), "缺少入院记录".encode())
        await connection.execute(update(tables.proposals).values(body=said))
        await connection.execute(update(tables.users).values(full_name="安", department="质控科"))
    await work_off(site, his)
    said_there = lines(his.sent[0])
    assert "缺入院记录" in said_there and "No admission record" not in said_there
    assert said_there[-1] == "审核: 安 (质控科), 2026-01-05 16:00"


@pytest.mark.parametrize("what", ["applied", "rejected", "refuses", "unknown", "temporary"])
async def test_what_the_his_said_is_kept_for_the_operator_and_goes_nowhere_else(
    quick: Site, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    his = His(what)
    await queued(quick, his)
    with caplog.at_level(logging.INFO):
        await Sender(quick, [his]).once()
    (row,) = await rows(quick)
    assert row.said == CANARY + {"refuses": "rejected"}.get(what, what)
    elsewhere = [*await rows(quick, tables.outbox), *await rows(quick, tables.audit)]
    elsewhere += await rows(quick, tables.proposal_history)
    assert any(sent.topic == "receipts" for sent in await rows(quick, tables.outbox))
    said = [*map(repr, elsewhere), caplog.text, generate_latest(telemetry.REGISTRY).decode(), repr(row.body)]
    assert not [text for text in said if CANARY in text]


async def test_of_what_the_his_says_no_more_is_kept_than_fits(quick: Site) -> None:
    long = ledger.heard(Receipt(writeback="w", outcome="applied", said="王" * 9999, received=AT))
    assert long == "王" * ledger.LONGEST_SAID


@pytest.mark.parametrize("what", ["away", "bug before", "killed before"])
async def test_what_never_began_leaves_later(quick: Site, what: str) -> None:
    his = His(what, what)
    await queued(quick, his)
    await work_off(quick, his)
    (row,) = await rows(quick)
    assert (row.status, row.attempts, len(his.effects)) == ("applied", 1, 1)


async def test_a_his_that_is_away_is_asked_less_and_less_often(quick: Site) -> None:
    slow = Site(Settings(site="test", writeback={"retry_s": 5}), quick.keys, quick.log, quick.database)
    his = His("away", "away", "away")
    await queued(slow, his)
    waits = []
    for _ in range(3):
        await lapse(slow)
        await Sender(slow, [his]).once()
        (row,) = await rows(slow)
        waits.append((row.not_before - datetime.now(UTC)).total_seconds())
    assert row.status == "queued"
    assert all(low < wait < high for wait, (low, high) in zip(waits, [(1, 5), (4, 10), (9, 20)], strict=True))


async def test_a_temporary_refusal_is_sent_again_under_the_same_id(quick: Site) -> None:
    his = His("temporary")
    await queued(quick, his)
    await work_off(quick, his)
    assert (await state(quick))[0] == "applied"
    assert len({sent.id for sent in his.sent}) == 1
    assert len(his.sent) == 2


async def test_a_refusal_goes_back_to_the_reviewer(quick: Site) -> None:
    his = His("rejected")
    await queued(quick, his)
    await work_off(quick, his)
    assert await state(quick) == ("rejected_by_his", "REJECTED")
    last = (await rows(quick, tables.proposal_history))[-1]
    assert (last.status, last.detail) == ("writeback.rejected_by_his", "REJECTED")


async def test_what_the_connector_will_never_send_goes_back_to_the_reviewer(quick: Site) -> None:
    his = His("refuses")
    await queued(quick, his)
    await work_off(quick, his)
    assert await state(quick) == ("rejected_by_his", "REJECTED")
    assert (his.sent, his.effects) == ([], [])
    assert [row.topic for row in await rows(quick, tables.outbox)] == ["receipts"]


CRASHES = ["killed after begin", "killed after effect", "bug after begin", "bug after effect", "unknown"]


@pytest.mark.parametrize("what", [*CRASHES, "unknown but applied"])
async def test_a_lost_answer_is_looked_up_before_anything_is_sent_again(quick: Site, what: str) -> None:
    his = His(what)
    await queued(quick, his)
    await work_off(quick, his)
    assert (await state(quick))[0] == "applied"
    assert len(his.effects) == 1


@pytest.mark.parametrize("what", [*CRASHES, "unknown but applied", "never begins"])
@pytest.mark.parametrize("found", ["unknown", "away", "bug"])
async def test_what_nobody_knows_stays_undecided_and_is_not_sent_again(quick: Site, what: str, found: str) -> None:
    his = His(what, finds=[found] * 30)
    await queued(quick, his)
    await work_off(quick, his)
    assert (await state(quick))[0] == "undecided"
    assert len(his.effects) <= 1
    assert len(his.sent) <= 1


async def test_it_is_sent_blindly_only_where_the_his_drops_duplicates(quick: Site) -> None:
    his = Dropping("unknown but applied", finds=["unknown"])
    await queued(quick, his)
    await work_off(quick, his)
    assert (await state(quick))[0] == "applied"
    assert len(set(his.effects)) == 1


async def test_a_sender_that_lost_its_lease_sends_nothing(quick: Site) -> None:
    his = His()
    await queued(quick, his)

    class Slow(His):
        async def write(self, writeback: WriteBack, begin: Begin) -> Receipt:
            await lapse(quick)
            await Sender(quick, [his]).once()
            return await super().write(writeback, begin)

    slow = Slow()
    await Sender(quick, [slow]).once()
    assert (len(his.effects), len(slow.effects)) == (1, 0)
    assert (await state(quick))[0] == "applied"


async def test_an_answer_after_the_lease_is_still_taken(quick: Site) -> None:
    class Slow(His):
        async def write(self, writeback: WriteBack, begin: Begin) -> Receipt:
            receipt = await super().write(writeback, begin)
            await lapse(quick)
            await Sender(quick, [His(finds=["unknown"])])._tidy()
            assert (await state(quick))[0] == "undecided"
            return receipt

    slow = Slow()
    await queued(quick, slow)
    await Sender(quick, [slow]).once()
    assert (await state(quick))[0] == "applied"


async def test_nothing_leaves_while_an_operator_holds_the_way_out(quick: Site) -> None:
    his, part = His(), Part("connector:his", "step:writeback")
    part.hear({"step:writeback": "pause"})
    await queued(quick, his)
    running = asyncio.create_task(Sender(quick, [his], parts={his.name: part}).run())
    await asyncio.sleep(0.2)  # time enough to send it
    assert (await state(quick))[0] == "queued" and not his.effects and part.at_rest
    part.hear({"step:writeback": "drain"})  # what is queued is in hand
    async with asyncio.timeout(10):
        while (await state(quick))[0] != "applied":
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it has one process; elsewhere the lease runs out
async def test_what_a_dead_process_was_sending_is_undecided_as_soon_as_the_next_one_starts(quick: Site) -> None:
    his = His("killed after effect", finds=["unknown"] * 9)
    await queued(quick, his)
    with pytest.raises(Killed):
        await Sender(quick, [his]).once()
    assert (await state(quick))[0] == "sending"
    running = asyncio.create_task(Sender(quick, [his]).run())
    async with asyncio.timeout(10):
        while (await state(quick))[0] == "sending":
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert (await state(quick))[0] == "undecided"


async def test_an_answer_that_does_not_come_is_undecided(quick: Site) -> None:
    his = His("late", finds=["unknown"] * 9)
    await queued(quick, his)
    sender = Sender(quick, [his])
    sender._within_s = 1.0
    await sender.once()
    assert await state(quick) == ("undecided", "timeout")


# --- checking again ---------------------------------------------------------------------------------------------------


async def spoil(site: Site, shown: dict[str, Chart], how: str) -> None:
    async with site.database.write() as connection:
        if how == "reads_changed":
            shown["e1"] = chart(status="discharged")
        elif how == "cancelled":
            shown["e1"] = chart(status="cancelled")
        elif how == "rectified":
            await connection.execute(update(tables.proposals).values(rectified=True))
        elif how == "not_approved":
            await connection.execute(update(tables.proposals).values(status="open"))
        elif how == "no_decision":
            await connection.execute(delete(tables.decisions))


SPOILT = ["reads_changed", "cancelled", "rectified", "not_approved", "no_decision"]


@pytest.mark.parametrize("how", SPOILT)
async def test_what_changed_after_the_decision_is_not_sent(quick: Site, shown: dict[str, Chart], how: str) -> None:
    his = His()
    await queued(quick, his)
    await spoil(quick, shown, how)
    await work_off(quick, his)
    assert await state(quick) == ("stale", how)
    assert his.sent == []


async def test_a_decision_that_was_taken_back_sends_nothing_even_where_it_is_on_the_topic(quick: Site) -> None:
    his = His()
    await queued(quick, his)
    async with quick.database.write() as connection:
        await connection.execute(update(tables.decisions).values(state="undone"))
    await work_off(quick, his)
    assert await state(quick) == ("stale", "not_approved")
    assert his.sent == []


@pytest.mark.parametrize("how", SPOILT)
async def test_what_changed_while_connecting_is_not_sent(quick: Site, shown: dict[str, Chart], how: str) -> None:
    class Connecting(His):
        async def write(self, writeback: WriteBack, begin: Begin) -> Receipt:
            await spoil(quick, shown, how)
            return await super().write(writeback, begin)

    his = Connecting()
    await queued(quick, his)
    await work_off(quick, his)
    assert await state(quick) == ("stale", how)
    assert his.sent == []


async def test_a_decision_that_is_on_the_topic_only_approves_nothing(quick: Site) -> None:
    his = His()
    await queued(quick, his, stored=False)
    await work_off(quick, his)
    assert await state(quick) == ("stale", "no_decision")
    assert his.sent == []


# --- order ------------------------------------------------------------------------------------------------------------


async def both(site: Site, his: His) -> None:
    step = WriteBackStep(site, [his])
    for revision in (1, 2):
        await step.handle(batch(await decided(site, revision=revision), offset=revision))


async def test_revisions_of_one_document_leave_in_order(quick: Site) -> None:
    his = His("away", "temporary")
    await both(quick, his)
    await work_off(quick, his)
    assert [sent.decision for sent in his.sent] == ["d1", "d1", "d2"]


async def test_an_undecided_one_holds_its_document(quick: Site) -> None:
    his = His("unknown", finds=["unknown"] * 30)
    await both(quick, his)
    await work_off(quick, his)
    assert [(row.decision, row.status) for row in await rows(quick)] == [("d1", "undecided"), ("d2", "queued")]


async def test_what_waits_for_a_person_is_not_waiting_to_leave(quick: Site) -> None:
    his = His("rejected")
    await both(quick, his)
    counts = []
    for _ in range(3):
        async with quick.database.read() as connection:
            counts.append(await waiting(connection))
        await Sender(quick, [his]).once()
    assert counts == [2, 1, 0]


async def test_one_that_cannot_be_composed_holds_up_no_other(quick: Site, shown: dict[str, Chart]) -> None:
    his = His()
    await queued(quick, his)
    shown["e1"] = chart().model_copy(update={"location": None})
    await work_off(quick, his)
    assert await state(quick) == ("queued", "bug.ValidationError")
    shown["e1"] = chart()
    await work_off(quick, his)
    assert (await state(quick))[0] == "applied"


# --- a person's answer ------------------------------------------------------------------------------------------------


@pytest.fixture
async def undecided(quick: Site) -> str:
    his = His("unknown", finds=["unknown"] * 30)
    await queued(quick, his)
    await work_off(quick, his)
    return digest("writeback", "d1")[:20]


async def test_a_person_may_say_that_it_was_applied(quick: Site, undecided: str) -> None:
    await resolve(quick, undecided, "applied", "seen in the HIS", "ann")
    (row,) = await rows(quick)
    assert (row.status, row.note, row.resolved_by) == ("applied", "seen in the HIS", "ann")
    assert (await rows(quick, tables.audit))[-1].actor == "user:ann"
    with pytest.raises(NotWaiting):
        await resolve(quick, undecided, "not_applied", "no", "ann")


async def test_a_person_may_say_that_it_was_not_applied_and_it_leaves(quick: Site, undecided: str) -> None:
    await resolve(quick, undecided, "not_applied", "looked it up", "ann")
    his = His()
    await work_off(quick, his)
    assert (await state(quick))[0] == "applied"
    assert len(his.effects) == 1


@pytest.mark.parametrize(
    ("resolution", "note", "user", "error"),
    [
        ("applied", "seen", "vic", Forbidden),
        ("applied", "seen", "eve", Forbidden),
        ("applied", " ", "ann", Incomplete),
        ("perhaps", "seen", "ann", Incomplete),
    ],
)
async def test_an_answer_that_is_not_whole_changes_nothing(
    quick: Site, undecided: str, resolution: str, note: str, user: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await resolve(quick, undecided, resolution, note, user)
    assert (await state(quick))[0] == "undecided"


async def test_there_is_nothing_to_answer_where_there_is_no_write_back(quick: Site) -> None:
    with pytest.raises(Unknown):
        await resolve(quick, "?", "applied", "seen", "ann")


# --- running ----------------------------------------------------------------------------------------------------------


async def test_a_running_sender_starts_as_soon_as_a_row_is_there(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hisbus_bus.flow.writeback.sender.POLL_S", 3600)
    applied = asyncio.Event()

    class Telling(His):
        async def write(self, writeback: WriteBack, begin: Begin) -> Receipt:
            receipt = await super().write(writeback, begin)
            applied.set()
            return receipt

    his = Telling()
    step = WriteBackStep(quick, [his])
    running = asyncio.create_task(Sender(quick, [his], step.inserted).run())
    await step.handle(batch(await decided(quick)))
    await asyncio.wait_for(applied.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_senders_side_by_side_send_each_once(quick: Site) -> None:
    his = His()
    await both(quick, his)
    for _ in range(3):
        await asyncio.gather(*(Sender(quick, [his]).once() for _ in range(4)))
    assert [sent.decision for sent in his.sent] == ["d1", "d2"]


async def test_what_is_held_behind_an_undecided_one_waits_for_a_person_too(quick: Site) -> None:
    his = His("unknown but applied", finds=["unknown"] * 9)
    await queued(quick, his)
    await Sender(quick, [his]).once()
    await WriteBackStep(quick, [his]).handle(batch(await decided(quick, revision=2), offset=1))
    async with quick.database.read() as connection:
        waits = await waiting(connection)
    assert [row.status for row in await rows(quick)] == ["undecided", "queued"]
    assert waits == 0
