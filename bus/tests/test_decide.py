"""A person's decision: what they saw, once, and nothing without it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from hisbus.errors import Forbidden
from hisbus_bus.flow.review import Review, decide, take_over
from hisbus_bus.flow.review.errors import AlreadyDecided, Changed, Closed, Invalid, PreconditionRequired, Unknown
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assessed, Assessment, Chart, Decision, Draft, Finding, Proposal, Text, VisitId

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
READS = ["stay.status@admitted"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Chart]:
    about = {"encounter": "e1", "version": 1, "now": AT, "visit": VisitId(authority="A", number="1")}
    known = {"e1": Chart(**about, status="admitted")}

    async def read(_connection: Any, encounter: str) -> Chart | None:
        return known.get(encounter)

    monkeypatch.setattr(charts, "chart", read, raising=False)
    return known


@pytest.fixture
async def opened(site: Site, shown: dict[str, Chart]) -> Any:
    async with site.database.write() as connection:
        for name, role in (("ann", "reviewer"), ("ben", "admin"), ("vic", "viewer")):
            user = {"name": name, "role": role, "password": "", "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), user)
    return await say(site)


async def say(
    site: Site, *, version: int = 1, reads: Sequence[str] = READS, key: str = "R01", author: str | None = None
) -> Any:
    """Let the agent say a finding, or for an author a draft; return it as its row."""
    about = {"key": key, "rule": "R01", "message": Text(zh="缺", en="missing"), "reads": list(reads)}
    found: Proposal = Finding(**about) if author is None else Draft(**about, author=author)
    said = Assessed(
        id="a",
        agent="qc",
        agent_version="1",
        encounter="e1",
        version=version,
        event="",
        key="",
        now=AT,
        assessment=Assessment(evaluated=frozenset({"R01"}), proposals=[found]),
    )
    record = Record("assessments", 0, version, "e1", said.model_dump_json().encode(), {}, AT)
    await Review(site).handle(Batch([record], {0: version + 1}))
    return (await rows(site, tables.proposals))[-1]


async def rows(site: Site, table: Any) -> list[Any]:
    async with site.database.read() as connection:
        return list(await connection.execute(select(table)))


async def answer(site: Site, row: Any, **more: Any) -> Decision:
    about = {"user": "ann", "role": "reviewer", "if_match": row.etag, "decision": "accept", "reason": None, "note": ""}
    return await decide(site, proposal_id=row.id, **{**about, "payload": None, **more})


async def status(site: Site) -> str:
    return str((await rows(site, tables.proposals))[0].status)


async def test_an_acceptance_is_recorded_with_what_was_seen_and_follows_to_the_topic(site: Site, opened: Any) -> None:
    made = await answer(site, opened)
    (stored,) = await rows(site, tables.decisions)
    (sent,) = await rows(site, tables.outbox)
    assert await status(site) == "accepted"
    assert (stored.id, stored.user, stored.payload) == (made.id, "ann", opened.body)
    assert (sent.topic, sent.key) == ("decisions", "e1")
    assert Decision.model_validate_json(sent.value) == made
    assert [row.action for row in await rows(site, tables.audit)] == ["proposal.open", "proposal.accepted"]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"role": "viewer"}, Forbidden),
        ({"user": "vic"}, Forbidden),
        ({"user": "nobody"}, Forbidden),
        ({"if_match": None}, PreconditionRequired),
        ({"if_match": ""}, PreconditionRequired),
        ({"if_match": "another"}, Changed),
        ({"decision": "perhaps"}, Invalid),
        ({"decision": "reject"}, Invalid),
        ({"decision": "reject", "reason": "because"}, Invalid),
        ({"decision": "edit"}, Invalid),
        ({"decision": "edit", "payload": {}}, Invalid),
        ({"decision": "edit", "payload": ["note"]}, Invalid),
        ({"decision": "edit", "payload": {"rule": "R99"}}, Invalid),
        ({"decision": "edit", "payload": {"message": {"zh": "只有中文"}}}, Invalid),
    ],
)
async def test_what_is_missing_or_wrong_is_not_approved(
    site: Site, opened: Any, how: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await answer(site, opened, **how)
    assert await status(site) == "open"
    assert await rows(site, tables.decisions) == await rows(site, tables.outbox) == []


async def test_a_user_who_was_shut_out_after_looking_decides_nothing(site: Site, opened: Any) -> None:
    async with site.database.write() as connection:
        await connection.execute(update(tables.users).values(active=False))
    with pytest.raises(Forbidden):
        await answer(site, opened)


async def test_nobody_decides_on_what_is_not_there(site: Site, opened: Any) -> None:
    with pytest.raises(Unknown):
        await decide(site, proposal_id="?", user="ann", role="reviewer", if_match="x", decision="accept")


async def test_of_two_people_at_once_one_wins(site: Site, opened: Any) -> None:
    both = [answer(site, opened), answer(site, opened, user="ben", decision="reject", reason="wrong")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert {type(result) for result in results} == {Decision, AlreadyDecided}
    assert len(await rows(site, tables.decisions)) == len(await rows(site, tables.outbox)) == 1


async def test_reads_that_changed_since_make_it_stale_instead(site: Site, opened: Any, shown: dict[str, Chart]) -> None:
    shown["e1"] = shown["e1"].model_copy(update={"status": "discharged"})
    with pytest.raises(Changed):
        await answer(site, opened)
    assert await status(site) == "stale"
    assert await rows(site, tables.decisions) == []
    shown["e1"] = shown["e1"].model_copy(update={"status": "admitted"})
    with pytest.raises(Changed):  # a stale one must be looked at before it is decided
        await answer(site, opened)


async def test_without_a_chart_nothing_is_decided(site: Site, opened: Any, shown: dict[str, Chart]) -> None:
    shown.clear()
    with pytest.raises(Changed):
        await answer(site, opened)


async def test_an_etag_of_before_the_agents_next_answer_does_not_fit(site: Site, opened: Any) -> None:
    await say(site, version=2, reads=())
    with pytest.raises(Changed):
        await answer(site, opened)


@pytest.mark.parametrize("closed", ["resolved", "superseded", "withdrawn"])
async def test_what_closed_by_itself_is_not_decided(site: Site, opened: Any, closed: str) -> None:
    async with site.database.write() as connection:
        await connection.execute(update(tables.proposals).values(status=closed))
    with pytest.raises(Closed):
        await answer(site, opened)


async def test_an_edit_may_change_any_field_of_the_payload(site: Site, opened: Any) -> None:
    await answer(site, opened, decision="edit", payload={"codes": ["J18.9"], "note": "main diagnosis"})
    (stored,) = await rows(site, tables.decisions)
    approved = Finding.model_validate_json(stored.payload)
    assert (approved.payload["codes"], approved.payload["note"]) == (["J18.9"], "main diagnosis")
    assert (approved.rule, approved.message) == ("R01", Finding.model_validate_json(opened.body).message)


async def test_an_edit_is_what_is_approved(site: Site, opened: Any) -> None:
    text = {"zh": "入院记录未签名", "en": "admission record not signed"}
    await answer(site, opened, decision="edit", payload={"message": text, "note": "see ward 3"})
    (stored,) = await rows(site, tables.decisions)
    approved = Finding.model_validate_json(stored.payload)
    assert await status(site) == "edited"
    assert (approved.message.model_dump(), approved.payload) == (text, {"note": "see ward 3"})
    assert approved.stamp() == opened.fingerprint


async def test_a_rejection_keeps_its_reason(site: Site, opened: Any) -> None:
    made = await answer(site, opened, decision="reject", reason="already_fixed", note="signed on paper")
    assert (made.reason, made.note, await status(site)) == ("already_fixed", "signed on paper", "rejected")


async def test_the_audit_repeats_no_word_of_a_person(site: Site, opened: Any) -> None:
    await answer(site, opened, decision="reject", reason="wrong", note="Mr CANARY")
    assert not any("CANARY" in row.detail for row in await rows(site, tables.audit))


class Topic:
    """A topic that holds decisions."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values

    async def begins(self, _topic: str) -> dict[int, int]:
        return {0: 0}

    async def ends(self, _topic: str) -> dict[int, int]:
        return {0: len(self.values)}

    async def read(self, _topic: str, partition: int, offset: int, limit: int = 1) -> list[Record]:
        return [Record("decisions", partition, place, "e1", value, {}, AT) for place, value in enumerate(self.values)][
            offset : offset + min(limit, 2)
        ]


