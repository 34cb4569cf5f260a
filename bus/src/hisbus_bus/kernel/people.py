"""Who may look and who may decide: users, their passwords, tokens and log-ins.

Passwords are kept as argon2 hashes; tokens and cookies are random and kept as SHA-256, so the tables open no door.
Administration takes the database alone, so it works while another process holds the log.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeVar, get_args

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import ConfigError
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.site import Site

T = TypeVar("T")

Role = Literal["viewer", "reviewer", "admin"]
DECIDERS = frozenset({"reviewer", "admin"})

FAILURES = 10
LOCKED_FOR = timedelta(minutes=5)
TOUCH_AFTER = timedelta(minutes=1)
SHORTEST = 8
LONGEST = 1024

_hasher = PasswordHasher()
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")
"""Each hash takes 64 MiB; this many at a time."""


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking."""

    name: str
    role: str
    csrf: str = ""
    """The session's token for forms; empty with a bearer token."""

    @property
    def may_decide(self) -> bool:
        """Whether decisions of theirs count."""
        return self.role in DECIDERS

    @property
    def may_administer(self) -> bool:
        """Whether they may change what others use."""
        return self.role == "admin"


@dataclass(frozen=True, slots=True)
class LogIn:
    """A new session. The cookie is shown once and not kept."""

    cookie: str
    user: User


async def add(
    database: Database, name: str, role: str, password: str | None = None, *, actor: str = "command"
) -> str | None:
    """Add a user. Without a password one is made and returned, once.

    Raises:
        ConfigError: the name is taken or empty, there is no such role, or the password is too short.
    """
    if role not in get_args(Role):
        raise ConfigError("The role is one of viewer, reviewer and admin.")
    if not name or not name.isprintable() or len(name) > 64:
        raise ConfigError("A user's name has 1 to 64 printable characters.")
    made = None if password is not None else secrets.token_urlsafe(15)
    row = {
        "name": name,
        "role": role,
        "password": await _hash(made or password or ""),
        "token": None,
        "active": True,
        "failures": 0,
        "locked_until": None,
    }
    try:
        async with database.write() as connection:
            await connection.execute(tables.users.insert(), row)
            await audit.record(connection, actor=actor, action="user.added", object=name, role=role)
    except IntegrityError as error:
        raise ConfigError("There is a user of that name. Choose another.") from error
    return made


async def change_password(database: Database, name: str, password: str, *, actor: str = "command") -> None:
    """Give a user another password, end their log-ins, and lift a lock.

    Raises:
        ConfigError: there is no such user, or the password is too short.
    """
    values = {"password": await _hash(password), "failures": 0, "locked_until": None}
    await _change(database, name, values, actor, "user.password_changed")


async def disable(database: Database, name: str, *, actor: str = "command") -> None:
    """Shut a user out at once: log-ins end and the token stops working. The name stays taken.

    Raises:
        ConfigError: there is no such user.
    """
    await _change(database, name, {"active": False, "token": None}, actor, "user.disabled")


async def _change(database: Database, name: str, values: dict[str, Any], actor: str, action: str) -> None:
    async with database.write() as connection:
        changed = await connection.execute(update(tables.users).where(tables.users.c.name == name).values(**values))
        if not changed.rowcount:
            raise ConfigError("There is no user of that name.")
        await connection.execute(delete(tables.sessions).where(tables.sessions.c.user == name))
        await audit.record(connection, actor=actor, action=action, object=name)


async def token(database: Database, name: str, *, actor: str = "command") -> str:
    """Make a bearer token and return it, once; an older one stops working.

    Raises:
        ConfigError: there is no active user of that name.
    """
    made, users = secrets.token_urlsafe(32), tables.users
    async with database.write() as connection:
        wanted = update(users).where(users.c.name == name, users.c.active).values(token=_digest(made))
        if not (await connection.execute(wanted)).rowcount:
            raise ConfigError("There is no active user of that name.")
        await audit.record(connection, actor=actor, action="user.token_made", object=name)
    return made


async def log_in(site: Site, name: str, password: str) -> LogIn | None:
    """Open a session. None: name or password is wrong, or the user is locked out; it takes the same time."""
    name = name if name.isprintable() else ""  # what no name can be, no database need be asked for
    async with site.database.read() as connection:
        known = await _user(connection, name)
    right = await _verify(known.password if known else await _nobody(), password)
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


async def _count_failure(connection: AsyncConnection, user: Row[Any], now: datetime) -> None:
    locks = user.failures + 1 >= FAILURES
    values = {"failures": 0, "locked_until": now + LOCKED_FOR} if locks else {"failures": user.failures + 1}
    await connection.execute(update(tables.users).where(tables.users.c.name == user.name).values(**values))
    await audit.record(connection, actor="nobody", action="login.refused", object=user.name, locks=locks)


async def _open_session(site: Site, connection: AsyncConnection, user: Row[Any], now: datetime) -> LogIn:
    sessions = tables.sessions
    cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    oldest, idle = _limits(site, now)
    await connection.execute(delete(sessions).where(or_(sessions.c.created < oldest, sessions.c.seen < idle)))
    row = {"id": _digest(cookie), "user": user.name, "csrf": csrf, "created": now, "seen": now}
    await connection.execute(sessions.insert(), row)
    await audit.record(connection, actor=f"user:{user.name}", action="login.accepted", object=user.name)
    return LogIn(cookie, User(user.name, user.role, csrf))


async def log_out(site: Site, cookie: str) -> None:
    """End a session."""
    sessions = tables.sessions
    async with site.database.write() as connection:
        mine = sessions.c.id == _digest(cookie)
        name = await connection.scalar(select(sessions.c.user).where(mine))
        if name is not None:
            await connection.execute(delete(sessions).where(mine))
            await audit.record(connection, actor=f"user:{name}", action="login.ended", object=name)


async def of_session(site: Site, cookie: str) -> User | None:
    """Return whose session it is; None where it has ended. Notes at most once a minute that it was seen."""
    users, sessions, now = tables.users, tables.sessions, datetime.now(UTC)
    oldest, idle = _limits(site, now)
    mine = sessions.c.id == _digest(cookie)
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


async def of_token(site: Site, token: str) -> User | None:
    """Return whose bearer token it is."""
    users = tables.users
    wanted = select(users.c.name, users.c.role).where(users.c.token == _digest(token), users.c.active)
    async with site.database.read() as connection:
        row = (await connection.execute(wanted)).one_or_none()
    return User(row.name, row.role) if row else None


def _limits(site: Site, now: datetime) -> tuple[datetime, datetime]:
    """Return before when a session may not have been opened, and before when it may not have been seen last."""
    web = site.settings.web
    return now - timedelta(hours=web.session_hours), now - timedelta(minutes=web.idle_minutes)


async def _user(connection: AsyncConnection, name: str, *, lock: bool = False) -> Row[Any] | None:
    wanted = select(tables.users).where(tables.users.c.name == name)
    return (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


async def _hash(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"A password has at least {SHORTEST} characters.")
    return await _in_thread(lambda: _hasher.hash(password))


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(15))


async def _nobody() -> str:
    """Return a hash that no password fits, so that an unknown name takes as long as a known one."""
    return await _in_thread(_hash_of_nobody)


async def _verify(hash: str, password: str) -> bool:
    def fits() -> bool:
        try:
            return _hasher.verify(hash, password[:LONGEST])
        except VerifyMismatchError:
            return False

    return await _in_thread(fits)
