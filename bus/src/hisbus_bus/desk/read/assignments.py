"""A person gives a message to a stay, or takes it back."""

from hisbus_bus.desk.problems import Problem
from hisbus_bus.desk.read import messages as ledger
from hisbus_bus.desk.read.messages import Copy
from hisbus_bus.desk.security import actor
from hisbus_bus.kernel import assigned, charts
from hisbus_bus.kernel.assigned import UnknownStay
from hisbus_bus.kernel.people import User
from hisbus_bus.kernel.site import Site


class SeveralStays(UnknownStay):
    """Several stays have this visit number. Choose one of those that are shown, or name it in the API by its id."""

    code = "several_stays"
    status = 409


async def assign(site: Site, user: User, id: str, encounter: str, *, force: bool = False) -> Copy:
    """Give the message of a copy to a stay; to none takes it back. Raises what ``assigned.assign`` raises.

    Raises:
        Problem: there is no such message.
    """
    copy = await ledger.find(site, id)
    if copy is None:
        raise Problem("not_found")
    key = await ledger.key_of(site, id)
    async with site.database.write() as connection:
        await assigned.assign(connection, site, copy.message, encounter, key=key, who=actor(user), force=force)
    return copy


async def stay_of(site: Site, visit: str) -> str:
    """Return the only stay of a visit number.

    Raises:
        UnknownStay: there is none.
        SeveralStays: there are several.
    """
    async with site.database.read() as connection:
        found = await charts.find(connection, visit=visit)
    if len(found) > 1:
        raise SeveralStays
    if not found:
        raise UnknownStay
    return found[0]
