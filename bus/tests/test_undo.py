"""A decision that is taken back: within its grace nothing of it leaves, and after that it is too late."""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from hisbus.errors import Forbidden
from hisbus_bus.flow.review import (
    Changed,
    NotDecided,
    NotYours,
    PreconditionRequired,
    Review,
    Sent,
    Unknown,
    decide,
    proposals,
    take_over,
    undo,
)
from hisbus_bus.kernel import charts, outbox, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assessed, Assessment, Chart, Decision, Draft, Finding, Proposal, Text, Unevaluated, VisitId

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
PEOPLE = (("ann", "reviewer"), ("ben", "admin"), ("cat", "reviewer"), ("vic", "viewer"))


@pytest.fixture
def stay(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the chart says of the stay now."""
    now = {"status": "admitted"}

    async def chart(_connection: Any, _encounter: str) -> Chart:
        return Chart(encounter="e1", version=1, now=AT, visit=VisitId(authority="A", number="1"), status=now["status"])

    async def departments(_connection: Any, _encounters: Collection[str]) -> dict[str, str]:
        return {}

    monkeypatch.setattr(charts, "chart", chart)
    monkeypatch.setattr(charts, "departments", departments)
    return now


@pytest.fixture
async def patient(site: Site, stay: dict[str, str]) -> Site:
    """A site with an hour of grace and one open proposal."""
    async with site.database.write() as connection:
        for name, role in PEOPLE:
            user = {"name": name, "role": role, "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)
    patient = Site(Settings(site="test", review={"grace_s": 3600}), site.keys, site.log, site.database)
    await say(patient, 1, "first")
    return patient


async def say(site: Site, version: int, *fingerprints: str) -> None:
    found: list[Proposal] = [
        Finding(
            key="R01",
            rule="R01",
            message=Text(zh="缺", en="missing"),
            fingerprint=words,
            reads=["stay.status@admitted"],
        )
        for words in fingerprints
    ]
    await hear(site, version, Assessment(evaluated=frozenset({"R01"}), proposals=found))


async def hear(site: Site, version: int, assessment: Assessment) -> None:
    """Let review take what the agent says."""
    said = Assessed(
        id=f"a{version}",
        agent="qc",
        agent_version="1",
        encounter="e1",
        version=version,
        event="",
        key="",
        now=AT,
        assessment=assessment,
    )
    record = Record("assessments", 0, version, "e1", said.model_dump_json().encode(), {}, AT)
    await Review(site).handle(Batch([record], {0: version + 1}))


async def rows(site: Site, table: Any) -> list[Any]:
    async with site.database.read() as connection:
        return list(await connection.execute(select(table)))


async def standing(site: Site) -> Any:
    return min(await rows(site, tables.proposals), key=lambda row: row.revision)


async def answer(site: Site, decision: str = "accept", user: str = "ann") -> Decision:
    row = await standing(site)
    about = {"proposal_id": row.id, "user": user, "role": "reviewer", "if_match": row.etag, "reason": "wrong"}
    return await decide(site, decision=decision, payload={"note": "x"}, **about)


async def take_back(site: Site, **more: Any) -> None:
    row = await standing(site)
    await undo(site, **{"proposal_id": row.id, "user": "ann", "role": "reviewer", "if_match": row.etag, **more})


async def states(site: Site) -> dict[str, str]:
    return {row.id: row.state for row in await rows(site, tables.decisions)}


async def end_the_grace(site: Site) -> None:
    async with site.database.write() as connection:
        past = datetime.now(UTC) - timedelta(hours=1)
        await connection.execute(update(tables.outbox).values(not_before=past))


async def everything(site: Site) -> list[Any]:
    return [await rows(site, table) for table in (tables.proposals, tables.decisions, tables.outbox, tables.audit)]


@pytest.mark.parametrize("decision", ["accept", "edit", "reject"])
async def test_what_is_taken_back_never_leaves_and_waits_again(patient: Site, decision: str) -> None:
    made = await answer(patient, decision)
    await take_back(patient)
    assert (await standing(patient)).status == "open"
    assert await states(patient) == {made.id: "undone"}
    assert await rows(patient, tables.outbox) == []
    (*_, last) = await rows(patient, tables.audit)
    assert (last.action, last.actor, last.object) == ("proposal.undone", "user:ann", made.proposal)
    assert (await rows(patient, tables.proposal_history))[-1].status == "undone"


async def test_it_is_decided_again_under_another_id_and_one_decision_stands(patient: Site) -> None:
    first = await answer(patient)
    await take_back(patient)
    second = await answer(patient, "reject")
    assert await states(patient) == {first.id: "undone", second.id: "stands"}
    (left,) = await rows(patient, tables.outbox)
    assert Decision.model_validate_json(left.value) == second
    assert (await standing(patient)).status == "rejected"


async def test_two_decisions_on_one_proposal_never_stand(patient: Site) -> None:
    await answer(patient)
    (row,) = await rows(patient, tables.decisions)
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with patient.database.write() as connection:
            await connection.execute(insert(tables.decisions), {**row._mapping, "id": "another"})


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"role": "viewer"}, Forbidden),
        ({"user": "vic"}, Forbidden),
        ({"user": "nobody"}, Forbidden),
        ({"user": "cat"}, NotYours),
        ({"user": "cat", "role": "admin"}, NotYours),
        ({"user": "ben", "role": "reviewer"}, NotYours),
        ({"if_match": None}, PreconditionRequired),
        ({"if_match": ""}, PreconditionRequired),
        ({"if_match": "another"}, Changed),
        ({"proposal_id": "?"}, Unknown),
    ],
)
async def test_what_is_missing_or_not_theirs_undoes_nothing(
    patient: Site, how: dict[str, Any], error: type[Exception]
) -> None:
    await answer(patient)
    before = await everything(patient)
    with pytest.raises(error):
        await take_back(patient, **how)
    assert await everything(patient) == before


async def test_the_author_of_a_draft_takes_their_answer_back_whatever_their_role(patient: Site) -> None:
    row = await standing(patient)
    draft = Draft.model_validate(proposals.body(row).model_dump(exclude={"kind", "expected"}) | {"author": "D1"})
    body = draft.model_dump_json().encode()
    async with patient.database.write() as connection:
        await connection.execute(tables.staff_numbers.insert(), {"authority": "", "number": "D1", "user": "vic"})
        await connection.execute(update(tables.proposals).values(kind="draft", author="D1", body=body))
    await decide(
        patient, proposal_id=row.id, user="vic", role="viewer", if_match=row.etag, decision="reject", reason="wrong"
    )
    with pytest.raises(NotYours):
        await take_back(patient, user="cat")
    await take_back(patient, user="vic", role="viewer")
    assert (await standing(patient)).status == "open"


async def test_what_is_taken_back_once_its_rule_is_not_connected_is_withdrawn(patient: Site) -> None:
    await answer(patient)
    out = Unevaluated(rule="R01", reason="not_connected", text=Text(zh="未接入", en="not connected"))
    await hear(patient, 2, Assessment(unevaluated=[out]))
    await take_back(patient)
    assert (await standing(patient)).status == "withdrawn"


async def test_an_admin_may_take_back_what_another_decided(patient: Site) -> None:
    await answer(patient)
    await take_back(patient, user="ben", role="admin")
    assert (await standing(patient)).status == "open"
    assert (await rows(patient, tables.audit))[-1].actor == "user:ben"


async def test_where_nobody_has_decided_there_is_nothing_to_take_back(patient: Site) -> None:
    with pytest.raises(NotDecided):
        await take_back(patient)
    await answer(patient)
    await take_back(patient)
    with pytest.raises(NotDecided):
        await take_back(patient)


@pytest.mark.parametrize("how", ["over", "gone", "none"])
async def test_after_its_grace_it_has_left_for_good(patient: Site, how: str) -> None:
    bare = Site(Settings(site="test"), patient.keys, patient.log, patient.database)
    await answer(bare if how == "none" else patient)
    if how == "over":
        await end_the_grace(patient)
    elif how == "gone":
        async with patient.database.write() as connection:
            await connection.execute(delete(tables.outbox))
    before = await everything(patient)
    with pytest.raises(Sent):
        await take_back(patient)
    assert await everything(patient) == before


# --- what became of it meanwhile --------------------------------------------------------------------------------------


async def test_one_that_the_agent_no_longer_says_is_resolved(patient: Site) -> None:
    await answer(patient)
    await say(patient, 2)
    assert (await standing(patient)).rectified
    await take_back(patient)
    row = await standing(patient)
    assert (row.status, row.rectified) == ("resolved", False)
    lines = [line.status for line in await rows(patient, tables.proposal_history)]
    assert lines == ["open", "accepted", "rectified", "undone", "resolved"]


async def test_one_that_a_newer_revision_followed_is_superseded(patient: Site) -> None:
    await answer(patient)
    await say(patient, 2, "second")
    await take_back(patient)
    found = sorted(await rows(patient, tables.proposals), key=lambda row: row.revision)
    assert [row.status for row in found] == ["superseded", "open"]


async def test_one_whose_reads_changed_is_stale(patient: Site, stay: dict[str, str]) -> None:
    await answer(patient)
    stay["status"] = "discharged"
    await take_back(patient)
    assert (await standing(patient)).status == "stale"


# --- beside the relay -------------------------------------------------------------------------------------------------


class Slow:
    """A log that does something of the test's while a record is on its way into it."""

    def __init__(self, meanwhile: Any) -> None:
        self.meanwhile = meanwhile
        self.values: list[bytes] = []

    async def append(self, records: Sequence[NewRecord]) -> None:
        self.values += [record.value for record in records]
        await self.meanwhile()


def relay(site: Site, meanwhile: Any) -> tuple[outbox.Relay, Slow]:
    log: Any = Slow(meanwhile)
    return outbox.Relay(Site(site.settings, site.keys, log, site.database)), log


async def nothing() -> None:
    pass


async def test_a_row_is_locked_while_it_is_sent(patient: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the clock goes back meanwhile, as if its grace were not over."""
    made = await answer(patient)
    await end_the_grace(patient)
    looked: list[bool] = []

    async def earlier(_connection: Any) -> datetime:
        return datetime.now(UTC) - timedelta(days=1)

    async def meanwhile() -> None:
        monkeypatch.setattr(outbox, "now", earlier)
        url = str(patient.database.engine.url.render_as_string(hide_password=False))
        if patient.database.sqlite:
            other = sqlite3.connect(patient.database.engine.url.database, timeout=0)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()
        else:
            second = Database(url.replace("postgresql+psycopg:", "postgresql:"))
            async with second.write() as connection:
                assert not await outbox.take_back(connection, "decisions", "e1", made.id)
            await second.close()
        looked.append(True)

    sender, log = relay(patient, meanwhile)
    assert await sender._chunk() == 1
    assert looked and len(log.values) == 1
    with pytest.raises(Sent):
        await take_back(patient)


async def test_what_somebody_is_taking_back_is_not_sent(patient: Site) -> None:
    made = await answer(patient)
    await end_the_grace(patient)
    sender, log = relay(patient, nothing)
    async with patient.database.write() as connection:
        assert await outbox.take_back(connection, "decisions", "e1", made.id, overdue=True)
        sending = asyncio.create_task(sender._chunk())
        if not patient.database.sqlite:  # there it waits for this transaction to end
            assert await sending == 0
    assert await sending == 0
    assert log.values == []


# --- after a restore --------------------------------------------------------------------------------------------------


class Topic:
    """A topic that holds decisions."""

    def __init__(self, *made: Decision) -> None:
        self.made = made

    async def begins(self, _topic: str) -> dict[int, int]:
        return {0: 0}

    async def ends(self, _topic: str) -> dict[int, int]:
        return {0: len(self.made)}

    async def read(self, _topic: str, partition: int, offset: int, limit: int = 1) -> list[Record]:
        return [
            Record("decisions", partition, place, "e1", one.model_dump_json().encode(), {}, AT)
            for place, one in enumerate(self.made)
        ][offset : offset + limit]


def with_topic(site: Site, *made: Decision) -> Site:
    log: Any = Topic(*made)
    return Site(site.settings, site.keys, log, site.database)


async def forget(site: Site, *ids: str) -> None:
    """Let the tables be as an older backup has them."""
    async with site.database.write() as connection:
        await connection.execute(delete(tables.decisions).where(tables.decisions.c.id.in_(ids)))
        await connection.execute(delete(tables.outbox))
        await connection.execute(update(tables.proposals).values(status="open"))


async def test_what_was_undone_does_not_come_back_with_a_restore(patient: Site) -> None:
    """It was never sent, so the topic does not know it."""
    first = await answer(patient)
    await take_back(patient)
    assert await take_over(with_topic(patient)) == 0
    assert ((await standing(patient)).status, await states(patient)) == ("open", {first.id: "undone"})
    second = await answer(patient, "reject")
    await forget(patient, first.id, second.id)
    assert await take_over(with_topic(patient, second)) == 1
    assert await states(patient) == {second.id: "stands"}
    assert (await standing(patient)).status == "rejected"
    assert await rows(patient, tables.outbox) == []


async def test_a_backup_from_within_the_grace_gives_way_to_what_left_after_it(patient: Site) -> None:
    first = await answer(patient)
    tables_then = {table: await rows(patient, table) for table in (tables.decisions, tables.outbox)}
    await take_back(patient)
    second = await answer(patient, "reject")
    await forget(patient, first.id, second.id)
    async with patient.database.write() as connection:
        for table, then in tables_then.items():
            await connection.execute(table.insert(), [dict(row._mapping) for row in then])
        await connection.execute(update(tables.proposals).values(status="accepted"))
    await end_the_grace(patient)
    assert await take_over(with_topic(patient, second)) == 1
    assert await states(patient) == {first.id: "undone", second.id: "stands"}
    assert (await standing(patient)).status == "rejected"
    assert await rows(patient, tables.outbox) == [], "the first leaves after all"
