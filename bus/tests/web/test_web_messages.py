"""Where is my message, and what became of it?"""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from hisbus_bus.desk.read import messages as ledger
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Event, Evidence, Finding, Moment, Position, Text


async def walk(client: Any, path: str, **query: Any) -> list[dict[str, Any]]:
    items, cursor = [], None
    while True:
        answer = (await client.get(path, params=query | ({"cursor": cursor} if cursor else {}))).json()
        items += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return items


async def audited(site: Site, action: str) -> list[Any]:
    async with site.database.read() as connection:
        return list(await connection.execute(select(tables.audit).where(tables.audit.c.action == action)))


async def test_every_stored_copy_is_listed_also_before_it_is_translated(client: Any) -> None:
    items = await walk(client("viewer"), "/api/v1/messages")
    states = {item["id"]: item["status"] for item in items}
    assert states == {"0.0": "mapped", "0.1": "parked", "0.2": "unmapped", "0.3": "stored"}
    assert [item["received"] for item in items] == sorted((item["received"] for item in items), reverse=True)


async def test_pages_hold_every_message_once(client: Any) -> None:
    items = await walk(client("viewer"), "/api/v1/messages", limit=1)
    assert sorted(item["id"] for item in items) == ["0.0", "0.1", "0.2", "0.3"]


async def test_a_list_is_filtered(client: Any) -> None:
    for query, ids in (
        ({"status": "parked"}, ["0.1"]),
        ({"status": "stored"}, ["0.3"]),
        ({"status": "not_production"}, []),
        ({"connector": "another"}, []),
        ({"since": "2999-01-01T00:00:00+08:00"}, []),
    ):
        assert [item["id"] for item in await walk(client("viewer"), "/api/v1/messages", **query)] == ids, query


async def test_a_message_is_found_by_what_it_says(client: Any, site: Site) -> None:
    reader = client("viewer")
    found = (await reader.post("/api/v1/messages/search", json={"text": "张^建国"})).json()
    assert len(found["items"]) == 4
    assert found["searched"] == 4
    found = (await reader.post("/api/v1/messages/search", json={"control_id": "MSG00003"})).json()
    assert [item["status"] for item in found["items"]] == ["stored"]
    (row, *_) = await audited(site, "message.searched")
    assert json.loads(row.detail) == {"by": ["text"], "found": 4}
    assert "张" not in row.detail + row.object


async def test_a_search_for_text_goes_on_page_by_page(client: Any) -> None:
    reader = client("viewer")
    seen, cursor = [], None
    for _ in range(4):
        body = {"text": "建国", "limit": 1, "cursor": cursor}
        answer = (await reader.post("/api/v1/messages/search", json=body)).json()
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
    assert sorted(seen) == ["0.0", "0.1", "0.2", "0.3"]
    assert cursor is None


async def test_a_search_needs_something_to_search_for(client: Any) -> None:
    answer = await client("viewer").post("/api/v1/messages/search", json={"limit": 10})
    assert answer.status_code == 422


async def put_event(site: Site, message: str, encounter: str) -> Event:
    """Store an event of a message, with a finding that rests on it and its write-back."""
    event = Event(
        id="ev-1",
        kind="document.filed",
        time=Moment(at=datetime(2026, 3, 2, tzinfo=UTC), offset=480),
        message=message,
        revision=1,
        ordinal=0,
        connector="his",
        position=Position(recorded=datetime(2026, 3, 2, tzinfo=UTC), partition=0, offset=0),
    )
    row = {
        "id": event.id,
        "message": message,
        "kind": event.kind,
        "patient": f"patient-{encounter}",
        "visit": encounter,
        "encounter": encounter,
        "flag": "",
        "connector": "his",
        "timezone": "Asia/Shanghai",
        "order": "",
        "touched": "",
        "body": event.model_dump_json(),
    }
    async with site.database.write() as connection:
        await connection.execute(tables.events.insert(), row)
    return event


