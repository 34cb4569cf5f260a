"""The record of a wake whose time has come: bound for one agent, by way of ``raw``."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus import outbox
from hisbus.site import Site
from hisbus.topics import digest
from hisbus_schemas import Due


async def send(
    connection: AsyncConnection,
    site: Site,
    *,
    source: str,
    agent: str,
    encounter: str,
    name: str,
    due: datetime,
    key: str,
) -> None:
    """Append a wake once this transaction has committed.

    Args:
        source: the step that sends it.
        key: of the encounter's latest message in ``raw``, so that it comes behind everything already stored.
    """
    id = digest("wake", agent, encounter, name, due.isoformat())
    body = Due(agent=agent, name=name, due=due, encounter=encounter)
    headers = site.headers(
        id=id, type="timer.due", source=source, time=due, correlation=encounter, message=id, connector="hisbus"
    )
    await outbox.send(connection, "raw", key, body.model_dump_json().encode(), headers)
