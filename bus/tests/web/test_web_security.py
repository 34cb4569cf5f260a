"""Who gets in, what every answer carries, and what no answer says."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from structlog.testing import capture_logs

import hisbus_bus.desk
from hisbus.errors import RetryLater
from hisbus_bus.desk.security import HEADERS
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel.site import Site

PAGES = (
    "/findings",
    "/codesets",
    "/drafts",
    "/messages",
    "/messages/0.0",
    "/losses",
    "/work-items",
    "/writebacks",
    "/parked",
    "/audit",
    "/codes",
    "/users",
    "/users/viewer",
)


async def test_every_answer_carries_the_security_headers(client: Any) -> None:
    page = client("admin", page=True)
    for path in (*PAGES, "/login", "/api/v1/proposals", "/nowhere", "/static/app.css", "/readyz", "/openapi.json"):
        answer = await page.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
        assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_nothing_in_a_page_needs_a_looser_policy() -> None:
    for file in (Path(hisbus_bus.desk.__file__).parent / "templates").glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\son[a-z]+=|\sstyle=|<style|hx-on|javascript:", text), file.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), file.name
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text), file.name


async def test_the_api_takes_tokens_only_and_the_page_sessions_only(client: Any) -> None:
    for answer in (
        await client().get("/api/v1/proposals"),
        await client("viewer", page=True).get("/api/v1/proposals"),
        await client().get("/api/v1/proposals", headers={"Authorization": "Bearer wrong"}),
        await client().get("/api/v1/proposals", headers={"Authorization": "Basic dXNlcg=="}),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in PAGES:
        answer = await client("admin").get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("POST", "/api/v1/writebacks/x/resolution", "reviewer"),
        ("POST", "/api/v1/parked/x/replay", "admin"),
        ("GET", "/api/v1/audit", "admin"),
        ("POST", "/api/v1/messages/0.0/assignment", "admin"),
        ("GET", "/api/v1/work-items", "viewer"),
        ("GET", "/api/v1/codes", "admin"),
        ("POST", "/api/v1/codes", "admin"),
        ("GET", "/api/v1/proposals", "viewer"),
        ("GET", "/api/v1/users", "admin"),
        ("GET", "/api/v1/users/admin/tokens", "admin"),
        ("POST", "/api/v1/users/viewer/disable", "admin"),
        ("POST", "/api/v1/users/x/role", "admin"),
        ("POST", "/api/v1/users/x/password", "admin"),
        ("POST", "/api/v1/users/x/tokens", "admin"),
    ],
)
async def test_a_role_may_do_what_is_its_own(client: Any, method: str, path: str, least: str) -> None:
    for role in ("viewer", "reviewer", "admin"):
        body = {"resolution": "applied", "note": "seen"} if method == "POST" else None
        answer = await client(role).request(method, path, json=body)
        allowed = ("viewer", "reviewer", "admin").index(role) >= ("viewer", "reviewer", "admin").index(least)
        assert (answer.status_code != 403) == allowed, (role, answer.status_code)


async def test_a_form_from_elsewhere_is_refused(client: Any, site: Site) -> None:
    page = client("admin", page=True)
    for data, headers in (
        ({}, {}),
        ({"csrf": "another"}, {}),
        ({"csrf": "reviewer-form"}, {}),
        ({"csrf": "admin-form"}, {"sec-fetch-site": "cross-site"}),
        ({}, {"x-csrf-token": "another"}),
    ):
        for path in ("/parked/parked-1/replay", "/logout", "/messages/search", "/language"):
            answer = await page.post(path, data=data, headers=headers)
            assert answer.status_code == 403, (path, data, headers)
    async with site.database.read() as connection:
        assert await connection.scalar(select(tables.parked.c.status)) == "parked"
    answer = await page.post("/parked/parked-1/replay", headers={"x-csrf-token": "admin-form"})
    assert answer.status_code == 303


async def test_logging_in_sets_a_cookie_that_only_this_site_sees(client: Any, site: Site) -> None:
    await users.add(site.database, "ann", "reviewer", "a-long-password")
    page = client()
    form = await page.get("/login")
    token = re.search(r'name="csrf" value="([^"]+)"', form.text)
    assert token is not None
    wrong = await page.post("/login", data={"csrf": token[1], "name": "ann", "password": "not-hers-at-all"})
    assert (wrong.status_code, "hisbus_session" in page.cookies) == (401, False)
    foreign = await page.post("/login", data={"name": "ann", "password": "a-long-password"})
    assert foreign.status_code == 403
    right = await page.post("/login", data={"csrf": token[1], "name": "ann", "password": "a-long-password"})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    worklist = await page.get("/findings")
    assert "ann · " in worklist.text
    form_token = re.search(r'name="csrf" value="([^"]+)"', worklist.text)
    assert form_token is not None
    assert (await page.post("/logout", data={"csrf": form_token[1]})).status_code == 303
    assert (await page.get("/findings")).headers["location"] == "/login"


async def test_the_language_switch_leads_nowhere_else(client: Any) -> None:
    for back in ("https://elsewhere.test/", "//elsewhere.test", "/\\elsewhere.test", "javascript:alert(1)"):
        data = {"csrf": "viewer-form", "language": "en", "back": back}
        answer = await client("viewer", page=True).post("/language", data=data)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_no_error_repeats_what_was_sent(client: Any) -> None:
    secret = "欧阳锋110101195003074514"
    viewer, reviewer = client("viewer"), client("reviewer")
    json_type = {"content-type": "application/json"}
    named = {"If-Match": secret[3:]}
    for answer in (
        await viewer.post("/api/v1/messages/search", json={"text": secret, "limit": 9999}),
        await viewer.post("/api/v1/messages/search", json={secret: secret}),
        await viewer.post("/api/v1/charts/search", json={"patient": [secret]}),
        await viewer.post("/api/v1/charts/search", content=f"{{{secret}".encode(), headers=json_type),
        await viewer.get("/api/v1/proposals", params={"cursor": secret}),
        await viewer.get("/api/v1/messages", params={"since": secret}),
        await reviewer.post("/api/v1/proposals/x/decision", json={"decision": secret}, headers=named),
    ):
        assert answer.status_code in {404, 422}, answer.text
        assert "欧阳" not in answer.text and secret[3:] not in answer.text, answer.text


async def test_text_that_no_database_takes_is_refused(client: Any) -> None:
    for raw in (b'{"text": "\\ud800"}', b'{"text": "a\\u0000b"}'):
        for path in ("/api/v1/messages/search",):
            answer = await client("viewer").post(path, content=raw, headers={"content-type": "application/json"})
            assert answer.status_code == 422
    for payload in (b'{"\\ud800": 1}', b'{"a": "\\u0000"}', b'{"a": NaN}'):
        body = b'{"decision": "edit", "payload": ' + payload + b"}"
        answer = await client("reviewer").post(
            "/api/v1/proposals/x/decision", content=body, headers={"content-type": "application/json", "If-Match": "e"}
        )
        assert answer.status_code == 422
    assert (await client("viewer").get("/api/v1/charts/a%00b")).status_code == 422


async def test_a_request_that_is_too_large_is_refused(client: Any) -> None:
    answer = await client("viewer").post("/api/v1/charts/search", json={"visit": "x" * 2_000_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    form = await client().post("/login", data={"name": "x" * 2_000_000})
    assert form.status_code == 413


async def test_a_bug_is_told_without_its_words(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_args: Any, **_named: Any) -> Any:
        raise ValueError("欧阳锋")

    monkeypatch.setattr(charts, "chart", broken)
    with capture_logs() as lines:
        answer = await client("viewer").get("/api/v1/charts/e1")
    assert [line["event"] for line in lines] == ["web.failed"]
    assert (answer.status_code, answer.json()["code"]) == (500, "bug")
    assert "欧阳" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


async def test_an_outage_is_told_as_one(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_args: Any, **_named: Any) -> Any:
        raise RetryLater

    monkeypatch.setattr(charts, "chart", away)
    answer = await client("viewer").get("/api/v1/charts/e1")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "retry_later", "2")


async def test_errors_of_the_framework_are_problems_too(client: Any) -> None:
    lost = await client("viewer").get("/api/v1/nothing")
    assert (lost.status_code, lost.json()["type"]) == (404, "urn:hisbus:problem:not_found")
    wrong = await client("viewer").delete("/api/v1/proposals")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "GET")
    page = await client("viewer", page=True).get("/findings/nothing")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_a_view_that_cannot_be_audited_is_not_shown(
    client: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_args: Any, **_named: Any) -> None:
        raise RetryLater

    monkeypatch.setattr("hisbus_bus.kernel.audit.record", full)
    for path in ("/api/v1/charts/e1", "/api/v1/messages/0.0", "/api/v1/proposals"):
        answer = await client("viewer").get(path)
        assert answer.status_code == 503, path
        assert "张" not in answer.text
