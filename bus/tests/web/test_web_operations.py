"""Write-backs, what was set aside, and the audit."""

from typing import Any

from sqlalchemy import select, update

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site


async def test_write_backs_are_listed_by_status(client: Any) -> None:
    reader = client("viewer")
    (item,) = (await reader.get("/api/v1/writebacks", params={"status": "undecided"})).json()["items"]
    assert (item["status"], item["code"], item["attempts"], item["connector"]) == ("undecided", "silence", 1, "his")
    assert (await reader.get("/api/v1/writebacks", params={"status": "applied"})).json()["items"] == []


async def test_what_the_his_said_is_shown_to_who_may_decide_and_to_nobody_else(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await connection.execute(update(tables.writebacks).values(said="<b>王建国</b> 不存在"))
    for role, shown in (("viewer", False), ("reviewer", True)):
        (item,) = (await client(role).get("/api/v1/writebacks")).json()["items"]
        assert item["said"] == ("<b>王建国</b> 不存在" if shown else "")
        page = (await client(role, page=True).get("/writebacks")).text
        assert ("&lt;b&gt;王建国&lt;/b&gt; 不存在" in page) is shown and "<b>王建国" not in page


async def test_a_person_answers_an_undecided_write_back_once(client: Any) -> None:
    reviewer = client("reviewer")
    (item,) = (await reviewer.get("/api/v1/writebacks")).json()["items"]
    path = f"/api/v1/writebacks/{item['id']}/resolution"
    empty = await reviewer.post(path, json={"resolution": "applied", "note": " "})
    assert (empty.status_code, empty.json()["code"]) == (422, "bad_resolution")
    answer = await reviewer.post(path, json={"resolution": "applied", "note": "seen in the HIS"})
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["resolved_by"]) == ("applied", "reviewer")
    again = await reviewer.post(path, json={"resolution": "applied", "note": "seen in the HIS"})
    assert (again.status_code, again.json()["code"]) == (409, "not_waiting")
    unknown = await reviewer.post("/api/v1/writebacks/x/resolution", json={"resolution": "applied", "note": "n"})
    assert unknown.status_code == 404


async def test_a_parked_record_is_replayed_once_and_audited(client: Any, site: Site) -> None:
    admin = client("admin")
    (item,) = (await admin.get("/api/v1/parked", params={"status": "parked"})).json()["items"]
    assert (item["step"], item["reason"], item["message"]) == ("translate", "bad_segment", "m1")
    answer = await admin.post(f"/api/v1/parked/{item['id']}/replay")
    assert (answer.status_code, answer.json()["status"]) == (200, "replayed")
    again = await admin.post(f"/api/v1/parked/{item['id']}/replay")
    assert (again.status_code, again.json()["code"]) == (409, "not_waiting")
    assert (await admin.post("/api/v1/parked/none/replay")).status_code == 404
    async with site.database.read() as connection:
        (row,) = (await connection.execute(select(tables.outbox))).all()
        actions = list(await connection.scalars(select(tables.audit.c.action)))
    assert row.topic == "raw"
    assert actions == ["parked.replayed"]


async def test_the_audit_is_read_newest_first_page_by_page(client: Any) -> None:
    admin = client("admin")
    for id in ("e1", "e2", "e3"):
        await client("viewer").get(f"/api/v1/charts/{id}")
    first = (await admin.get("/api/v1/audit", params={"limit": 2, "actor": "user:viewer"})).json()
    assert [item["object"] for item in first["items"]] == ["e3", "e2"]
    rest = {"limit": 2, "actor": "user:viewer", "cursor": first["next_cursor"]}
    second = (await admin.get("/api/v1/audit", params=rest)).json()
    assert [item["object"] for item in second["items"]] == ["e1"]
    assert second["next_cursor"] is None
    by_stay = (await admin.get("/api/v1/audit", params={"encounter": "e2"})).json()
    assert [item["action"] for item in by_stay["items"]] == ["chart.viewed"]


async def test_a_foreign_cursor_is_refused(client: Any) -> None:
    for path in ("audit", "writebacks", "parked", "proposals", "messages"):
        for cursor in ("x", "WzEsMl0", "W10", "bnVsbA", "WyJhIiwiYiJd", "é"):
            answer = await client("admin").get(f"/api/v1/{path}", params={"cursor": cursor})
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), (path, cursor)
