"""What an assessment does to the proposals that stand."""

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from hisbus.errors import BadMessage
from hisbus_bus.flow.review import Review, notes, opinions, refresh
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_schemas import (
    Asked,
    Assessed,
    Assessment,
    Chart,
    Due,
    Evidence,
    Finding,
    Opinion,
    Text,
    Unevaluated,
    VisitId,
)

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)


def chart(**more: Any) -> Chart:
    about = {"encounter": "e1", "version": 1, "now": AT, "visit": VisitId(authority="A", number="1")}
    return Chart(**{**about, "status": "admitted", "department": "cardiology", "connector": "his", **more})


def finding(key: str = "R01", *, says: str = "first", **more: Any) -> Finding:
    about = {"key": key, "rule": key.split("/")[0], "message": Text(zh="缺", en="missing")}
    return Finding(**{**about, "evidence": [Evidence(path="admitted", value=says)], **more})


def answer(*said: Finding, version: int = 1, evaluated: set[str] | None = None, **more: Any) -> Assessed:
    assessment = Assessment(
        evaluated=frozenset({"R01", "R02"} if evaluated is None else evaluated), proposals=list(said)
    )
    about = {"id": f"a{version}", "agent": "qc", "agent_version": "1", "encounter": "e1", "version": version}
    return Assessed(**{**about, "event": "event", "key": "key", "now": AT, "assessment": assessment, **more})


def batch(*answers: Assessed, offset: int = 0) -> Batch:
    records = [
        Record(
            "assessments", 0, offset + place, one.encounter, one.model_dump_json().encode(), {"agent": one.agent}, AT
        )
        for place, one in enumerate(answers)
    ]
    return Batch(records, {0: offset + len(records)})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Chart]:
    known = {"e1": chart()}

    async def read(_connection: Any, encounters: Collection[str]) -> dict[str, str]:
        return {encounter: known[encounter].department for encounter in encounters if encounter in known}

    monkeypatch.setattr(charts, "departments", read)
    return known


@pytest.fixture
def review(site: Site, shown: dict[str, Chart]) -> Review:
    return Review(site)


