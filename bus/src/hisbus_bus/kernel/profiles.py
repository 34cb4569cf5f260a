"""Profiles as releases: what each connector's messages are and were read by, and who put it in.

A message's row in the ledger names the mapping that read it, which is the version of such a release. One is live for
each connector, in all processes; ``live`` has them take up another.
"""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.kernel import audit, releases, tables
from hisbus_bus.kernel.releases import Release
from hisbus_mapping import Mapping

SHIPPED = "shipped"
"""Where a profile comes from over which a site laid nothing."""

_table = tables.releases.c


def release_of(mapping: Mapping) -> Release:
    """Return what a connector's messages are read by: the mapping's name, and the text of the site's file."""
    connector = mapping.connector
    content = {"mapping": mapping.name, "over": mapping.over, "shipped": connector.profile.name}
    return Release("profile", connector.name, mapping.name, json.dumps(content, sort_keys=True, ensure_ascii=False))


def over_of(row: Any) -> str:
    """Return the text of the site's file of a stored release; empty: what ships was as it is."""
    text: str = json.loads(row.content)["over"]
    return text


async def put_in(connection: AsyncConnection, mapping: Mapping, *, author: str) -> None:
    """Keep what a connector's messages are read by from now on; the one before it retires. Done twice it does no harm.

    Args:
        connection: of a transaction that writes.
        mapping: what they are read by.
        author: who put it in, as the audit names actors; who did so first is kept.
    """
    release = release_of(mapping)
    its = (_table.kind == "profile") & (_table.name == release.name)
    live = (await connection.scalars(select(_table.id).where(its, _table.state == "live"))).all()
    if list(live) == [release.id]:
        return
    source = str(mapping.file or SHIPPED)
    await releases.register(connection, release, author=author, made_from=source)
    now = datetime.now(UTC)  # `changed` says when one was put in last, not when it retired
    retires = (_table.id != release.id) & (_table.state == "live")
    await connection.execute(update(tables.releases).where(its, retires).values(state="retired"))
    await connection.execute(update(tables.releases).where(_table.id == release.id).values(state="live", changed=now))
    await audit.record(connection, actor=author, action="profile.put_in", object=release.name, release=release.id)


async def listed(connection: AsyncConnection, connector: str = "") -> list[tuple[Any, int]]:
    """Return the profiles of connectors, the one that was put in last first, with how many messages each has read."""
    row = tables.messages.c
    counted = select(row.connector, row.mapping, func.count().label("number")).where(row.first, row.mapping != "")
    rows = await connection.execute(counted.group_by(row.connector, row.mapping))
    read = {(one.connector, one.mapping): one.number for one in rows}
    query = select(tables.releases).where(_table.kind == "profile").order_by(_table.name, _table.changed.desc())
    if connector:
        query = query.where(_table.name == connector)
    return [(one, read.get((one.name, one.version), 0)) for one in await connection.execute(query)]
