"""Users: adding them, and every change of them. A change ends what the user had open, in its own transaction.

Administration takes the database alone, so it works while another process holds the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from hisbus.errors import Forbidden
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.people import passwords
from hisbus_bus.kernel.people.errors import (
    BadDetails,
    BadName,
    BadRole,
    LastAdmin,
    NameTaken,
    NumberTaken,
    OwnRole,
    UnknownNumber,
    UnknownUser,
)
from hisbus_bus.kernel.people.permissions import DEFAULT, ROLES, Action, Object, User, may, roles_that_may

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

By = User | str
"""Who changes something: a user, whom the table is asked about once more, or how the audit names a command's caller."""

LONGEST_NAME = 64
LONGEST_DETAIL = 200
_NEVER_IN_A_NAME = frozenset("/\\?#%")
"""A name stands in addresses."""


@dataclass(frozen=True, slots=True)
class Known:
    """A user as lists show them."""

    name: str
    role: str
    disabled: bool
    full_name: str
    department: str
    title: str
    numbers: Sequence[tuple[str, str]]
    """Staff numbers, each with its authority, as the HIS sends them."""
    sessions: int
    tokens: int
    """That still work."""
    locked_until: datetime | None = None
    """After too many wrong passwords; None: not locked now."""


async def acting(connection: "AsyncConnection", name: str, *, lock: bool = False) -> User | None:
    """Return a user as the table has them now; None: there is none, or they are disabled.

    ``lock`` keeps it so until the transaction ends.
    """
    users = tables.users
    wanted = select(users.c.name, users.c.role).where(users.c.name == name, users.c.active)
    row = (await connection.execute(wanted.with_for_update(read=True) if lock else wanted)).one_or_none()
    return await of_staff(connection, User(row.name, row.role)) if row else None


async def of_staff(connection: "AsyncConnection", user: User) -> User:
    """Return a user with their staff numbers, under whichever authority, and the departments that they head."""
    held, staff = tables.staff_numbers, tables.staff
    same = (staff.c.authority == held.c.authority) & (staff.c.number == held.c.number) & staff.c.left.is_(None)
    wanted = select(held.c.number, staff.c.department, staff.c.head).select_from(held.outerjoin(staff, same))
    rows = (await connection.execute(wanted.where(held.c.user == user.name))).all()
    heads = frozenset(row.department for row in rows if row.head and row.department)
    return replace(user, numbers=frozenset(row.number for row in rows), heads=heads)


async def once_known(connection: "AsyncConnection", name: str) -> User | None:
    """Return a user as the table has them, disabled or not: for what they did before."""
    users = tables.users
    row = (await connection.execute(select(users.c.name, users.c.role).where(users.c.name == name))).one_or_none()
    return User(row.name, row.role) if row else None


async def admitted(connection: "AsyncConnection", by: By, action: Action, object: Object) -> str:
    """Return how the audit names who changes something.

    Raises:
        Forbidden: as the table has it now, they may not.
    """
    if isinstance(by, str):
        return by
    if not may(await acting(connection, by.name), action, object):
        own = action == "give_role" and object.name == by.name and may(by, "administer")
        raise OwnRole if own else Forbidden("Only an admin may do this.")
    return f"user:{by.name}"


async def add(
    database: Database, name: str, role: str = "", password: str | None = None, *, by: By = "command"
) -> str | None:
    """Add a user. Without a password one is made and returned, once; without a role it is ``DEFAULT``.

    Raises:
        Refused: the name is taken or cannot be one, there is no such role, or the password is too short.
    """
    role = role or DEFAULT
    if role not in ROLES:
        raise BadRole
    if not _is_name(name):
        raise BadName
    made = None if password is not None else passwords.made()
    hash = await passwords.hashed(made or password or "")
    try:
        async with database.write() as connection:
            actor = await admitted(connection, by, "administer", Object("user", name))
            others = await connection.scalars(select(tables.users.c.name))
            if name.casefold() in {other.casefold() for other in others}:
                raise NameTaken  # who logs in, and whom the audit names, must not be two that people read as one
            row = {"name": name, "role": role, "password": hash, "active": True, "failures": 0}
            await connection.execute(tables.users.insert(), row)
            await audit.record(connection, actor=actor, action="user.added", object=name, role=role)
    except IntegrityError as error:
        raise NameTaken from error
    return made


