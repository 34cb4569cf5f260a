"""The news that an agent's proposals on an encounter changed: for the agents that asked, by way of ``raw``."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import outbox
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import INTERNAL, digest
from hisbus_schemas import Assessed, Due

KIND = "proposals.changed"
ANNOUNCE = "announce"
"""Header of an assessment that somebody wants to hear of, should it change anything: how deep that news would be."""
DEEPEST = 2
"""What answers news of news is not told any further: two agents that answer each other come to an end."""


async def send(connection: AsyncConnection, site: Site, source: str, changes: Iterable[tuple[Assessed, int]]) -> None:
    """Append the news once this transaction has committed: of each assessment, with its depth."""
    await outbox.send(connection, *(_record(site, source, answer, depth) for answer, depth in changes))


def _record(site: Site, source: str, answer: Assessed, depth: int) -> NewRecord:
    id = digest("changed", answer.id)
    body = Due(agent=answer.agent, name="proposals", due=answer.now, encounter=answer.encounter, depth=depth)
    more = {"correlation": answer.encounter, "causation": answer.id, "message": id, "connector": INTERNAL, "kind": KIND}
    headers = site.headers(id=id, type=KIND, source=source, time=answer.now, **more)
    return NewRecord("raw", answer.key, body.model_dump_json().encode(), headers)
