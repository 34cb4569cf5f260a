"""The record of a wake whose time has come: bound for one agent, by way of ``raw``."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import outbox
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import INTERNAL, digest
from hisbus_schemas import Due


class Wake(NamedTuple):
    """A wake whose time has come."""

    agent: str
    encounter: str
    name: str
    due: datetime
    key: str
    """Of the encounter's latest message in ``raw``, so that the wake comes behind everything already stored."""


async def send(connection: AsyncConnection, site: Site, source: str, wakes: Iterable[Wake]) -> None:
    """Append wakes once this transaction has committed; ``source`` is the step that sends them."""
    await outbox.send(connection, *(_record(site, source, wake) for wake in wakes))


def _record(site: Site, source: str, wake: Wake) -> NewRecord:
    id = digest("wake", wake.agent, wake.encounter, wake.name, wake.due.isoformat())
    body = Due(agent=wake.agent, name=wake.name, due=wake.due, encounter=wake.encounter)
    more = {"correlation": wake.encounter, "message": id, "connector": INTERNAL}
    headers = site.headers(id=id, type="timer.due", source=source, time=wake.due, **more)
    return NewRecord("raw", wake.key, body.model_dump_json().encode(), headers)
