"""Users, their passwords, tokens and log-ins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from argon2 import PasswordHasher
from sqlalchemy import select, update

from hisbus_bus.kernel import people as users
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.people import LogIn, User, may, passwords
from hisbus_bus.kernel.site import Site

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
async def ann(site: Site) -> str:
    await users.add(site.database, "ann", "reviewer", PASSWORD)
    return "ann"


async def enter(site: Site, password: str = PASSWORD, name: str = "ann") -> LogIn | None:
    return await users.log_in(site, name, password)


async def session(site: Site) -> LogIn:
    made = await enter(site)
    assert made is not None
    return made


async def audited(site: Site) -> list[str]:
    async with site.database.read() as connection:
        return list(await connection.scalars(select(tables.audit.c.action).order_by(tables.audit.c.id)))


async def stored(site: Site) -> str:
    async with site.database.read() as connection:
        found: list[Any] = []
        for table in (tables.users, tables.sessions, tables.tokens, tables.audit):
            found += [tuple(row) for row in await connection.execute(select(table))]
    return repr(found)


async def test_a_made_password_opens_a_session(site: Site) -> None:
    made = await users.add(site.database, "ann", "viewer")
    opened = await enter(site, made or "")
    assert opened is not None
    assert await users.of_session(site, opened.cookie) == opened.user == User("ann", "viewer", opened.user.csrf)


async def test_no_secret_is_stored_as_it_is(site: Site, ann: str) -> None:
    token, opened = await users.token(site.database, ann), await session(site)
    everything = await stored(site)
    assert not any(secret in everything for secret in (PASSWORD, token, opened.cookie))


async def test_a_wrong_password_or_name_opens_nothing(site: Site, ann: str) -> None:
    assert [await enter(site, "wrong"), await enter(site, name="eve"), await enter(site, name="\0")] == [None] * 3
    assert (await audited(site))[1:] == ["login.refused"] * 3


async def test_ten_failures_lock_for_five_minutes(site: Site, ann: str) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(10):
            assert await enter(site, "wrong") is None
        assert await enter(site) is None
        clock.shift(timedelta(minutes=5, seconds=1))
        assert await enter(site) is not None


async def test_a_success_forgets_the_failures(site: Site, ann: str) -> None:
    for _ in range(3):
        for _ in range(9):
            await enter(site, "wrong")
        assert await enter(site) is not None


async def test_an_unknown_name_costs_a_hash_as_a_known_one_does(
    site: Site, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    verify = passwords.fits

    async def counted(hash: str, password: str) -> bool:
        checked.append(hash)
        return await verify(hash, password)

    monkeypatch.setattr(passwords, "fits", counted)
    await enter(site, "wrong")
    await enter(site, "wrong", name="eve")
    assert len(checked) == 2


async def test_a_session_ends_when_idle_too_long(site: Site, ann: str) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        opened = await session(site)
        for _ in range(3):
            clock.shift(timedelta(minutes=29))
            assert await users.of_session(site, opened.cookie) is not None
        clock.shift(timedelta(minutes=31))
        assert await users.of_session(site, opened.cookie) is None


async def test_a_session_ends_after_its_longest_life(site: Site, ann: str) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        opened = await session(site)
        for _ in range(24 * 60 // 29):
            clock.shift(timedelta(minutes=29))
            if await users.of_session(site, opened.cookie) is None:
                break
        assert timedelta(hours=11.5) < datetime.now(UTC) - NOON < timedelta(hours=12.5)


async def test_being_seen_is_noted_once_a_minute(site: Site, ann: str) -> None:
    async def seen() -> datetime:
        async with site.database.read() as connection:
            time: datetime = (await connection.execute(select(tables.sessions.c.seen))).scalar_one()
            return time

    with time_machine.travel(NOON, tick=False) as clock:
        opened = await session(site)
        clock.shift(59)
        await users.of_session(site, opened.cookie)
        assert await seen() == NOON
        clock.shift(2)
        await users.of_session(site, opened.cookie)
        assert await seen() == NOON + timedelta(seconds=61)


async def test_logging_out_ends_the_session(site: Site, ann: str) -> None:
    opened = await session(site)
    await users.log_out(site, opened.cookie)
    await users.log_out(site, opened.cookie)
    assert await users.of_session(site, opened.cookie) is None
    assert (await audited(site))[-2:] == ["login.accepted", "login.ended"]


async def test_a_changed_password_ends_what_was_open(site: Site, ann: str) -> None:
    opened = await session(site)
    await users.change_password(site.database, ann, "another horse")
    assert await users.of_session(site, opened.cookie) is None
    assert await enter(site) is None
    assert await enter(site, "another horse") is not None


async def test_a_disabled_user_gets_no_session_though_the_password_is_right(site: Site, ann: str) -> None:
    await users.disable(site.database, ann)
    assert await enter(site) is None


async def test_a_role_that_is_taken_away_counts_at_once(site: Site, ann: str) -> None:
    opened = await session(site)
    async with site.database.write() as connection:
        await connection.execute(update(tables.users).values(role="viewer"))
    user = await users.of_session(site, opened.cookie)
    assert user is not None
    assert not may(user, "decide") and not may(user, "administer")
