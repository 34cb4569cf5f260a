"""Every view of patient data leaves a row in the audit, written before the data is handed out."""

from typing import Any

from hisbus_bus.kernel import audit
from hisbus_bus.kernel.site import Site


async def viewed(site: Site, actor: str, action: str, object: str = "", *, encounter: str = "", **detail: Any) -> None:
    """Audit a view. Details name what was asked, never whom it is about.

    Raises:
        RetryLater: the row could not be written; nothing may be shown.
    """
    async with site.database.write() as connection:
        await audit.record(connection, actor=actor, action=action, object=object, encounter=encounter, **detail)
