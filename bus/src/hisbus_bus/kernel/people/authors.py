"""Who is to sign a draft: what users and the directory of staff say of a number, under whichever authority."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from hisbus_bus.kernel import tables

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Author:
    """Somebody by a staff number."""

    number: str
    name: str = ""
    """Empty: nobody has said it."""
    left: bool = False
    """All their users are disabled; or nobody is their user, and the directory that there is does not have them."""


async def authors(connection: "AsyncConnection", numbers: Collection[str]) -> Mapping[str, Author]:
    """Return who goes by these numbers."""
    wanted = sorted({*numbers} - {""})
    if not wanted:
        return {}
    held, users, staff = tables.staff_numbers.c, tables.users.c, tables.staff.c
    accounts = select(held.number, users.full_name, users.active).where(
        held.number.in_(wanted), users.name == held.user
    )
    rows = (await connection.execute(accounts.order_by(users.name))).all()
    listed = select(staff.number, staff.name, staff.left).where(staff.number.in_(wanted))
    people = (await connection.execute(listed.order_by(staff.left.is_not(None), staff.authority))).all()
    kept = await connection.scalar(select(exists().where(staff.left.is_(None))))
    found = {}
    for number in wanted:
        its = [row for row in rows if row.number == number]
        known = [row for row in people if row.number == number]
        names = [row.name for row in known] + [row.full_name for row in its]
        gone = not any(row.active for row in its) if its else kept and all(row.left for row in known)
        found[number] = Author(number, next(filter(None, names), ""), bool(gone))
    return found