async def rows(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        table = tables.proposals
        return list(await connection.execute(select(table).order_by(table.c.key, table.c.revision)))


async def statuses(site: Site) -> list[tuple[str, int, str]]:
    return [(row.key, row.revision, row.status) for row in await rows(site)]


async def put(site: Site, status: str, **values: Any) -> None:
    async with site.database.write() as connection:
        await connection.execute(update(tables.proposals).values(status=status, **values))


async def test_a_finding_opens_with_what_the_chart_says_of_its_stay(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    (row,) = await rows(site)
    assert (row.status, row.revision, row.department, row.version) == ("open", 1, "cardiology", 1)


async def test_every_change_has_one_line_of_history_and_one_of_audit(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await review.handle(batch(answer(version=2)))
    async with site.database.read() as connection:
        history = [row.status for row in await connection.execute(select(tables.proposal_history))]
        audited = [row.action for row in await connection.execute(select(tables.audit))]
    assert history == ["open", "resolved"]
    assert audited == ["proposal.open", "proposal.resolved"]


async def test_the_same_answer_again_changes_nothing(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    before = await rows(site)
    await review.handle(batch(answer(finding())))
    await review.handle(batch(answer(finding(message=Text(zh="缺 3 小时", en="missing for 3 h")), version=2)))
    assert await rows(site) == before


async def test_an_older_answer_is_ignored(site: Site, review: Review) -> None:
    await review.handle(batch(answer(version=3)))
    await review.handle(batch(answer(finding(), version=2)))
    assert await rows(site) == []


async def test_what_was_judged_together_stands_in_the_audit_once(site: Site, review: Review) -> None:
    await review.handle(batch(answer(version=3)))
    together = answer(version=7, since=4)
    for _ in range(2):
        await review.handle(batch(together))
    await review.handle(batch(answer(version=5, since=4, id="older")))
    async with site.database.read() as connection:
        wanted = select(tables.audit).where(tables.audit.c.action == "assessment.together")
        (row,) = await connection.execute(wanted)
    assert (row.object, row.encounter) == ("a7", "e1")
    assert json.loads(row.detail) == {"agent": "qc", "since": 4, "version": 7}


async def test_another_fingerprint_supersedes_what_is_open(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await review.handle(batch(answer(finding(says="second"), version=2)))
    assert await statuses(site) == [("R01", 1, "superseded"), ("R01", 2, "open")]


async def test_only_what_was_evaluated_is_resolved(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding("R01"), finding("R02"))))
    await review.handle(batch(answer(version=2, evaluated={"R02"})))
    assert await statuses(site) == [("R01", 1, "open"), ("R02", 1, "resolved")]


async def test_another_agent_closes_nothing(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await review.handle(batch(answer(agent="other", version=9)))
    assert await statuses(site) == [("R01", 1, "open")]


async def test_two_stays_in_one_batch_keep_apart(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding()), answer(finding(), encounter="e2")))
    await review.handle(batch(answer(version=2), answer(finding(), encounter="e2", version=2)))
    assert {(row.encounter, row.status) for row in await rows(site)} == {("e1", "resolved"), ("e2", "open")}


async def test_a_resolved_finding_that_comes_back_opens_a_new_revision(site: Site, review: Review) -> None:
    for version, said in enumerate(([finding()], [], [finding()]), 1):
        await review.handle(batch(answer(*said, version=version)))
    assert await statuses(site) == [("R01", 1, "resolved"), ("R01", 2, "open")]


@pytest.mark.parametrize("decided", ["accepted", "edited", "rejected"])
async def test_a_decided_finding_stays_decided(site: Site, review: Review, decided: str) -> None:
    await review.handle(batch(answer(finding())))
    await put(site, decided)
    await review.handle(batch(answer(finding(), version=2)))
    assert await statuses(site) == [("R01", 1, decided)]


async def test_a_decided_finding_that_says_something_new_opens_the_next_revision(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await put(site, "accepted")
    await review.handle(batch(answer(finding(says="second"), version=2)))
    assert await statuses(site) == [("R01", 1, "accepted"), ("R01", 2, "open")]


async def test_a_fingerprint_once_rejected_stays_rejected(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await put(site, "rejected")
    for version, said in enumerate(([finding(says="second")], [finding()], [], [finding()]), 2):
        await review.handle(batch(answer(*said, version=version)))
    assert await statuses(site) == [("R01", 1, "rejected"), ("R01", 2, "superseded")]


async def test_an_accepted_finding_that_is_gone_is_rectified_until_it_comes_back(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await put(site, "accepted")
    seen = []
    for version, said, evaluated in ((2, [], set()), (3, [], {"R01"}), (4, [finding()], {"R01"})):
        await review.handle(batch(answer(*said, version=version, evaluated=evaluated)))
        seen.append([(row.status, row.rectified) for row in await rows(site)])
    assert seen == [[("accepted", False)], [("accepted", True)], [("accepted", False)]]


async def test_a_stale_one_opens_again_with_the_agents_next_answer_only(
    site: Site, review: Review, shown: dict[str, Chart]
) -> None:
    await review.handle(batch(answer(finding(reads=["stay.status@admitted"]))))
    shown["e1"] = chart(status="discharged")
    async with site.database.write() as connection:
        (row,) = await connection.execute(select(tables.proposals))
        assert await refresh(connection, Standing.of(row), shown["e1"]) == "stale"
    await review.handle(batch(answer(finding(reads=["stay.status@admitted"]))))
    assert await statuses(site) == [("R01", 1, "stale")]  # the same answer, delivered again
    await review.handle(batch(answer(finding(reads=["stay.status@discharged"]), version=2)))
    assert await statuses(site) == [("R01", 1, "open")]
    async with site.database.write() as connection:
        (row,) = await connection.execute(select(tables.proposals))
        assert await refresh(connection, Standing.of(row), shown["e1"]) == "open"


async def test_an_open_one_rests_on_what_the_agent_read_last(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding(reads=["stay.status@admitted"]))))
    (before,) = await rows(site)
    await review.handle(batch(answer(finding(reads=["stay.status@discharged"]), version=2)))
    (after,) = await rows(site)
    assert (after.status, after.revision) == ("open", 1)
    assert after.etag != before.etag
    assert json.loads(after.body)["reads"] == ["stay.status@discharged"]


async def test_a_look_makes_stale_and_open_again(site: Site, review: Review, shown: dict[str, Chart]) -> None:
    await review.handle(batch(answer(finding(reads=["stay.status@admitted"]))))
    seen = []
    for status in ("discharged", "admitted", "admitted"):
        async with site.database.write() as connection:
            (row,) = await connection.execute(select(tables.proposals))
            seen.append(await refresh(connection, Standing.of(row), chart(status=status)))
    assert seen == ["stale", "open", "open"]
    async with site.database.read() as connection:
        history = [row.status for row in await connection.execute(select(tables.proposal_history))]
    assert history == ["open", "stale", "open"]


async def test_a_look_that_the_agents_next_answer_overtakes_makes_nothing_stale(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding(reads=["stay.status@admitted"]))))
    (looked_at,) = await rows(site)
    await review.handle(batch(answer(finding(reads=["stay.status@discharged"]), version=2)))
    async with site.database.write() as connection:
        await refresh(connection, Standing.of(looked_at), chart(status="discharged"))
    assert await statuses(site) == [("R01", 1, "open")]


async def test_two_proposals_of_one_key_are_refused_whole(site: Site, review: Review) -> None:
    with pytest.raises(BadMessage):
        await review.handle(batch(answer(finding("R02"), finding(), finding(says="second"))))
    assert await rows(site) == []


async def test_the_position_is_stored_with_the_tables(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding()), offset=7))
    async with site.database.read() as connection:
        (row,) = await connection.execute(select(tables.offsets))
    assert (row.group, row.topic, row.partition, row.next) == ("test.review", "assessments", 0, 8)


