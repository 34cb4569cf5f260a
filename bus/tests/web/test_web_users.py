"""Users on the page and in the API: who leaves is out with the next request, and only an admin changes anybody."""

import re
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from hisbus_bus.kernel import people, tables
from hisbus_bus.kernel.people import passwords
from hisbus_bus.kernel.site import Site

PASSWORD = "a-long-password"
EN = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def audited(site: Site) -> list[tuple[str, str, str]]:
    audit = tables.audit
    wanted = select(audit).where(audit.c.action.startswith("user.")).order_by(audit.c.id)
    async with site.database.read() as connection:
        return [(row.actor, row.action, row.object) for row in await connection.execute(wanted)]


async def changed(client: Any, name: str, change: str, **fields: str) -> Any:
    data = {"csrf": "admin-form", "change": change, **fields}
    return await client("admin", page=True).post(f"/users/{name}", data=data, headers=EN)


# --- who leaves is out ------------------------------------------------------------------------------------------------


async def by_command(client: Any, site: Site) -> None:
    await people.disable(site.database, "reviewer", by="command:root")


async def by_page(client: Any, site: Site) -> None:
    assert (await changed(client, "reviewer", "disable")).status_code == 303


async def by_api(client: Any, site: Site) -> None:
    answer = await client("admin").post("/api/v1/users/reviewer/disable")
    assert (answer.status_code, answer.json()["disabled"]) == (200, True)


