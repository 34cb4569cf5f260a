"""Every view of patient data leaves a row in the audit, written before the data is handed out."""

from collections.abc import Collection
from typing import Any

from hisbus_bus.kernel import audit
from hisbus_bus.kernel.site import Site


async def message_viewed(
    site: Site, actor: str, id: str, encounters: Collection[str], offered: Collection[str] = ()
) -> None:
    """Audit the view of a message: one row for each stay that it is about, or one of no stay.

    Args:
        site: whose.
        actor: who looked.
        id: of the copy.
        encounters: the stays that hold its events.
        offered: stays of its patients that were shown beside it.

    Raises:
        RetryLater: the rows could not be written; nothing may be shown.
    """
    more = {"offered": sorted(offered)} if offered else {}
    async with site.database.write() as connection:
        for encounter in sorted(encounters) or [""]:
            await audit.record(connection, actor=actor, action="message.viewed", object=id, encounter=encounter, **more)


async def viewed(site: Site, actor: str, action: str, object: str = "", *, encounter: str = "", **detail: Any) -> None:
    """Audit a view. Details name what was asked, never whom it is about.

    Raises:
        RetryLater: the row could not be written; nothing may be shown.
    """
    async with site.database.write() as connection:
        await audit.record(connection, actor=actor, action=action, object=object, encounter=encounter, **detail)