# --- news of changes, and opinions ------------------------------------------------------------------------------------


def asked(*answers: Assessed, depth: int = 1) -> Batch:
    """Return assessments of which somebody wants to hear."""
    plain = batch(*answers)
    records = [replace(one, headers={**one.headers, "announce": str(depth)}) for one in plain.records]
    return Batch(records, plain.offsets)


async def news(site: Site) -> list[Due]:
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id))
        found = [(row, json.loads(row.headers)) for row in rows]
    assert all((row.topic, row.key, headers["kind"]) == ("raw", "key", "proposals.changed") for row, headers in found)
    return [Due.model_validate_json(row.value) for row, _ in found]


async def test_news_follow_a_change_that_somebody_wants_to_hear_of(site: Site, review: Review) -> None:
    await review.handle(asked(answer(finding())))
    assert await news(site) == [Due(agent="qc", name="proposals", due=AT, encounter="e1", depth=1)]
    await review.handle(asked(answer(version=2), depth=2))
    assert [one.depth for one in await news(site)] == [1, 2]


async def test_news_name_the_assessment_that_caused_them(site: Site, review: Review) -> None:
    await review.handle(asked(answer(finding())))
    async with site.database.read() as connection:
        headers = json.loads(await connection.scalar(select(tables.outbox.c.headers)) or "")
    assert (headers["ce_causationid"], headers["ce_correlationid"]) == ("a1", "e1")


async def test_nothing_is_told_where_nobody_asked_or_nothing_changed(site: Site, review: Review) -> None:
    await review.handle(batch(answer(finding())))
    await review.handle(asked(answer(finding(), version=2)))
    await review.handle(asked(answer(finding(reads=["d@2"]), version=3)))
    assert await news(site) == []


async def test_a_redelivered_assessment_is_told_of_once(site: Site, review: Review) -> None:
    for _ in range(2):
        await review.handle(asked(answer(finding())))
    assert len(await news(site)) == 1


async def test_opinions_are_those_of_the_newest_assessment(site: Site, review: Review) -> None:
    said = Opinion(proposal="p1", verdict="confirm", message=Text(zh="同意", en="yes"))
    for version, given in ((1, [said]), (2, [said, said.model_copy(update={"proposal": "p2"})]), (3, [])):
        assessment = Assessment(opinions=given)
        await review.handle(batch(answer(version=version, agent="check", assessment=assessment)))
        async with site.database.read() as connection:
            found = await opinions.on(connection, ["e1", "e2"])
        assert {id: [(voice.agent, voice.opinion.verdict) for voice in voices] for id, voices in found.items()} == {
            one.proposal: [("check", "confirm")] for one in given
        }


async def test_what_an_agent_says_of_itself_is_kept_of_its_newest_assessment_alone(site: Site, review: Review) -> None:
    missing, question = (
        Unevaluated(rule="R41", text=Text(zh="无首次病程记录。", en="No first note.")),
        Asked(model="m", prompt="p", outcome="answered"),
    )
    first = Assessment(unevaluated=[missing], unverified=2, asked=[question])
    await review.handle(batch(answer(version=2, assessment=first)))

    async def said() -> list[notes.Said]:
        async with site.database.read() as connection:
            return await notes.of(connection, "e1")

    (kept,) = await said()
    assert (kept.agent, kept.version, kept.time, kept.evaluated) == ("qc", 2, AT, [])
    assert kept.notes == notes.Notes(unevaluated=[missing], unverified=2, asked=[question])
    await review.handle(batch(answer(version=1, assessment=Assessment(unverified=9)), offset=1))
    assert (await said())[0].notes.unverified == 2, "an older one changes nothing"
    await review.handle(batch(answer(version=3, assessment=Assessment(evaluated=frozenset({"R41"}))), offset=2))
    (kept,) = await said()
    assert (kept.evaluated, kept.notes) == (["R41"], notes.Notes())
