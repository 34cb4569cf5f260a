"""The record of a wake whose time has come: bound for one agent, by way of ``raw``."""

import json
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
    """Of the encounter's latest message in ``raw``."""
    lanes: str = "[]"
    """Of all its messages, JSON. The wake passes one after the other, so that it comes behind everything stored."""


async def send(connection: AsyncConnection, site: Site, source: str, wakes: Iterable[Wake]) -> None:
    """Append wakes once this transaction has committed; ``source`` is the step that sends them."""
    await outbox.send(connection, *(_record(site, source, wake) for wake in wakes))


def _record(site: Site, source: str, wake: Wake) -> NewRecord:
    first, *rest = [*(key for key in json.loads(wake.lanes) if key != wake.key), wake.key]
    return on_its_way(
        site, source, first, Due(agent=wake.agent, name=wake.name, due=wake.due, encounter=wake.encounter, through=rest)
    )


def on_its_way(site: Site, source: str, key: str, due: Due) -> NewRecord:
    """Return the record of a wake behind what is stored under a key. Wherever it is, its id is the same."""
    id = digest("wake", due.agent, due.encounter, due.name, due.due.isoformat())
    more = {"correlation": due.encounter, "message": id, "connector": INTERNAL}
    headers = site.headers(id=id, type="timer.due", source=source, time=due.due, **more)
    return NewRecord("raw", key, due.model_dump_json().encode(), headers)
