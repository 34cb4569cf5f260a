"""A message followed: to its stay or why not, to each agent or why not, to each rule or why not; and back."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assigned, Event, Evidence, Finding, Moment, Position, Text

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def put(
    site: Site, id: str = "ev-1", message: str = "m0", encounter: str | None = "e1", flag: str = "", ordinal: int = 0
) -> None:
    """Store an event of a message, as the chart step does."""
    position = Position(recorded=NOON, partition=0, offset=0)
    who = {"id": id, "message": message, "revision": 1, "ordinal": ordinal, "connector": "his", "position": position}
    event = Event(kind="document.filed", time=Moment(at=NOON), **who)
    row = {"patient": "patient-e1", "visit": encounter, "encounter": encounter, "flag": flag, "order": f"order-{id}"}
    more = {"connector": "his", "timezone": "Asia/Shanghai", "touched": "", "body": event.model_dump_json()}
    async with site.database.write() as connection:
        await connection.execute(insert(tables.events).values(id=id, message=message, kind=event.kind, **row, **more))


async def of_another(site: Site) -> None:
    """Have the message be about two patients, each with a number of his own."""
    await put(site, id="ev-2", ordinal=1, encounter=None, flag="unassigned_visit")
    blank = dict.fromkeys(("authority", "number", "said", "shown"), "") | {"numbers": 1}
    async with site.database.write() as connection:
        event = tables.events.c
        await connection.execute(update(tables.events).where(event.id == "ev-2").values(patient="patient-e2"))
        known = set(await connection.scalars(select(tables.patients.c.id)))
        for id in {"patient-e1", "patient-e2"} - known:
            await connection.execute(insert(tables.patients).values(id=id, survivor=id, **blank))


async def charted(site: Site, *versions: tuple[str, int], message: str = "m0") -> None:
    """Store which versions a message made."""
    made = [
        {
            "id": f"c-{stay}",
            "encounter": stay,
            "version": version,
            "event": "ev-1",
            "kind": "document.filed",
            "key": "k",
        }
        for stay, version in versions
    ]
    row = {"message": message, "revision": 1, "outputs": json.dumps(made)}
    async with site.database.write() as connection:
        await connection.execute(insert(tables.charted_messages).values(**row))


async def assessed(site: Site, version: int, agent: str = "qc", **notes: Any) -> None:
    row = {"encounter": "e1", "agent": agent, "shadow": False, "version": version, "time": NOON}
    said = {"evaluated": json.dumps(["R01", "X1"]), "notes": json.dumps(notes) if notes else ""}
    async with site.database.write() as connection:
        await connection.execute(insert(tables.assessment_heads).values(**row, **said))


async def asks_for(site: Site, agent: str, *kinds: str) -> None:
    content = json.dumps({"agent": {"kinds": kinds}})
    texts = dict.fromkeys(("version", "parent", "author", "made_from", "evaluation"), "")
    row = {"id": f"r-{agent}", "kind": "agent", "name": agent, "content": content, "hash": agent, "state": "live"}
    async with site.database.write() as connection:
        times = {"created": NOON, "changed": NOON, "approvals": "[]"}
        await connection.execute(insert(tables.releases).values(**row, **texts, **times))


async def way(client: Any) -> dict[str, Any]:
    answer = await client("viewer").get("/api/v1/messages/0.0")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["way"]
    return found


async def agent_of(client: Any) -> dict[str, Any]:
    (stay,) = (await way(client))["stays"]
    (agent,) = stay["agents"]
    return dict(agent)


async def test_events_say_which_stay_holds_them_or_why_none_does(client: Any, site: Site) -> None:
    await put(site)
    for number, flag in enumerate(("unassigned_visit", "visit_of_another_patient", "visit_number_reused"), 1):
        await put(site, f"ev-{number + 1}", encounter=None, flag=flag, ordinal=number)
    await charted(site, ("e1", 3))
    found = [(one["encounter"], one["reason"], one["by_hand"]) for one in (await way(client))["events"]]
    assert found == [
        ("e1", "", False),
        (None, "unassigned_visit", False),
        (None, "visit_of_another_patient", False),
        (None, "visit_number_reused", False),
    ]


async def test_a_message_waits_for_the_steps_that_have_not_read_it(client: Any) -> None:
    assert (await way(client))["waits"] == "chart"
    answer = (await client("viewer").get("/api/v1/messages/0.3")).json()
    assert answer["way"]["waits"] == "translate"


async def test_an_agent_was_called_with_a_version_or_says_why_not(client: Any, site: Site) -> None:
    await put(site)
    await charted(site, ("e1", 3))
    waiting = await agent_of(client)
    assert (waiting["called"], waiting["version"], waiting["rules"]) == ("waiting", None, [])
    await asks_for(site, "qc", "order.placed")
    assert (await agent_of(client))["called"] == "not_wanted"
    async with site.database.write() as connection:
        await connection.execute(update(tables.encounters).values(past=True))
    assert (await agent_of(client))["called"] == "backfill"
    async with site.database.write() as connection:
        await connection.execute(update(tables.encounters).values(past=False))
    async with site.database.write() as connection:
        wanted = json.dumps({"agent": {"kinds": ["document.filed"]}})
        await connection.execute(update(tables.releases).values(content=wanted))
        asked = {"target": "agent:qc", "wanted": "pause", "who": "user:ann", "changed": NOON, "reason": ""}
        await connection.execute(insert(tables.controls).values(**asked))
    assert ((await agent_of(client))["called"], (await agent_of(client))["reason"]) == ("paused", "pause")
    async with site.database.write() as connection:
        parked = {"step": "dispatch.qc", "topic": "charted", "encounter": "e1", "reason": "deadline", "id": "parked-2"}
        await connection.execute(update(tables.parked).values(**parked))
    call = await agent_of(client)
    assert (call["called"], call["reason"], call["parked"]) == ("parked", "deadline", "parked-2")
    site.settings.agents["qc"] = site.settings.agent("qc").model_copy(update={"enabled": False})
    assert (await agent_of(client))["called"] == "disabled"
    await assessed(site, 2)
    assert (await agent_of(client))["called"] == "disabled", "what it has read is older"
    async with site.database.write() as connection:
        await connection.execute(update(tables.assessment_heads).values(version=3))
    assert ((await agent_of(client))["called"], (await agent_of(client))["version"]) == ("called", 3)
    async with site.database.write() as connection:
        other = json.dumps({"agent": {"kinds": ["order.placed"]}})
        await connection.execute(update(tables.releases).values(content=other))
    assert (await agent_of(client))["called"] == "seen_later"


async def test_each_rule_is_found_or_not_evaluated_or_clean(client: Any, site: Site, rows: Any) -> None:
    await put(site)
    await charted(site, ("e1", 3))
    text = {"zh": "代码", "en": "code"}
    await assessed(site, 3, unevaluated=[{"rule": "R19", "reason": "unknown_code", "item": "class", "text": text}])
    evidence = [Evidence(path="admitted", value="x")]
    said = Finding(key="X1", rule="X1", message=Text(zh="中", en="e"), evidence=evidence, reads=["entry@ev-1"])
    async with site.database.write() as connection:
        id = await rows.put_finding(connection, rows.pneumonia(), said, datetime.now(UTC))
    rules = {rule["rule"]: rule for rule in (await agent_of(client))["rules"]}
    assert (rules["X1"]["judged"], rules["X1"]["proposals"], rules["X1"]["rests_on_it"]) == ("found", [id], True)
    assert (rules["R45"]["judged"], rules["R45"]["rests_on_it"]) == ("found", False)
    assert (rules["R19"]["judged"], rules["R19"]["reason"], rules["R19"]["item"]) == (
        "not_evaluated",
        "unknown_code",
        "class",
    )
    found = {rule for rule, one in rules.items() if one["judged"] == "found"}
    assert {rule for rule, one in rules.items() if one["judged"] == "clean"} == {"R01", "X1"} - found


async def test_the_page_says_the_same_in_both_languages(client: Any, site: Site) -> None:
    await put(site)
    await put(site, "ev-2", encounter=None, flag="visit_of_another_patient", ordinal=1)
    await charted(site, ("e1", 3))
    for language, words in (("zh", ("该住院号属于另一位患者", "等待中")), ("en", ("is another patient", "Waiting"))):
        page = client("admin", page=True)
        page.cookies.set("hisbus_language", language)
        text = (await page.get("/messages/0.0")).text
        assert all(word in text for word in words), language


async def test_a_finding_leads_back_to_the_messages_of_its_evidence(client: Any, site: Site, rows: Any) -> None:
    await put(site)
    await put(site, "ev-2", message="m2")
    chart = rows.pneumonia()
    quoted = Evidence(document="n1", version="ev-1", section=0, begin=0, end=2, quote="主诉")
    admitted = Evidence(path="admitted", value=chart.stay("admitted"))
    said = Finding(key="X1", rule="X1", message=Text(zh="中", en="e"), evidence=[admitted, quoted], reads=["n1@ev-1"])
    async with site.database.write() as connection:
        id = await rows.put_finding(connection, chart, said, datetime.now(UTC))
        named = json.dumps({"admitted": [True, "order-ev-2", "x"]})
        stays = tables.encounters
        await connection.execute(update(stays).where(stays.c.id == "e1").values(named=named, assigned="{}"))
        await connection.execute(update(stays).where(stays.c.id != "e1").values(named="{}", assigned="{}"))
    items = (await client("viewer").get(f"/api/v1/proposals/{id}/messages")).json()["items"]
    assert {(one["message"], tuple(one["evidence"])) for one in items} == {("0.0", (1,)), ("0.2", (0,))}
    page = (await client("viewer", page=True).get(f"/findings/{id}")).text
    assert 'href="/messages/0.0"' in page and 'href="/messages/0.2"' in page


async def test_a_view_of_a_message_of_several_stays_is_a_view_of_each(client: Any, site: Site) -> None:
    await put(site)
    await put(site, "ev-2", encounter="e2", ordinal=1)
    await client("viewer").get("/api/v1/messages/0.0")
    async with site.database.read() as connection:
        seen = await connection.execute(select(tables.audit).where(tables.audit.c.action == "message.viewed"))
        assert [(row.object, row.encounter) for row in seen] == [("0.0", "e1"), ("0.0", "e2")]


async def outbox(site: Site) -> list[Assigned]:
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.outbox).order_by(tables.outbox.c.id))
        return [Assigned.model_validate_json(row.value) for row in rows if row.topic == "raw"]


async def test_a_message_is_given_to_a_stay_with_its_row_in_the_audit(client: Any, site: Site) -> None:
    await put(site, encounter=None, flag="unassigned_visit")
    admin = client("admin")
    assert (await admin.post("/api/v1/messages/0.0/assignment", json={"encounter": "e1"})).status_code == 200
    (said,) = await outbox(site)
    assert (said.message, said.encounter, said.who) == ("m0", "e1", "user:admin")
    assert said.visit is not None and site.keys.encounter(said.visit) != ""
    async with site.database.read() as connection:
        (row,) = await connection.execute(select(tables.audit).where(tables.audit.c.action == "message.assigned"))
        assert (row.actor, row.object, row.encounter) == ("user:admin", "m0", "e1")
        (sent,) = await connection.execute(select(tables.outbox))
        assert (sent.key, json.loads(sent.headers)["kind"]) == ("k", "message.assigned"), "behind the message itself"
    assert (await admin.post("/api/v1/messages/0.0/assignment", json={"encounter": ""})).status_code == 200
    assert (await outbox(site))[1].visit is None


async def test_what_cannot_be_given_is_refused(client: Any, site: Site) -> None:
    admin = client("admin")
    for path, encounter, code in (
        ("0.0", "e1", (409, "nothing_to_assign")),
        ("0.99", "e1", (404, "not_found")),
    ):
        answer = await admin.post(f"/api/v1/messages/{path}/assignment", json={"encounter": encounter})
        assert (answer.status_code, answer.json()["code"]) == code
    await put(site, encounter=None, flag="unassigned_visit")
    answer = await admin.post("/api/v1/messages/0.0/assignment", json={"encounter": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_stay")
    await of_another(site)
    answer = await admin.post("/api/v1/messages/0.0/assignment", json={"encounter": "e1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "several_patients")
    page = client("admin", page=True)
    for fields in ({}, {"visit": "V404"}):
        answer = await page.post("/messages/0.0/assignment", data={"csrf": "admin-form", **fields})
        assert answer.status_code == 404 and "没有这次住院" in answer.text
    assert await outbox(site) == []


async def test_the_page_offers_the_stays_of_the_patient_and_takes_a_visit_number(client: Any, site: Site) -> None:
    await put(site, encounter=None, flag="unassigned_visit")
    page = client("admin", page=True)
    assert 'name="encounter" value="e1"' in (await page.get("/messages/0.0")).text
    assert "assignment" not in (await client("viewer", page=True).get("/messages/0.0")).text
    another = {"visit": "ZY2603014"}
    for fields in ({"encounter": "e1", "visit": ""}, another | {"force": "yes"}):
        refused = await page.post("/messages/0.0/assignment", data={"csrf": "admin-form", **another})
        assert (
            refused.status_code == 409 and "不是该次住院的患者" in refused.text and 'value="ZY2603014"' in refused.text
        )
        answer = await page.post("/messages/0.0/assignment", data={"csrf": "admin-form", **fields})
        assert (answer.status_code, answer.headers["location"]) == (303, "/messages/0.0?given=yes")
    assert [said.encounter for said in await outbox(site)] == ["e1", "e2"]
