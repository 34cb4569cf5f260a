"""Users as an administrator changes them: what ends, who may, and what the audit keeps of it."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import time_machine
from argon2 import PasswordHasher
from sqlalchemy import delete, select

from hisbus.errors import Forbidden, Refused
from hisbus_bus.kernel import people, tables
from hisbus_bus.kernel.people import Action, Object, User, errors, may, passwords
from hisbus_bus.kernel.site import Site

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PASSWORD = "correct horse"
BOSS = User("boss", "admin")


@pytest.fixture(autouse=True)
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(autouse=True)
async def two(site: Site) -> None:
    """An admin, and a reviewer whom things happen to."""
    await people.add(site.database, "boss", "admin", PASSWORD)
    await people.add(site.database, "ann", "reviewer", PASSWORD)


async def audited(site: Site) -> list[Any]:
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.audit).order_by(tables.audit.c.id))
        return [(row.actor, row.action, row.object, json.loads(row.detail)) for row in rows]


async def opened(site: Site) -> tuple[str, str]:
    """Return a cookie and a token of ann's."""
    session = await people.log_in(site, "ann", PASSWORD)
    assert session is not None
    return session.cookie, await people.token(site.database, "ann")


async def works(site: Site, cookie: str, token: str) -> tuple[bool, bool]:
    return await people.of_session(site, cookie) is not None, await people.of_token(site, token) is not None


# --- what a role may --------------------------------------------------------------------------------------------------


def test_each_role_may_what_it_may_and_an_unknown_one_and_nobody_nothing() -> None:
    open_to = {role: {action for action in get_args(Action) if may(User("x", role), action)} for role in people.ROLES}
    assert open_to["viewer"] == {"see_metadata", "see_bodies", "answer"}
    assert open_to["reviewer"] == {"see_metadata", "see_bodies", "answer", "decide"}
    assert open_to["admin"] == set(get_args(Action))
    for nobody in (None, User("x", ""), User("x", "king"), User("x", "Admin")):
        assert not any(may(nobody, action) for action in get_args(Action))


def test_nobody_gives_themselves_a_role() -> None:
    assert may(BOSS, "give_role", Object("user", "ann"))
    assert not may(BOSS, "give_role", Object("user", "boss"))
    assert may(BOSS, "administer", Object("user", "boss"))


# --- what a change ends -----------------------------------------------------------------------------------------------

Change = Callable[[Site], Awaitable[Any]]
CHANGES: dict[str, tuple[Change, tuple[bool, bool]]] = {
    "user.disabled": (lambda site: people.disable(site.database, "ann", by=BOSS), (False, False)),
    "user.role_changed": (lambda site: people.change_role(site.database, "ann", "viewer", by=BOSS), (False, False)),
    "user.password_changed": (lambda site: people.change_password(site.database, "ann", by=BOSS), (False, False)),
    "user.sessions_ended": (lambda site: people.end_sessions(site.database, "ann", by=BOSS), (False, True)),
    "user.described": (
        lambda site: people.describe(site.database, "ann", full_name="李娜", department="", title="", by=BOSS),
        (True, True),
    ),
    "user.number_added": (lambda site: people.add_number(site.database, "ann", "D7", "HIS", by=BOSS), (True, True)),
}


@pytest.mark.parametrize("action", CHANGES)
async def test_a_change_ends_what_it_must_and_says_so_in_the_audit(site: Site, action: str) -> None:
    change, left = CHANGES[action]
    cookie, token = await opened(site)
    assert await works(site, cookie, token) == (True, True)
    await change(site)
    assert await works(site, cookie, token) == left
    actor, done, object, detail = (await audited(site))[-1]
    assert (actor, done, object) == ("user:boss", action, "ann")
    assert detail.get("sessions", 1) == 1
    assert detail.get("tokens", 1) == 1


async def test_who_is_enabled_again_gets_nothing_back_but_the_log_in(site: Site) -> None:
    cookie, token = await opened(site)
    await people.disable(site.database, "ann")
    with pytest.raises(errors.Disabled):
        await people.token(site.database, "ann")
    await people.enable(site.database, "ann", by=BOSS)
    assert await works(site, cookie, token) == (False, False)
    assert await people.log_in(site, "ann", PASSWORD) is not None
    assert ("user:boss", "user.enabled", "ann", {}) in await audited(site)


async def test_a_user_who_is_deleted_by_hand_is_out(site: Site) -> None:
    cookie, token = await opened(site)
    async with site.database.write() as connection:
        await connection.execute(delete(tables.users).where(tables.users.c.name == "ann"))
    assert await works(site, cookie, token) == (False, False)


