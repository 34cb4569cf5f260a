"""Proposals over the API, and the decision."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select, update

from hisbus_bus.flow.review import opinions
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.settings import ReviewSettings
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Decision, Opinion, Text

KEYS = {
    "id", "kind", "agent", "rule", "key", "status", "state", "severity", "points", "message", "model", "encounter",
    "visit", "backfill", "evidence", "reads", "opened", "due", "payload", "history", "opinions",
}  # fmt: skip


async def shown(client: Any, rule: str, role: str = "viewer") -> tuple[dict[str, Any], str]:
    """Read a rule's finding. Return it with its etag."""
    reader = client(role)
    (item,) = (await reader.get("/api/v1/proposals", params={"rule": rule})).json()["items"]
    answer = await reader.get(f"/api/v1/proposals/{item['id']}")
    return answer.json(), answer.headers["etag"]


async def decide(client: Any, id: str, etag: str | None, role: str = "reviewer", **body: Any) -> Any:
    headers = {"If-Match": etag} if etag is not None else {}
    return await client(role).post(f"/api/v1/proposals/{id}/decision", json=body, headers=headers)


async def test_a_proposal_has_the_agreed_keys(client: Any) -> None:
    item, etag = await shown(client, "R01")
    assert set(item) == KEYS
    assert (item["kind"], item["agent"], item["state"], item["severity"]) == ("finding", "qc", "late", "critical")
    assert (item["encounter"], item["visit"], item["points"]) == ("e1", "ZY2603001", 10)
    assert set(item["message"]) == {"zh", "en"}
    assert item["evidence"][0]["path"] == "admitted"
    assert [change["status"] for change in item["history"]] == ["open"]
    assert etag.startswith('"') and etag.endswith('"')