async def test_a_message_tells_what_became_of_it(client: Any, site: Site, rows: Any) -> None:
    await put_event(site, "m0", "e1")
    said = Finding(
        key="X1",
        rule="X1",
        message=Text(zh="中", en="e"),
        evidence=[Evidence(path="admitted", value="x")],
        reads=["entry@ev-1"],
    )
    async with site.database.write() as connection:
        id = await rows.put_finding(connection, rows.pneumonia(), said, datetime.now(UTC))
        sent = await rows.put_writeback(connection, id, "e1", status="applied", code="AA")
    answer = (await client("viewer").get("/api/v1/messages/0.0")).json()
    assert answer["id"] == "0.0"
    assert answer["raw"].startswith("MSH|")
    assert "张^建国" in answer["raw"]
    assert answer["ack"] == "MSA|AA|MSG00000"
    assert [event["id"] for event in answer["events"]] == ["ev-1"]
    assert answer["unmapped"] == ["ZPV"]
    assert [item["id"] for item in answer["proposals"]] == [id]
    assert answer["writebacks"] == [{"id": sent, "proposal": id, "status": "applied", "code": "AA"}]
    assert [row.object for row in await audited(site, "message.viewed")] == ["0.0"]


async def test_a_message_is_found_by_patient_and_visit(client: Any, site: Site) -> None:
    await put_event(site, "m0", "e1")
    reader = client("viewer")
    for search in ({"patient": "PZY2603001"}, {"visit": "ZY2603001"}, {"visit": "ZY2603001", "text": "建国"}):
        found = (await reader.post("/api/v1/messages/search", json=search)).json()
        assert [item["id"] for item in found["items"]] == ["0.0"], search
    found = (await reader.post("/api/v1/messages/search", json={"patient": "PZY2603014"})).json()
    assert found["items"] == []


async def test_a_stored_message_is_read_from_the_log(client: Any) -> None:
    answer = (await client("viewer").get("/api/v1/messages/0.3")).json()
    assert (answer["status"], answer["control_id"], answer["type"]) == ("stored", "MSG00003", "ORU^R01")
    assert answer["events"] == answer["proposals"] == []


async def test_a_duplicate_names_the_first_copy(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        table = tables.messages
        first = (await connection.execute(select(table).where(table.c.id == "0.0"))).mappings().one()
        await connection.execute(table.insert(), {**first, "id": "0.9", "first": False, "status": "duplicate"})
    answer = (await client("viewer").get("/api/v1/messages/0.9")).json()
    assert (answer["status"], answer["duplicate_of"], answer["events"]) == ("duplicate", "0.0", [])


async def test_a_parked_message_names_what_can_be_replayed(client: Any) -> None:
    answer = (await client("viewer").get("/api/v1/messages/0.1")).json()
    assert (answer["status"], answer["reason"], answer["parked"]) == ("parked", "bad_segment", "parked-1")


async def test_what_the_bus_itself_appends_is_no_message(client: Any, site: Site) -> None:
    await site.log.append([NewRecord("raw", "k", b"{}", {"connector": "hisbus", "message": "w"})])
    await site.log.append([NewRecord("raw", "k", b"x", {"connector": "his", "message": "m1", "replay": "parked-1"})])
    items = await walk(client("viewer"), "/api/v1/messages")
    assert len(items) == 4
    for id in ("0.4", "0.5"):
        assert (await client("viewer").get(f"/api/v1/messages/{id}")).status_code == 404


async def test_an_unknown_message_is_not_found(client: Any) -> None:
    for id in ("0.99", "7.0", "nonsense", "0.99999999999999999999999"):
        answer = await client("viewer").get(f"/api/v1/messages/{id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), id


def test_bytes_are_shown_as_the_text_they_are() -> None:
    assert ledger.decoded("\ufeff张".encode()) == "张"
    assert ledger.decoded("张伟".encode("gb18030")) == "张伟"
    assert ledger.decoded(b"\xff\xfe\xff") == "ÿþÿ"