async def test_a_change_that_fails_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, token = await opened(site)

    async def full(*_args: Any, **_named: Any) -> None:
        raise Forbidden

    monkeypatch.setattr("hisbus_bus.kernel.audit.record", full)
    with pytest.raises(Forbidden):
        await people.disable(site.database, "ann")
    assert await works(site, cookie, token) == (True, True)


async def test_whoever_logs_in_while_being_disabled_is_out_all_the_same(site: Site) -> None:
    both = (people.log_in(site, "ann", PASSWORD), people.disable(site.database, "ann"))
    session, _ = await asyncio.gather(*both)
    assert session is None or await people.of_session(site, session.cookie) is None


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_user_may_have_several_tokens_and_each_ends_alone(site: Site) -> None:
    first = await people.token(site.database, "ann", purpose="nagios")
    second = await people.token(site.database, "ann", purpose="reports", by="command:root")
    assert await people.of_token(site, first) == await people.of_token(site, second) == User("ann", "reviewer")
    ids = {token.purpose: token.id for token in await people.tokens_of(site.database, "ann")}
    await people.revoke(site.database, "ann", ids["nagios"], by=BOSS)
    assert await people.of_token(site, first) is None
    assert await people.of_token(site, second) is not None
    with pytest.raises(errors.UnknownToken):
        await people.revoke(site.database, "ann", ids["nagios"])
    with pytest.raises(errors.UnknownToken):
        await people.revoke(site.database, "boss", ids["reports"])
    assert [row for row in await audited(site) if row[3].get("token") == ids["nagios"]][1:] == [
        ("user:boss", "user.token_revoked", "ann", {"token": ids["nagios"]})
    ]
    assert (await audited(site))[-2][:3] == ("command:root", "user.token_made", "ann")


async def test_a_token_ends_when_its_days_are_over_and_notes_its_use_once_a_minute(site: Site) -> None:
    async def used() -> datetime | None:
        (token,) = await people.tokens_of(site.database, "ann")
        return token.used

    with time_machine.travel(NOON, tick=False) as clock:
        token = await people.token(site.database, "ann", days=3)
        assert await used() is None
        await people.of_token(site, token)
        clock.shift(59)
        await people.of_token(site, token)
        assert await used() == NOON
        clock.shift(2)
        await people.of_token(site, token)
        assert await used() == NOON + timedelta(seconds=61)
        clock.move_to(NOON + timedelta(days=3) - timedelta(seconds=1))
        assert await people.of_token(site, token) is not None
        clock.shift(1)
        assert await people.of_token(site, token) is None
        (listed,) = await people.tokens_of(site.database, "ann")
        assert (listed.works, listed.revoked) == (False, None)


# --- who may change whom ----------------------------------------------------------------------------------------------


async def test_the_last_admin_stays(site: Site) -> None:
    for change in (people.disable(site.database, "boss"), people.change_role(site.database, "boss", "viewer")):
        with pytest.raises(errors.LastAdmin):
            await change
    await people.change_role(site.database, "ann", "admin", by=BOSS)
    await people.disable(site.database, "boss", by=BOSS)
    with pytest.raises(errors.LastAdmin):
        await people.change_role(site.database, "ann", "reviewer")


async def test_of_two_admins_who_shut_each_other_out_one_stays(site: Site) -> None:
    await people.change_role(site.database, "ann", "admin")
    ann = User("ann", "admin")
    both = (people.disable(site.database, "ann", by=BOSS), people.disable(site.database, "boss", by=ann))
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(result, Refused) for result in results) == 1
    assert sum(not user.disabled for user in await people.listed(site.database)) == 1


async def test_an_admin_changes_no_role_of_his_own(site: Site) -> None:
    await people.change_role(site.database, "ann", "admin")
    with pytest.raises(errors.OwnRole):
        await people.change_role(site.database, "boss", "viewer", by=BOSS)
    assert (await people.one(site.database, "boss")).role == "admin"


@pytest.mark.parametrize("who", [User("ann", "admin"), User("ann", "reviewer"), User("eve", "admin")])
async def test_what_counts_is_the_table_and_not_the_role_that_somebody_came_with(site: Site, who: User) -> None:
    database = site.database
    before = await audited(site)
    for change in (
        people.add(database, "new", "admin", PASSWORD, by=who),
        people.change_role(database, "ann", "admin", by=who),
        people.change_role(database, "boss", "viewer", by=who),
        people.change_password(database, "boss", by=who),
        people.disable(database, "boss", by=who),
        people.enable(database, "boss", by=who),
        people.end_sessions(database, "boss", by=who),
        people.describe(database, "boss", full_name="", department="", title="", by=who),
        people.add_number(database, "ann", "D1", by=who),
        people.remove_number(database, "ann", "D1", by=who),
        people.token(database, "ann", by=who),
        people.revoke(database, "ann", "1", by=who),
    ):
        with pytest.raises(Forbidden):
            await change
    assert await audited(site) == before


