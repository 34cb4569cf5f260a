"""The directory of staff, which authorship, rounds and escalation go by: imported whole, from a file.

Who is no longer in it is marked as left, and a user whom it knew by that number is shut out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, and_, select, update

from hisbus.errors import Refused
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.people import users
from hisbus_bus.kernel.people.directory import Person
from hisbus_bus.kernel.people.errors import LastAdmin
from hisbus_bus.kernel.people.permissions import Object
from hisbus_bus.kernel.people.users import By

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Key = tuple[str, str]


class ChangedMeanwhile(Refused):
    """Users or staff were changed since this was shown. Nothing was imported: look at the changes again."""

    code = "changed"
    status = 409


@dataclass(slots=True)
class Plan:
    """What an import will change, as far as a person must know it."""

    new: list[Person] = field(default_factory=list)
    changed: list[tuple[Person, Person]] = field(default_factory=list)
    """Before and after."""
    back: list[Person] = field(default_factory=list)
    """Who had left."""
    gone: list[Person] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    """Who will be disabled."""
    present: int = 0
    """How many the directory has before it."""

    @property
    def nothing(self) -> bool:
        """Whether it changes nothing."""
        return not (self.new or self.changed or self.back or self.gone)


@dataclass(frozen=True, slots=True)
class Listed:
    """A member of staff as lists show them."""

    person: Person
    left: datetime | None
    users: Sequence[str]


async def plan(database: Database, people: Sequence[Person]) -> Plan:
    """Return what an import of these people will change.

    Gone is who has a number of an authority that the file names, and is not in it: a hospital with two authorities
    may keep two files.
    """
    async with database.read() as connection:
        return await _plan(connection, people, lock=False)


async def take(database: Database, people: Sequence[Person], shown: Plan, *, by: By = "command") -> None:
    """Import a directory, all of it or nothing, if it changes just what was shown.

    Raises:
        Refused: something changed meanwhile, or the last admin would be shut out; nothing was imported.
    """
    async with database.write() as connection:
        actor = await users.admitted(connection, by, "administer", Object("staff"))
        made = await _plan(connection, people, lock=True)
        if made != shown:
            raise ChangedMeanwhile
        if made.nothing:
            return
        await _store(connection, made)
        for name in made.users:
            try:
                await users.shut_out(connection, name, actor, reason="left")
            except LastAdmin as error:
                raise LastAdmin(
                    f"{name} is the last admin and is not in the file any more. Make another user an admin first;"
                    " nothing was imported."
                ) from error
        counts: dict[str, Any] = {name: len(getattr(made, name)) for name in ("new", "changed", "back", "gone")}
        await audit.record(connection, actor=actor, action="staff.imported", object="staff", **counts)


async def everybody(database: Database, *, left: bool = False) -> list[Listed]:
    """Return the directory by department and name; with ``left``, those who have left as well."""
    staff = tables.staff
    wanted = select(staff).order_by(staff.c.department, staff.c.name, staff.c.authority, staff.c.number)
    async with database.read() as connection:
        rows = (await connection.execute(wanted if left else wanted.where(staff.c.left.is_(None)))).all()
        holders = await _holders(connection)
    return [Listed(_person(row), row.left, holders.get((row.authority, row.number), ())) for row in rows]


async def _plan(connection: "AsyncConnection", people: Sequence[Person], *, lock: bool) -> Plan:
    wanted = select(tables.staff)
    rows = await connection.execute(wanted.with_for_update() if lock else wanted)
    known = {(row.authority, row.number): row for row in rows}
    made = Plan(present=sum(row.left is None for row in known.values()))
    for person in people:
        row = known.get(person.key)
        if row is None:
            made.new.append(person)
        elif row.left is not None:
            made.back.append(person)
        elif _person(row) != person:
            made.changed.append((_person(row), person))
    named, authorities = {person.key for person in people}, {person.authority for person in people}
    for key, row in sorted(known.items()):
        if row.left is None and row.authority in authorities and key not in named:
            made.gone.append(_person(row))
    gone = {person.key for person in made.gone}
    stays = named | {key for key, row in known.items() if row.left is None and key not in gone}
    made.users = await _leavers(connection, gone, stays)
    return made


async def _leavers(connection: "AsyncConnection", gone: set[Key], stays: set[Key]) -> list[str]:
    """Return the users who are known by a number that is gone, and by none that stays."""
    accounts, numbers = tables.users, tables.staff_numbers
    held: dict[str, set[Key]] = {}
    active = select(numbers).join(accounts, accounts.c.name == numbers.c.user).where(accounts.c.active)
    for row in await connection.execute(active):
        held.setdefault(row.user, set()).add((row.authority, row.number))
    return sorted(name for name, keys in held.items() if keys & gone and not keys & stays)


async def _store(connection: "AsyncConnection", made: Plan) -> None:
    staff = tables.staff
    if made.new:
        await connection.execute(staff.insert(), [_row(person) for person in made.new])
    after = [*made.back, *(person for _, person in made.changed)]
    for person in after:
        await _update(connection, person, **_row(person))
    now = datetime.now(UTC)
    for person in made.gone:
        await _update(connection, person, left=now)
    await _follow(connection, [*made.new, *after])


async def _update(connection: "AsyncConnection", person: Person, **values: Any) -> None:
    staff = tables.staff
    theirs = and_(staff.c.authority == person.authority, staff.c.number == person.number)
    await connection.execute(update(staff).where(theirs).values(**values))


async def _follow(connection: "AsyncConnection", people: Iterable[Person]) -> None:
    """Let users be called what the directory calls them."""
    holders = await _holders(connection)
    accounts = tables.users
    for person in people:
        for name in holders.get(person.key, ()):
            values = users.from_directory(person)
            await connection.execute(update(accounts).where(accounts.c.name == name).values(**values))


async def _holders(connection: "AsyncConnection") -> dict[Key, list[str]]:
    held: dict[Key, list[str]] = {}
    for row in await connection.execute(select(tables.staff_numbers)):
        held.setdefault((row.authority, row.number), []).append(row.user)
    return held


def _person(row: Row[Any]) -> Person:
    return Person(row.authority, row.number, row.name, row.department, row.title, row.head)


def _row(person: Person) -> dict[str, Any]:
    return {
        "authority": person.authority,
        "number": person.number,
        "name": person.name,
        "department": person.department,
        "title": person.title,
        "head": person.head,
        "left": None,
    }
