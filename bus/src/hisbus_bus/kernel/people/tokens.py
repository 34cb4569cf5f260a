"""Bearer tokens: how a program speaks for a user. Each has a purpose and an end; a user may have several."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.people.errors import BadDetails, BadLife, Disabled, UnknownToken, UnknownUser
from hisbus_bus.kernel.people.passwords import digest
from hisbus_bus.kernel.people.permissions import Object, User
from hisbus_bus.kernel.people.users import LONGEST_DETAIL, By, admitted
from hisbus_bus.kernel.site import Site

DAYS = 365
"""How long a token lives where nobody says otherwise."""
MOST_DAYS = 3650
TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as lists show it: its id, never the token itself."""

    id: str
    purpose: str
    created: datetime
    until: datetime
    revoked: datetime | None
    used: datetime | None
    """When it was last used, to the minute; None: never."""
    works: bool


async def token(database: Database, name: str, *, days: int = DAYS, purpose: str = "", by: By = "command") -> str:
    """Make a token and return it, once. Others of the user go on.

    Args:
        database: the site's.
        name: of the user.
        days: how long it works.
        purpose: what it is for, as lists show it.
        by: who makes it.

    Raises:
        Refused: there is no such user, they are disabled, or it would live too long.
    """
    if not 1 <= days <= MOST_DAYS:
        raise BadLife
    if len(purpose) > LONGEST_DETAIL or not purpose.isprintable():
        raise BadDetails
    made, id, now, users = secrets.token_urlsafe(32), secrets.token_hex(4), datetime.now(UTC), tables.users
    until = now + timedelta(days=days)
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        # Locked: whoever disables the user at this moment revokes this token as well.
        active = await connection.scalar(select(users.c.active).where(users.c.name == name).with_for_update())
        if active is None:
            raise UnknownUser
        if not active:
            raise Disabled
        row = {"id": id, "hash": digest(made), "user": name, "purpose": purpose, "created": now, "until": until}
        await connection.execute(tables.tokens.insert(), row)
        await audit.record(
            connection, actor=actor, action="user.token_made", object=name, token=id, until=until.isoformat()
        )
    return made


async def revoke(database: Database, name: str, id: str, *, by: By = "command") -> None:
    """End a token at once.

    Raises:
        Refused: the user has no such token, or it does not work any more.
    """
    tokens, now = tables.tokens, datetime.now(UTC)
    wanted = (tokens.c.id == id, tokens.c.user == name, tokens.c.revoked.is_(None), tokens.c.until > now)
    async with database.write() as connection:
        actor = await admitted(connection, by, "administer", Object("user", name))
        if not (await connection.execute(update(tokens).where(*wanted).values(revoked=now))).rowcount:
            raise UnknownToken
        await audit.record(connection, actor=actor, action="user.token_revoked", object=name, token=id)


async def tokens_of(database: Database, name: str) -> Sequence[Token]:
    """Return a user's tokens, the newest first. Raises UnknownUser."""
    tokens, users, now = tables.tokens, tables.users, datetime.now(UTC)
    wanted = select(tokens).where(tokens.c.user == name).order_by(tokens.c.created.desc(), tokens.c.id)
    async with database.read() as connection:
        if await connection.scalar(select(users.c.name).where(users.c.name == name)) is None:
            raise UnknownUser
        rows = (await connection.execute(wanted)).all()
    return [
        Token(
            row.id, row.purpose, row.created, row.until, row.revoked, row.used, row.revoked is None and row.until > now
        )
        for row in rows
    ]


async def of_token(site: Site, token: str) -> User | None:
    """Return whose bearer token it is; None where it does not work (any more). Notes at most once a minute its use."""
    users, tokens, now = tables.users, tables.tokens, datetime.now(UTC)
    wanted = (
        select(users.c.name, users.c.role, tokens.c.id, tokens.c.used)
        .join(users, users.c.name == tokens.c.user)
        .where(tokens.c.hash == digest(token), users.c.active, tokens.c.revoked.is_(None), tokens.c.until > now)
    )
    async with site.database.read() as connection:
        row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        return None
    if row.used is None or now - row.used > TOUCH_AFTER:
        async with site.database.write() as connection:
            await connection.execute(update(tokens).where(tokens.c.id == row.id).values(used=now))
    return User(row.name, row.role)
