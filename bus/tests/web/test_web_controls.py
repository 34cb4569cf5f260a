"""What an operator holds, as the API and the page tell it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from hisbus_bus.kernel import signals, tables
from hisbus_bus.kernel.site import Site

ASKED = {"target": "step:chart", "wanted": "pause", "reason": "a new disk"}
EN = {"accept-language": "en"}
ZH = {"accept-language": "zh-CN"}


async def test_an_admin_holds_a_part_and_lets_it_go_on(client: Any, site: Site) -> None:
    admin = client("admin")
    answer = await admin.post("/api/v1/controls", json=ASKED)
    assert answer.status_code == 200
    said = answer.json()
    assert {name: said[name] for name in ("target", "wanted", "now", "who", "reason")} == ASKED | {
        "now": "stopping",
        "who": "user:admin",
    }
    assert (await admin.get("/api/v1/controls")).json()["items"] == [said]
    async with site.database.write() as connection:
        await signals.begin(connection, "step:chart", "held", "pause")
    (held,) = (await client().get("/readyz")).json()["held"]
    assert held == {"target": "step:chart", "now": "paused"}
    ready = (await client().get("/readyz")).json()["ready"]
    assert ready, "somebody wants it so"
    await admin.post("/api/v1/controls", json={"target": "step:chart", "wanted": "run"})
    assert (await client().get("/readyz")).json()["held"] == []
    async with site.database.read() as connection:
        audited = (await connection.execute(select(tables.audit.c.actor, tables.audit.c.action))).all()
    assert [tuple(row) for row in audited] == [("user:admin", "control.pause"), ("user:admin", "control.run")]


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
async def test_nobody_but_an_admin_holds_anything(client: Any, site: Site, role: str) -> None:
    assert (await client(role).post("/api/v1/controls", json=ASKED)).status_code == 403
    assert (await client(role).get("/api/v1/controls")).status_code == 403
    async with site.database.read() as connection:
        assert (await connection.execute(select(tables.controls))).all() == []


@pytest.mark.parametrize(
    "change, code",
    [
        ({"target": "step:nothing"}, "unknown_target"),
        ({"target": "connector:nowhere"}, "unknown_target"),
        ({"wanted": "stop"}, "bad_request"),
        ({"by": "me"}, "bad_request"),
    ],
)
async def test_what_cannot_be_asked_is_refused(client: Any, change: dict[str, str], code: str) -> None:
    answer = await client("admin").post("/api/v1/controls", json=ASKED | change)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_signals_are_listed_newest_first_page_by_page(client: Any, site: Site) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    async with site.database.write() as connection:
        for step in ("translate", "chart", "review"):
            await signals.begin(connection, f"step:{step}", "outage", "database", noon)
        await signals.end(connection, "step:chart", "outage", noon)
    reader = client("viewer")
    first = (await reader.get("/api/v1/signals", params={"limit": 2})).json()
    assert [(one["part"], one["ended"] is None) for one in first["items"]] == [
        ("step:review", True),
        ("step:chart", False),
    ]
    rest = (await reader.get("/api/v1/signals", params={"cursor": first["next_cursor"]})).json()
    assert [one["part"] for one in rest["items"]] == ["step:translate"]
    assert rest["next_cursor"] is None


async def test_the_page_shows_what_is_held_and_what_is_not_as_it_should_be(client: Any, site: Site) -> None:
    page = client("viewer", page=True)
    calm = (await page.get("/agents", headers=EN)).text
    assert "Held by an operator" not in calm and "Not as it should be" not in calm
    await client("admin").post("/api/v1/controls", json=ASKED | {"target": "agent:qc"})
    async with site.database.write() as connection:
        await signals.begin(connection, "agent:qc", "held", "pause")
        await signals.begin(connection, "step:review", "outage", "database")
    english = (await page.get("/agents", headers=EN)).text
    for said in (
        "Held by an operator",
        "agent:qc",
        "paused",
        "<td>admin</td>",
        "a new disk",
        "waits for what it depends on",
    ):
        assert said in english, said
    chinese = (await page.get("/agents", headers=ZH)).text
    for said in ("由管理员暂停", "agent:qc", "已暂停", "异常状态", "等待所依赖的服务"):
        assert said in chinese, said