async def change_role(database: Database, name: str, role: str, *, by: By = "command") -> None:
    """Give a user another role, and end their log-ins and tokens. Nobody changes their own.

    Raises:
        Refused: there is no such user or role, they are the last admin, or it is one's own.
    """
    if role not in ROLES:
        raise BadRole
    async with database.write() as connection:
        actor = await admitted(connection, by, "give_role", Object("user", name))
        if role not in roles_that_may("administer"):
            await _not_the_last(connection, name)
        before = await _locked(connection, name)
        await _set(connection, name, {"role": role})
        await _end(connection, name, actor, "user.role_changed", before=before.role, after=role)


async def change_password(
    database: Database, name: str, password: str | None = None, *, by: By = "command"
) -> str | None:
    """Give a user another password, end their log-ins and tokens, and lift a lock.

    Without a password one is made and returned, once.

    Raises:
        Refused: there is no such user, or the password is too short.
    """
    made = None if password is not None else passwords.made()
    values = {"password": await passwords.hashed(made or password or ""), "failures": 0, "locked_until": None}
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await _locked(connection, name)
        await _set(connection, name, values)
        await _end(connection, name, actor, "user.password_changed")
    return made


async def disable(database: Database, name: str, *, by: By = "command") -> None:
    """Shut a user out at once: log-ins end and tokens stop working. The name stays taken.

    Raises:
        Refused: there is no such user, or they are the last admin.
    """
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await shut_out(connection, name, actor)


async def shut_out(connection: "AsyncConnection", name: str, actor: str, **detail: Any) -> None:
    """Disable a user in the caller's transaction. Raises as ``disable`` does."""
    await _not_the_last(connection, name)
    await _locked(connection, name)
    await _set(connection, name, {"active": False})
    await _end(connection, name, actor, "user.disabled", **detail)


async def enable(database: Database, name: str, *, by: By = "command") -> None:
    """Let a user in again, with the same password; log-ins and tokens that were ended stay so.

    Raises:
        UnknownUser: there is no such user.
    """
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await _locked(connection, name)
        await _set(connection, name, {"active": True, "failures": 0, "locked_until": None})
        await audit.record(connection, actor=actor, action="user.enabled", object=name)


async def end_sessions(database: Database, name: str, *, by: By = "command") -> int:
    """End a user's log-ins and return how many there were. Their tokens go on.

    Raises:
        UnknownUser: there is no such user.
    """
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await _locked(connection, name)
        ended = await connection.execute(delete(tables.sessions).where(tables.sessions.c.user == name))
        await audit.record(connection, actor=actor, action="user.sessions_ended", object=name, sessions=ended.rowcount)
    return ended.rowcount


async def describe(
    database: Database, name: str, *, full_name: str, department: str, title: str, by: By = "command"
) -> None:
    """Say who a user is. What they may do, and what they have open, stays.

    Raises:
        Refused: there is no such user, or a text is too long.
    """
    values = {"full_name": full_name.strip(), "department": department.strip(), "title": title.strip()}
    _short(*values.values())
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await _locked(connection, name)
        await _set(connection, name, values)
        await audit.record(connection, actor=actor, action="user.described", object=name, **values)


async def add_number(database: Database, name: str, number: str, authority: str = "", *, by: By = "command") -> None:
    """Note a staff number of a user, as the HIS sends it. What the directory says of it becomes the user's.

    Raises:
        Refused: there is no such user, the number is another's, or it cannot be one.
    """
    number, authority = number.strip(), authority.strip()
    _short(number, authority)
    if not number:
        raise BadDetails("A staff number is not empty.")
    staff = tables.staff
    try:
        async with database.write() as connection:
            actor = await admitted(connection, by, "administer", Object("user", name))
            await _locked(connection, name)
            row = {"authority": authority, "number": number, "user": name}
            await connection.execute(tables.staff_numbers.insert(), row)
            listed = select(staff).where(staff.c.authority == authority, staff.c.number == number)
            directory = (await connection.execute(listed)).one_or_none()
            if directory is not None:
                await _set(connection, name, from_directory(directory))
            await audit.record(
                connection, actor=actor, action="user.number_added", object=name, number=number, authority=authority
            )
    except IntegrityError as error:
        raise NumberTaken from error