async def restore(site: Site, opened: Any, *made: Decision) -> Site:
    """Forget the decisions, as an older backup would, and keep the topic."""
    async with site.database.write() as connection:
        await connection.execute(delete(tables.decisions))
        await connection.execute(update(tables.proposals).values(status="open"))
    topic: Any = Topic([b"not a decision", *(one.model_dump_json().encode() for one in (*made, *made))])
    return Site(site.settings, site.keys, topic, site.database)


async def test_a_restored_table_takes_over_what_the_topic_holds(site: Site, opened: Any) -> None:
    made = await answer(site, opened, decision="edit", payload={"note": "x"})
    (before,) = await rows(site, tables.decisions)
    restored = await restore(site, opened, made)
    assert await take_over(restored) == 1
    assert await rows(site, tables.decisions) == [before]
    assert await status(site) == "edited"
    assert await take_over(restored) == 0


async def test_what_the_author_of_a_draft_answered_is_taken_over_whatever_their_role(site: Site, shown: Any) -> None:
    async with site.database.write() as connection:
        user = {"name": "vic", "role": "viewer", "password": "", "active": True, "failures": 0}
        await connection.execute(tables.users.insert(), user)
        await connection.execute(tables.staff_numbers.insert(), {"authority": "", "number": "D1", "user": "vic"})
    row = await say(site, author="D1")
    made = await answer(site, row, user="vic", role="viewer", decision="reject", reason="wrong")
    finding = made.model_copy(update={"approved": Finding.model_validate(made.approved.model_dump(exclude={"kind"}))})  # type: ignore[union-attr]
    assert await take_over(await restore(site, row, finding)) == 0, "they decide nothing else"
    assert await take_over(await restore(site, row, made)) == 1


async def test_a_decision_of_nobody_we_know_is_not_taken_over(site: Site, opened: Any) -> None:
    made = await answer(site, opened)
    forged = made.model_copy(update={"user": "agent"})
    assert await take_over(await restore(site, opened, forged)) == 0
    assert await status(site) == "open"


async def test_a_proposal_that_is_computed_again_after_the_take_over_is_decided(site: Site, opened: Any) -> None:
    made = await answer(site, opened, decision="reject", reason="wrong")
    restored = await restore(site, opened, made)
    async with site.database.write() as connection:
        for table in (tables.proposals, tables.assessment_heads):
            await connection.execute(delete(table))
    await take_over(restored)
    await say(site)
    assert await status(site) == "rejected"
