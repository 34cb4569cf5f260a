"""Profiles as releases: what each connector's messages are and were read by, and who put it in.

A message's row in the ledger names the mapping that read it, which is the version of such a release. One is live for
each connector: that which the step reading its messages was started with.
"""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus_bus.kernel import audit, releases, tables
from hisbus_bus.kernel.releases import Release
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import logger
from hisbus_mapping import Mapping, read_table

POLL_S = 0.5
log = logger(step="translate")

SHIPPED = "shipped"
"""Where a profile comes from over which a site laid nothing."""

_table = tables.releases.c


def release_of(mapping: Mapping) -> Release:
    """Return what a connector's messages are read by: the mapping's name, and the text of the site's file.

    Raises:
        ConfigError: the file cannot be read any more.
    """
    over = mapping.files[1:]
    text = read_table(over[0])[0] if over else ""
    content = {"mapping": mapping.name, "over": text, "shipped": mapping.files[0].name}
    name = mapping.connector.name
    return Release("profile", name, mapping.name, json.dumps(content, sort_keys=True, ensure_ascii=False))


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
    source = str(mapping.files[1]) if len(mapping.files) > 1 else SHIPPED
    await releases.register(connection, release, author=author, made_from=source)
    now = datetime.now(UTC)  # `changed` says when one was put in last, not when it retired
    retires = (_table.id != release.id) & (_table.state == "live")
    await connection.execute(update(tables.releases).where(its, retires).values(state="retired"))
    await connection.execute(update(tables.releases).where(_table.id == release.id).values(state="live", changed=now))
    await audit.record(connection, actor=author, action="profile.put_in", object=release.name, release=release.id)


async def put_all_in(site: Site, mappings: Iterable[Mapping], *, author: str) -> None:
    """Keep what each connector's messages are read by from now on, once the database can be written."""
    while True:
        try:
            async with site.database.write() as connection:
                for mapping in mappings:
                    await put_in(connection, mapping, author=author)
        except RetryLater as error:
            log.warning("profiles wait", code=error.code)
            await asyncio.sleep(POLL_S)
        else:
            return


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