# --- what is refused in words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "role", "password", "error"),
    [
        ("ann", "viewer", PASSWORD, errors.NameTaken),
        ("", "viewer", PASSWORD, errors.BadName),
        (" bob", "viewer", PASSWORD, errors.BadName),
        ("..", "viewer", PASSWORD, errors.BadName),
        ("bob/eve", "viewer", PASSWORD, errors.BadName),
        ("b" * 65, "viewer", PASSWORD, errors.BadName),
        ("bob\n", "viewer", PASSWORD, errors.BadName),
        ("bob", "king", PASSWORD, errors.BadRole),
        ("bob", "viewer", "short", errors.BadPassword),
        ("bob", "viewer", "", errors.BadPassword),
    ],
)
async def test_a_user_who_cannot_be_added_is_refused_in_words(
    site: Site, name: str, role: str, password: str, error: type[Refused]
) -> None:
    with pytest.raises(error):
        await people.add(site.database, name, role, password)


async def test_nothing_is_done_to_somebody_who_is_not_there(site: Site) -> None:
    database = site.database
    for change in (
        people.change_role(database, "eve", "viewer"),
        people.change_password(database, "eve"),
        people.disable(database, "eve"),
        people.enable(database, "eve"),
        people.end_sessions(database, "eve"),
        people.describe(database, "eve", full_name="", department="", title=""),
        people.add_number(database, "eve", "D1"),
        people.remove_number(database, "eve", "D1"),
        people.token(database, "eve"),
        people.tokens_of(database, "eve"),
        people.one(database, "eve"),
    ):
        with pytest.raises(errors.UnknownUser):
            await change


async def test_what_is_said_of_a_user_has_bounds(site: Site) -> None:
    database = site.database
    for change in (
        people.describe(database, "ann", full_name="x" * 201, department="", title=""),
        people.describe(database, "ann", full_name="", department="a\nb", title=""),
        people.add_number(database, "ann", " "),
        people.add_number(database, "ann", "D\0"),
        people.token(database, "ann", purpose="x" * 201),
    ):
        with pytest.raises(errors.BadDetails):
            await change
    for days in (0, 3651):
        with pytest.raises(errors.BadLife):
            await people.token(database, "ann", days=days)


def test_every_refusal_says_what_to_do() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused)]
    for kind in kinds:
        said = str(kind())
        assert re.fullmatch(r"[A-Z].*\.", said) and len(said) > 25, kind
        assert kind in (Refused, Forbidden) or 400 < kind.status < 500
    assert len({kind.code for kind in kinds}) == len(kinds)


# --- staff numbers ----------------------------------------------------------------------------------------------------


async def test_a_user_has_staff_numbers_by_authority_and_a_number_is_one_users(site: Site) -> None:
    database = site.database
    await people.add_number(database, "ann", "D7", "HIS")
    await people.add_number(database, "ann", " 7 ")
    await people.add_number(database, "boss", "D7", "LIS")
    for name in ("boss", "ann"):
        with pytest.raises(errors.NumberTaken):
            await people.add_number(database, name, "D7", "HIS")
    assert (await people.one(database, "ann")).numbers == [("", "7"), ("HIS", "D7")]
    await people.remove_number(database, "ann", "D7", "HIS")
    with pytest.raises(errors.UnknownNumber):
        await people.remove_number(database, "ann", "D7", "LIS")
    assert (await people.one(database, "ann")).numbers == [("", "7")]


# --- nobody else compares a role --------------------------------------------------------------------------------------


def test_no_file_but_those_of_people_names_a_role() -> None:
    import ast

    root = Path(people.__file__).parents[2]
    named = []
    for path in root.rglob("*.py"):
        if path.is_relative_to(Path(people.__file__).parent):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in people.ROLES:
                named.append(f"{path.relative_to(root)}:{node.lineno}")
            if isinstance(node, ast.Attribute) and node.attr == "role" and isinstance(node.value, ast.Attribute):
                assert node.value.attr != "users", f"{path}:{node.lineno} reads the role of a user from the table"
    for path in root.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        named += [path.name for role in people.ROLES if re.search(rf"[\"']{role}[\"']|user\.role\s*[=!]=", text)]
    assert not named, "only people.may compares roles: ask it"