async def test_what_stays_of_backfill_opened_is_listed_on_request_with_its_mark(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        e1 = tables.encounters.c.id == "e1"
        await connection.execute(update(tables.encounters).where(e1).values(past=True))
    reader, page = client("viewer"), client("viewer", page=True)
    listed = (await reader.get("/api/v1/proposals")).json()["items"]
    everything = (await reader.get("/api/v1/proposals", params={"backfill": "true"})).json()["items"]
    assert len(listed) < len(everything) == 7
    assert {(one["encounter"] == "e1", one["backfill"]) for one in everything} == {(True, True), (False, False)}
    assert "e1" not in {one["encounter"] for one in listed}
    english = {"accept-language": "en"}
    plain = (await page.get("/findings", headers=english)).text
    old = (await page.get("/findings?backfill=true", headers=english)).text
    assert "ZY2603001" not in plain and "read in later" not in plain
    assert "ZY2603001" in old and "read in later" in old and "backfill=true" in old
    async with site.database.write() as connection:  # it goes on
        await connection.execute(update(tables.encounters).where(e1).values(live="place 2026-03-02T00:30:00+00:00"))
    assert len((await reader.get("/api/v1/proposals")).json()["items"]) == 7


async def test_a_list_is_filtered_and_paged(client: Any) -> None:
    reader = client("viewer")
    for query, count in (({}, 7), ({"department": "呼吸内科"}, 4), ({"status": "accepted"}, 0), ({"agent": "qc"}, 7)):
        assert len((await reader.get("/api/v1/proposals", params=query)).json()["items"]) == count, query
    seen, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        answer = (await reader.get("/api/v1/proposals", params=query)).json()
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7


async def test_what_is_tried_unseen_is_in_no_list_on_no_page_and_cannot_be_decided(client: Any, site: Site) -> None:
    tried, etag = await shown(client, "R45")
    seen, _ = await shown(client, "R01")
    assert tried["encounter"] == seen["encounter"] == "e1"
    async with site.database.write() as connection:
        unseen = update(tables.proposals).where(tables.proposals.c.id == tried["id"]).values(shadow=True)
        await connection.execute(unseen)
    reader, page = client("viewer"), client("viewer", page=True)
    listed = [item["id"] for item in (await reader.get("/api/v1/proposals")).json()["items"]]
    assert seen["id"] in listed and len(listed) == 6 and tried["id"] not in listed
    assert (await reader.get(f"/api/v1/proposals/{tried['id']}")).status_code == 404
    assert (await page.get(f"/findings/{tried['id']}")).status_code == 404
    for address in ("/findings", f"/findings/{seen['id']}", "/findings?rule=R45"):
        text = (await page.get(address)).text
        assert tried["id"] not in text, address
    answer = await decide(client, tried["id"], etag, decision="accept")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_proposal")


async def test_every_look_is_audited(client: Any, site: Site) -> None:
    item, _ = await shown(client, "R01")
    async with site.database.read() as connection:
        rows = (await connection.execute(select(tables.audit).where(tables.audit.c.actor == "user:viewer"))).all()
    assert [(row.action, row.object) for row in rows] == [("proposals.listed", ""), ("proposal.viewed", item["id"])]
    assert item["id"] in rows[0].detail


async def test_a_decision_needs_to_say_what_it_decides_on(client: Any) -> None:
    item, etag = await shown(client, "R01")
    missing = await decide(client, item["id"], None, decision="accept")
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    other = await decide(client, item["id"], '"another"', decision="accept")
    assert (other.status_code, other.json()["code"]) == (412, "changed")
    accepted = await decide(client, item["id"], etag, decision="accept")
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    again = await decide(client, item["id"], accepted.headers["etag"], decision="accept")
    assert (again.status_code, again.json()["code"]) == (409, "decided")


async def test_a_decision_goes_into_the_outbox_with_exactly_what_was_approved(client: Any, site: Site) -> None:
    item, etag = await shown(client, "R27")
    words = {"message": {"zh": "改过", "en": "edited"}}
    answer = await decide(client, item["id"], etag, decision="edit", payload=words)
    assert answer.json()["status"] == "edited"
    async with site.database.read() as connection:
        (row,) = (await connection.execute(select(tables.outbox))).all()
    made = Decision.model_validate_json(row.value)
    assert (row.topic, made.user, made.proposal) == ("decisions", "reviewer", item["id"])
    assert made.approved is not None and made.approved.message.zh == "改过"


async def test_an_incomplete_decision_is_refused(client: Any) -> None:
    item, etag = await shown(client, "R27")
    for body in (
        {"decision": "reject"},
        {"decision": "edit"},
        {"decision": "maybe"},
        {},
        {"decision": "accept", "x": 1},
    ):
        answer = await decide(client, item["id"], etag, **body)
        assert answer.status_code == 422, body
    assert (await shown(client, "R27"))[0]["status"] == "open"


async def test_a_viewer_may_not_decide_and_a_reviewer_needs_a_known_proposal(client: Any) -> None:
    item, etag = await shown(client, "R27")
    refused = await decide(client, item["id"], etag, role="viewer", decision="accept")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    unknown = await decide(client, "nothing", etag, decision="accept")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_proposal")
    assert (await client("viewer").get("/api/v1/proposals/nothing")).status_code == 404


async def test_a_look_shows_that_the_record_has_changed(client: Any, site: Site) -> None:
    item, etag = await shown(client, "R13")
    assert item["status"] == "stale"
    answer = await decide(client, item["id"], etag, decision="accept")
    assert answer.status_code == 412
    async with site.database.write() as connection:
        stay = '{"status": "admitted", "admitted": {"at": "2026-03-02T01:30:00Z", "offset": 480}}'
        await connection.execute(update(tables.encounters).where(tables.encounters.c.id == "e1").values(stay=stay))
    assert (await shown(client, "R01"))[0]["status"] == "stale"
    assert (await shown(client, "R27"))[0]["status"] == "open"


async def test_what_other_agents_say_of_a_proposal_is_beside_it(client: Any, site: Site) -> None:
    item, _ = await shown(client, "R01")
    said = Opinion(proposal=item["id"], verdict="dispute", message=Text(zh="不同意", en="no"))
    own = Opinion(proposal=item["id"], verdict="confirm", message=Text(zh="同意", en="yes"))
    head = {"encounter": "e1", "version": 1, "evaluated": "[]", "time": datetime(2026, 3, 2, tzinfo=UTC)}
    async with site.database.write() as connection:
        rows = [
            head | {"agent": "check", "opinions": opinions.stored([said])},
            head | {"agent": "qc", "opinions": opinions.stored([own])},
            head | {"agent": "silent", "opinions": ""},
        ]
        await connection.execute(delete(tables.assessment_heads))
        await connection.execute(tables.assessment_heads.insert(), rows)
    item, _ = await shown(client, "R01")
    assert item["opinions"] == [
        {"agent": "check", "verdict": "dispute", "message": {"zh": "不同意", "en": "no"}, "evidence": [], "of": ""}
    ]
    for language, word in (("zh-CN", "提出异议"), ("en", "disputed")):
        page = await client("viewer", page=True).get(f"/findings/{item['id']}", headers={"accept-language": language})
        (card,) = re.findall(rf'<article[^>]*data-finding="{item["id"]}".*?</article>', page.text, re.S)
        assert word in card and "check" in card


# --- taking a decision back -------------------------------------------------------------------------------------------


@pytest.fixture
def grace(app: FastAPI, site: Site) -> Site:
    """The same ward with an hour in which a decision may be taken back."""
    patient = replace(site, settings=site.settings.model_copy(update={"review": ReviewSettings(grace_s=3600)}))
    app.state.site = patient
    return patient


async def take_back(client: Any, id: str, etag: str | None, role: str = "reviewer") -> Any:
    headers = {"If-Match": etag} if etag is not None else {}
    return await client(role).post(f"/api/v1/proposals/{id}/decision/undo", headers=headers)


async def test_a_decision_is_taken_back_within_its_grace_and_made_anew(client: Any, grace: Site) -> None:
    item, etag = await shown(client, "R01")
    await decide(client, item["id"], etag, decision="accept")
    answer = await take_back(client, item["id"], etag)
    assert (answer.status_code, answer.json()["status"], answer.headers["etag"]) == (200, "open", etag)
    assert [change["status"] for change in answer.json()["history"]] == ["open", "accepted", "undone"]
    page = await client("reviewer", page=True).get(f"/findings/{item['id']}")
    assert page.status_code == 200 and "处理已撤销" in page.text
    again = await decide(client, item["id"], etag, decision="reject", reason="wrong")
    assert (again.status_code, again.json()["status"]) == (200, "rejected")
    card = (await client("reviewer", page=True).get(f"/findings/{item['id']}")).text
    (decided,) = re.findall('<p class="decided">(.*)</p>', card)
    assert "判断有误" in decided or "Wrong" in decided, "the page shows the decision that stands"


async def test_what_is_asked_of_an_undo_is_what_is_asked_of_a_decision(client: Any, grace: Site) -> None:
    item, etag = await shown(client, "R01")
    early = await take_back(client, item["id"], etag)
    assert (early.status_code, early.json()["code"]) == (409, "not_decided")
    await decide(client, item["id"], etag, role="admin", decision="accept")
    for answer, status, code in (
        (await take_back(client, item["id"], None, "admin"), 428, "precondition_required"),
        (await take_back(client, item["id"], '"another"', "admin"), 412, "changed"),
        (await take_back(client, "nothing", etag, "admin"), 404, "unknown_proposal"),
        (await take_back(client, item["id"], etag, "viewer"), 403, "forbidden"),
        (await take_back(client, item["id"], etag, "reviewer"), 403, "not_yours"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await shown(client, "R01"))[0]["status"] == "accepted"
    assert (await take_back(client, item["id"], etag, "admin")).status_code == 200


async def test_a_decision_that_has_left_is_not_taken_back(client: Any, site: Site) -> None:
    item, etag = await shown(client, "R01")
    await decide(client, item["id"], etag, decision="accept")
    answer = await take_back(client, item["id"], etag)
    assert (answer.status_code, answer.json()["code"]) == (409, "sent")
    assert (await shown(client, "R01"))[0]["status"] == "accepted"


async def test_the_page_looks_for_the_write_back_until_the_grace_is_over(client: Any, grace: Site) -> None:
    item, etag = await shown(client, "R01")
    await decide(client, item["id"], etag, decision="accept")
    table = tables.decisions
    async with grace.database.write() as connection:
        (row,) = (await connection.execute(select(table))).all()
        made = Decision.model_validate_json(row.body)
        earlier = made.model_copy(update={"decided": made.decided - timedelta(minutes=30)})
        await connection.execute(update(table).values(body=earlier.model_dump_json().encode()))
    receipt = await client("reviewer", page=True).get(f"/findings/{item['id']}/receipt")
    assert "hx-get" in receipt.text