@pytest.mark.parametrize("leave", [by_command, by_page, by_api])
async def test_a_disabled_user_is_refused_with_the_next_request_everywhere(client: Any, site: Site, leave: Any) -> None:
    page, program = client("reviewer", page=True), client("reviewer")
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.proposals).where(tables.proposals.c.rule == "R45"))).one()
    etag = {"If-Match": row.etag}
    form = {"csrf": "reviewer-form", "decision": "accept", "etag": row.etag}
    assert (await page.get("/findings")).status_code == (await program.get("/api/v1/proposals")).status_code == 200
    await leave(client, site)
    for path in ("/findings", f"/findings/{row.id}", "/messages/0.0", f"/findings/{row.id}/receipt"):
        assert (await page.get(path)).headers.get("location") == "/login", path
    part = await page.get(f"/findings/{row.id}/receipt", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/login")
    assert (await page.post(f"/findings/{row.id}/decision", data=form)).headers["location"] == "/login"
    decision = await program.post(f"/api/v1/proposals/{row.id}/decision", json={"decision": "accept"}, headers=etag)
    assert decision.status_code == (await program.get("/api/v1/proposals")).status_code == 401
    async with site.database.read() as connection:
        assert await connection.scalar(select(tables.decisions.c.id)) is None
    assert (await client("viewer").get("/api/v1/proposals")).status_code == 200, "nobody else is touched"


async def test_an_admin_who_was_demoted_administers_nothing_with_what_was_open(client: Any, site: Site) -> None:
    await people.add(site.database, "other", "admin", PASSWORD)
    await people.change_role(site.database, "admin", "viewer")
    assert (await client("admin", page=True).get("/users")).headers["location"] == "/login"
    assert (await client("admin").get("/api/v1/users")).status_code == 401


async def test_a_role_that_nobody_knows_sees_nothing(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await connection.execute(update(tables.users).where(tables.users.c.name == "viewer").values(role="king"))
    page = client("viewer", page=True)
    for path in ("/findings", "/messages", "/writebacks", "/parked", "/agents", "/audit", "/users"):
        assert (await page.get(path)).status_code == 403, path
    for path in ("proposals", "messages", "writebacks", "parked", "users"):
        assert (await client("viewer").get(f"/api/v1/{path}")).status_code == 403, path


# --- the page ---------------------------------------------------------------------------------------------------------


async def test_an_admin_does_everything_on_the_page(client: Any, site: Site) -> None:
    page = client("admin", page=True)
    added = await page.post("/users", data={"csrf": "admin-form", "name": "李 娜", "role": "viewer"}, headers=EN)
    secret = re.search(r'role="status">.*<b class="mono">([\w-]{20})</b>', added.text)
    assert (added.status_code, bool(secret)) == (200, True)
    address = re.search(r'href="(/users/%E6%9D%8E%20%E5%A8%9C)"', (await page.get("/users")).text)
    assert address is not None
    assert (await page.get(address[1])).status_code == 200

    who = "reviewer"
    assert (
        await changed(client, who, "details", full_name="王强", department="病案科", title="编码员")
    ).status_code == 303
    assert (await changed(client, who, "number", number="D7", authority="HIS")).status_code == 303
    text = (await page.get(f"/users/{who}")).text
    assert all(part in text for part in ("王强", "病案科", "编码员", "HIS/D7"))
    assert (await changed(client, who, "no-number", number="D7", authority="HIS")).status_code == 303
    assert (await changed(client, who, "revoke", token="reviewer")).status_code == 303
    assert (await client(who).get("/api/v1/proposals")).status_code == 401
    token = re.search(r'<b class="mono">([\w-]{43})</b>', (await changed(client, who, "token", days="3")).text)
    assert token is not None
    header = {"Authorization": f"Bearer {token[1]}"}
    assert (await client().get("/api/v1/proposals", headers=header)).status_code == 200
    assert token[1] not in (await page.get(f"/users/{who}")).text
    assert (await client(who, page=True).get("/findings")).status_code == 200
    assert (await changed(client, who, "sessions")).status_code == 303
    assert (await client(who, page=True).get("/findings")).status_code == 303
    assert (await changed(client, who, "password", password=PASSWORD)).status_code == 303
    assert await people.log_in(site, who, PASSWORD) is not None
    assert (await changed(client, who, "role", role="viewer")).status_code == 303
    assert (await changed(client, who, "disable")).status_code == 303
    assert "disabled" in (await page.get("/users", headers=EN)).text
    assert (await changed(client, who, "enable")).status_code == 303
    assert await audited(site) == [
        ("user:admin", f"user.{action}", name)
        for action, name in (
            ("added", "李 娜"), ("described", who), ("number_added", who), ("number_removed", who),
            ("token_revoked", who), ("token_made", who), ("sessions_ended", who), ("password_changed", who),
            ("role_changed", who), ("disabled", who), ("enabled", who),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "fields", "status", "said"),
    [
        ("admin", "disable", {}, 409, "This is the last admin"),
        ("admin", "role", {"role": "viewer"}, 403, "Nobody changes their own role"),
        ("reviewer", "role", {"role": "king"}, 422, "Choose one of the roles"),
        ("reviewer", "password", {"password": "short"}, 422, "8 to 1024 characters"),
        ("reviewer", "token", {"days": "x"}, 422, "1 to 3650 days"),
        ("reviewer", "token", {"days": "4000"}, 422, "1 to 3650 days"),
        ("reviewer", "revoke", {"token": "none"}, 404, "does not work any more"),
        ("reviewer", "number", {"number": " "}, 422, "Something is empty"),
        ("reviewer", "shout", {}, 422, "Something is missing"),
        ("nobody", "disable", {}, 404, "There is no user"),
    ],
)
async def test_what_cannot_be_done_says_what_to_do_and_changes_nothing(
    client: Any, site: Site, name: str, change: str, fields: dict[str, str], status: int, said: str
) -> None:
    answer = await changed(client, name, change, **fields)
    assert (answer.status_code, said in answer.text) == (status, True)
    assert await audited(site) == []


async def test_a_name_that_is_taken_is_told_on_the_list(client: Any, site: Site) -> None:
    data = {"csrf": "admin-form", "name": "viewer", "role": "admin"}
    answer = await client("admin", page=True).post("/users", data=data, headers=EN)
    assert (answer.status_code, "a user of that name already" in answer.text) == (409, True)


async def test_nobody_but_an_admin_and_no_form_from_elsewhere_changes_a_user(client: Any, site: Site) -> None:
    for role in ("viewer", "reviewer"):
        page = client(role, page=True)
        assert "/users" not in (await page.get("/findings")).text
        for answer in (
            await page.get("/users"),
            await page.get("/users/admin"),
            await page.post("/users", data={"csrf": f"{role}-form", "name": "eve", "role": "admin"}),
            await page.post("/users/admin", data={"csrf": f"{role}-form", "change": "disable"}),
            await page.post(f"/users/{role}", data={"csrf": f"{role}-form", "change": "role", "role": "admin"}),
        ):
            assert answer.status_code == 403, (role, answer.url)
    for form in ({}, {"csrf": "another"}):
        for path in ("/users", "/users/viewer"):
            data = {**form, "change": "disable", "name": "eve"}
            assert (await client("admin", page=True).post(path, data=data)).status_code == 403
    assert await audited(site) == []
    assert "/users" in (await client("admin", page=True).get("/findings")).text


# --- the API ----------------------------------------------------------------------------------------------------------


async def test_an_admins_program_does_everything(client: Any, site: Site) -> None:
    api = client("admin")

    async def post(path: str, **body: Any) -> Any:
        answer = await api.post(f"/api/v1/users{path}", json=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    made = await post("", name="ann")
    assert (made["user"]["role"], len(made["password"])) == ("reviewer", 20)
    assert (await post("", name="ben", role="viewer", password=PASSWORD))["password"] is None
    token = (await post("/ann/tokens", days=2, purpose="reports"))["token"]
    header = {"Authorization": f"Bearer {token}"}
    assert (await client().get("/api/v1/proposals", headers=header)).status_code == 200
    (listed,) = (await api.get("/api/v1/users/ann/tokens")).json()["items"]
    assert (listed["purpose"], listed["works"], token in str(listed)) == ("reports", True, False)
    assert not (await post(f"/ann/tokens/{listed['id']}/revoke"))["items"][0]["works"]
    assert (await client().get("/api/v1/proposals", headers=header)).status_code == 401
    assert (await post("/ann/numbers", number="D7", authority="HIS"))["numbers"] == [
        {"number": "D7", "authority": "HIS"}
    ]
    assert (await post("/ann/numbers/remove", number="D7", authority="HIS"))["numbers"] == []
    assert (await post("/ann/details", full_name="安"))["full_name"] == "安"
    assert (await post("/ann/role", role="admin"))["role"] == "admin"
    assert len((await post("/ann/password"))["password"]) == 20
    assert (await post("/reviewer/sessions/end"))["sessions"] == 0
    assert (await post("/ann/disable"))["disabled"] is True
    assert (await post("/ann/enable"))["disabled"] is False
    assert {actor for actor, *_ in await audited(site)} == {"user:admin"}


async def test_users_are_listed_page_by_page(client: Any) -> None:
    names, cursor = [], None
    while True:
        wanted = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = (await client("admin").get("/api/v1/users", params=wanted)).json()
        names.append([item["name"] for item in answer["items"]])
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert names == [["admin", "reviewer"], ["viewer"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/admin/disable", {}, 409, "last_admin"),
        ("/admin/role", {"role": "viewer"}, 403, "own_role"),
        ("/nobody/disable", {}, 404, "unknown_user"),
        ("/viewer/role", {"role": "king"}, 422, "bad_request"),
        ("", {"name": "viewer"}, 409, "name_taken"),
        ("", {"name": "a/b"}, 422, "bad_name"),
        ("/viewer/tokens", {"days": 0}, 422, "bad_request"),
        ("/viewer/tokens/none/revoke", {}, 404, "unknown_token"),
        ("/viewer/numbers/remove", {"number": "1"}, 404, "unknown_number"),
    ],
)
async def test_the_api_refuses_in_words(
    client: Any, site: Site, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await client("admin").post(f"/api/v1/users{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await audited(site) == []
