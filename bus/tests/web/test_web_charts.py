"""Charts over the API."""

import json
from typing import Any

from sqlalchemy import select

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site

KEYS = {
    "id", "visit", "version", "status", "patient", "location", "admitted", "discharged", "documents", "diagnoses",
    "procedures", "orders", "results", "vitals", "charges",
}  # fmt: skip


async def test_a_chart_has_the_agreed_keys_and_times_of_its_source(client: Any) -> None:
    chart = (await client("viewer").get("/api/v1/charts/e1")).json()
    assert set(chart) == KEYS
    assert (chart["visit"], chart["status"], chart["version"]) == ("ZY2603001", "admitted", 12)
    assert chart["patient"] == {"id": "PZY2603001", "name": "张建国", "birth_date": "1959-08-14", "sex": "male"}
    assert chart["location"] == {"ward": "呼吸一区", "room": "0312", "bed": "05"}
    assert (chart["admitted"], chart["discharged"]) == ("2026-03-02T08:30:00+08:00", None)
    document = chart["documents"][0]
    assert set(document) == {"id", "number", "type", "status", "signed", "received", "version", "sections"}
    assert (document["type"], document["status"]) == ("C0034", "signed")
    assert document["signed"] == "2026-03-03T11:42:00+08:00"
    assert document["received"] == "2026-03-03T11:45:00+08:00"
    assert document["sections"][0]["text"].startswith("发热")
    assert chart["vitals"][0]["time"] == "2026-03-02T09:30:00+08:00"


async def test_a_stay_is_found_by_visit_or_patient(client: Any) -> None:
    reader = client("viewer")
    for search in ({"visit": "ZY2603014"}, {"patient": "PZY2603014"}, {"visit": "ZY2603014", "patient": "PZY2603014"}):
        found = (await reader.post("/api/v1/charts/search", json=search)).json()
        assert [item["id"] for item in found["items"]] == ["e2"], search
        assert found["next_cursor"] is None
    assert (await reader.post("/api/v1/charts/search", json={"visit": "none"})).json()["items"] == []


async def test_every_look_at_a_chart_is_audited(client: Any, site: Site) -> None:
    await client("viewer").get("/api/v1/charts/e1")
    await client("viewer").post("/api/v1/charts/search", json={"visit": "ZY2603014"})
    async with site.database.read() as connection:
        rows = (await connection.execute(select(tables.audit).where(tables.audit.c.actor == "user:viewer"))).all()
    assert [(row.action, row.object, row.encounter) for row in rows] == [
        ("chart.viewed", "e1", "e1"),
        ("chart.searched", "", ""),
    ]
    assert json.loads(rows[1].detail) == {"by": ["visit"], "charts": ["e2"]}


async def test_an_unknown_stay_is_not_found(client: Any, site: Site) -> None:
    answer = await client("viewer").get("/api/v1/charts/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