async def remove_number(database: Database, name: str, number: str, authority: str = "", *, by: By = "command") -> None:
    """Take a staff number from a user.

    Raises:
        Refused: there is no such user, or it is not theirs.
    """
    numbers = tables.staff_numbers
    theirs = (numbers.c.user == name, numbers.c.number == number.strip(), numbers.c.authority == authority.strip())
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        await _locked(connection, name)
        if not (await connection.execute(delete(numbers).where(*theirs))).rowcount:
            raise UnknownNumber
        await audit.record(
            connection, actor=actor, action="user.number_removed", object=name, number=number, authority=authority
        )


def from_directory(row: Any) -> dict[str, str]:
    """Return what the directory of staff says of a user, under the names that the table of users has for it."""
    return {"full_name": row.name, "department": row.department, "title": row.title}


async def listed(database: Database, *, name: str | None = None, after: str = "", limit: int = -1) -> list[Known]:
    """Return users by name: all, one, or so many after a name."""
    users, sessions, tokens, numbers = tables.users, tables.sessions, tables.tokens, tables.staff_numbers
    wanted = select(users).where(users.c.name > after).order_by(users.c.name)
    wanted = wanted.where(users.c.name == name) if name is not None else wanted
    wanted = wanted.limit(limit) if limit >= 0 else wanted
    now = datetime.now(UTC)
    works = (tokens.c.revoked.is_(None), tokens.c.until > now)
    async with database.read() as connection:
        rows = (await connection.execute(wanted)).all()
        names = [row.name for row in rows]
        opened = await _counts(connection, sessions, names)
        working = await _counts(connection, tokens, names, *works)
        theirs: dict[str, list[tuple[str, str]]] = {}
        held = select(numbers).where(numbers.c.user.in_(names)).order_by(numbers.c.authority, numbers.c.number)
        for row in await connection.execute(held):
            theirs.setdefault(row.user, []).append((row.authority, row.number))
    return [
        Known(
            name=row.name,
            role=row.role,
            disabled=not row.active,
            full_name=row.full_name,
            department=row.department,
            title=row.title,
            numbers=theirs.get(row.name, ()),
            sessions=opened.get(row.name, 0),
            tokens=working.get(row.name, 0),
            locked_until=row.locked_until if row.locked_until is not None and row.locked_until > now else None,
        )
        for row in rows
    ]


async def one(database: Database, name: str) -> Known:
    """Return a user. Raises UnknownUser."""
    found = await listed(database, name=name)
    if not found:
        raise UnknownUser
    return found[0]


async def _counts(connection: "AsyncConnection", table: Any, names: Sequence[str], *more: Any) -> dict[str, int]:
    counted = select(table.c.user, func.count()).where(table.c.user.in_(names), *more).group_by(table.c.user)
    return {name: count for name, count in await connection.execute(counted)}


async def _locked(connection: "AsyncConnection", name: str) -> Row[Any]:
    row = (
        await connection.execute(select(tables.users).where(tables.users.c.name == name).with_for_update())
    ).one_or_none()
    if row is None:
        raise UnknownUser
    return row


async def _set(connection: "AsyncConnection", name: str, values: Mapping[str, Any]) -> None:
    await connection.execute(update(tables.users).where(tables.users.c.name == name).values(**values))


async def _not_the_last(connection: "AsyncConnection", name: str) -> None:
    """Refuse to lose the last admin. All of them are locked, so of two who shut each other out one is refused."""
    users = tables.users
    roles = roles_that_may("administer")
    wanted = select(users.c.name).where(users.c.role.in_(roles), users.c.active).order_by(users.c.name)
    if list(await connection.scalars(wanted.with_for_update())) == [name]:
        raise LastAdmin


async def _end(connection: "AsyncConnection", name: str, actor: str, action: str, **detail: Any) -> None:
    """End what a user has open, and write down why."""
    sessions, tokens = tables.sessions, tables.tokens
    ended = await connection.execute(delete(sessions).where(sessions.c.user == name))
    works = (tokens.c.user == name, tokens.c.revoked.is_(None))
    revoked = await connection.execute(update(tokens).where(*works).values(revoked=datetime.now(UTC)))
    await audit.record(
        connection,
        actor=actor,
        action=action,
        object=name,
        sessions=ended.rowcount,
        tokens=revoked.rowcount,
        **detail,
    )


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and name == name.strip()
        and name.strip(".") != ""
        and not _NEVER_IN_A_NAME & set(name)
    )


def _short(*texts: str) -> None:
    if not all(len(text) <= LONGEST_DETAIL and text.isprintable() for text in texts):
        raise BadDetails
