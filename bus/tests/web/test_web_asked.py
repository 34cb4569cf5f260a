"""Codes that no table of a profile has: listed with what waits for them, and answered, by an admin."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.connector import LookedUp
from hisbus_bus.kernel import codes, tables
from hisbus_bus.kernel.codes import Key, Looked
from hisbus_bus.kernel.site import Site
from hisbus_mapping import NONE
from hisbus_schemas import Code

SEEN = datetime(2026, 3, 2, 12, tzinfo=UTC)
IP = Key("his", "EMR^HOSP", "class", "<b>IP")
EN = {"accept-language": "en"}


@pytest.fixture
async def asked(site: Site) -> None:
    """The first message of the ward has looked a code up."""
    said = LookedUp("class", "class", Code(code=IP.code, text="住院"))
    async with site.database.write() as connection:
        assert await codes.Answered().hold(connection, [Looked("m0", SEEN, IP, said)])
        row = {"message": "m0", "code": IP.id, "common": IP.common.id, "answer": ""}
        await connection.execute(tables.lookups.insert(), row)


async def listed(reader: Any, **filters: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await reader.get("/api/v1/codes", params=filters)).json()["items"]
    return items


@pytest.mark.usefixtures("asked")
async def test_an_open_code_is_listed_and_answered_once(client: Any, site: Site) -> None:
    admin = client("admin")
    (one,) = await listed(admin, status="open")
    assert (one["code"], one["text"], one["item"], one["messages"]) == ("<b>IP", "住院", "class", 1)
    assert (one["word"], one["standing"], one["words"]) == (None, "", ["inpatient", "outpatient", NONE])
    assert await listed(admin, status="answered") == [] == await listed(admin, connector="lis")
    body = {name: one[name] for name in ("connector", "sender", "table", "code")} | {"word": "inpatient"}
    answer = await admin.post("/api/v1/codes", json=body)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["word"], said["standing"], said["who"], said["pending"]) == (
        "inpatient",
        "inpatient",
        "user:admin",
        True,
    )
    assert (await admin.post("/api/v1/codes", json=body)).json()["answered"] == said["answered"], "nothing changes"
    assert await listed(admin, status="open") == []
    async with site.database.read() as connection:
        assert list(await connection.scalars(select(tables.audit.c.action))) == ["code.answered"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("change", "code"),
    [({"word": "stationary"}, "bad_word"), ({"table": "sex"}, "unknown_table"), ({"connector": "x"}, "unknown_table")],
)
async def test_what_the_profile_does_not_ask_is_refused(client: Any, change: dict[str, str], code: str) -> None:
    body = {"connector": "his", "table": "class", "code": "X", "word": "inpatient"} | change
    answer = await client("admin").post("/api/v1/codes", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_code_may_be_answered_before_it_is_seen_and_not_taken_back(client: Any) -> None:
    body = {"connector": "his", "table": "class", "code": "D", "word": "outpatient"}
    assert (await client("admin").post("/api/v1/codes", json=body)).json()["message"] == ""
    unknown = await client("admin").post("/api/v1/codes", json=body | {"code": "E", "word": ""})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_code")


async def test_codes_are_read_page_by_page(client: Any) -> None:
    admin = client("admin")
    for code in "ABC":
        body = {"connector": "his", "table": "class", "code": code, "word": NONE}
        assert (await admin.post("/api/v1/codes", json=body)).status_code == 200
    first = (await admin.get("/api/v1/codes", params={"limit": "2"})).json()
    second = (await admin.get("/api/v1/codes", params={"limit": "2", "cursor": first["next_cursor"]})).json()
    assert [one["code"] for one in first["items"] + second["items"]] == ["C", "B", "A"] and not second["next_cursor"]


@pytest.mark.usefixtures("asked")
async def test_an_admin_answers_on_the_page_for_any_sender(client: Any) -> None:
    page = client("admin", page=True)
    shown = (await page.get("/codes", headers=EN)).text
    assert "&lt;b&gt;IP" in shown and "<b>IP" not in shown
    assert "/messages/0.0" in shown and "inpatient · Inpatient" in shown
    action = re.search(r'action="(/codes/\w+)"', shown)
    assert action is not None
    wrong = await page.post(action[1], data={"csrf": "admin-form", "word": "stationary"}, headers=EN)
    assert (wrong.status_code, "Choose one of the words" in wrong.text) == (422, True)
    given = {"csrf": "admin-form", "word": "inpatient", "any": "yes"}
    assert (await page.post(action[1], data=given)).headers["location"] == "/codes"
    assert "No code is open." in (await page.get("/codes", headers=EN)).text
    answered = (await page.get("/codes?status=answered", headers=EN)).text
    assert "answered for any sender" in answered and "user:admin" in answered
    assert (await page.post("/codes/none", data=given)).status_code == 404


@pytest.mark.usefixtures("asked")
async def test_nobody_else_sees_or_answers(client: Any) -> None:
    for role in ("viewer", "reviewer"):
        page = client(role, page=True)
        assert (await page.get("/codes")).status_code == 403
        given = {"csrf": f"{role}-form", "word": "inpatient"}
        assert (await page.post(f"/codes/{IP.id}", data=given)).status_code == 403
        assert 'href="/codes"' not in (await page.get("/findings")).text
