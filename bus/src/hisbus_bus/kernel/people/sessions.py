"""Log-ins: a cookie that stands for a user until it is idle too long, too old, or ended by somebody."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, or_, select, update

from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.people import passwords
from hisbus_bus.kernel.people.passwords import digest
from hisbus_bus.kernel.people.permissions import User
from hisbus_bus.kernel.site import Site

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

FAILURES = 10
LOCKED_FOR = timedelta(minutes=5)
TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LogIn:
    """A new session. The cookie is shown once and not kept."""

    cookie: str
    user: User


async def log_in(site: Site, name: str, password: str) -> LogIn | None:
    """Open a session. None: name or password is wrong, or the user is locked out; it takes the same time."""
    name = name if name.isprintable() else ""  # what no name can be, no database need be asked for
    async with site.database.read() as connection:
        known = await _user(connection, name)
    right = await passwords.fits(known.password if known else await passwords.nobody(), password)
    async with site.database.write() as connection:
        # Read again under a lock: guesses sent side by side count one after the other.
        user = await _user(connection, name, lock=True)
        now = datetime.now(UTC)
        if user is None or not user.active or not known or user.password != known.password:
            await audit.record(connection, actor="nobody", action="login.refused", object=name if user else "")
            return None
        if user.locked_until is not None and user.locked_until > now:
            await audit.record(connection, actor="nobody", action="login.locked", object=name)
            return None
        if not right:
            await _count_failure(connection, user, now)
            return None
        await connection.execute(update(tables.users).where(tables.users.c.name == name).values(failures=0))
        return await _open_session(site, connection, user, now)


async def log_out(site: Site, cookie: str) -> None:
    """End a session."""
    sessions = tables.sessions
    async with site.database.write() as connection:
        mine = sessions.c.id == digest(cookie)
        name = await connection.scalar(select(sessions.c.user).where(mine))
        if name is not None:
            await connection.execute(delete(sessions).where(mine))
            await audit.record(connection, actor=f"user:{name}", action="login.ended", object=name)


async def of_session(site: Site, cookie: str) -> User | None:
    """Return whose session it is; None where it has ended. Notes at most once a minute that it was seen."""
    users, sessions, now = tables.users, tables.sessions, datetime.now(UTC)
    oldest, idle = _limits(site, now)
    mine = sessions.c.id == digest(cookie)
    wanted = (
        select(users.c.name, users.c.role, sessions.c.csrf, sessions.c.seen)
        .join(users, users.c.name == sessions.c.user)
        .where(mine, users.c.active, sessions.c.created >= oldest, sessions.c.seen >= idle)
    )
    async with site.database.read() as connection:
        row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        return None
    if now - row.seen > TOUCH_AFTER:
        async with site.database.write() as connection:
            await connection.execute(update(sessions).where(mine).values(seen=now))
    return User(row.name, row.role, row.csrf)


async def _count_failure(connection: "AsyncConnection", user: Row[Any], now: datetime) -> None:
    locks = user.failures + 1 >= FAILURES
    values = {"failures": 0, "locked_until": now + LOCKED_FOR} if locks else {"failures": user.failures + 1}
    await connection.execute(update(tables.users).where(tables.users.c.name == user.name).values(**values))
    await audit.record(connection, actor="nobody", action="login.refused", object=user.name, locks=locks)


async def _open_session(site: Site, connection: "AsyncConnection", user: Row[Any], now: datetime) -> LogIn:
    sessions = tables.sessions
    cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    oldest, idle = _limits(site, now)
    await connection.execute(delete(sessions).where(or_(sessions.c.created < oldest, sessions.c.seen < idle)))
    row = {"id": digest(cookie), "user": user.name, "csrf": csrf, "created": now, "seen": now}
    await connection.execute(sessions.insert(), row)
    await audit.record(connection, actor=f"user:{user.name}", action="login.accepted", object=user.name)
    return LogIn(cookie, User(user.name, user.role, csrf))


def _limits(site: Site, now: datetime) -> tuple[datetime, datetime]:
    """Return before when a session may not have been opened, and before when it may not have been seen last."""
    web = site.settings.web
    return now - timedelta(hours=web.session_hours), now - timedelta(minutes=web.idle_minutes)


async def _user(connection: "AsyncConnection", name: str, *, lock: bool = False) -> Row[Any] | None:
    wanted = select(tables.users).where(tables.users.c.name == name)
    return (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
