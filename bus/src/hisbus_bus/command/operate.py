"""Holding parts of a site and letting them go on, and what they say of themselves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller
from hisbus_bus.kernel import controls, migrations, signals
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import open_database

NEWEST = 50
"""Signals that are listed."""


async def ask(settings: Settings, targets: Sequence[str], wanted: controls.Wanted, reason: str) -> None:
    """Ask something of parts of the site; all or none.

    Raises:
        UnknownTarget: the site has no such part.
        RetryLater: the database is away.
    """
    for target in targets:
        controls.check(settings, target)
    async with _writing(settings) as connection:
        for target in targets:
            await controls.ask(connection, target, wanted, who=caller(), reason=reason)


async def show_controls(settings: Settings) -> None:
    """Print what was asked of which part, and what it does now."""
    async with _writing(settings) as connection:
        found = await controls.read(connection)
    table = table_of("target", "wanted", "now", "by", "changed", "reason")
    for one in found:
        when = one.changed.isoformat(timespec="seconds")
        table.add_row(one.target, one.wanted, one.now, one.who, when, one.reason)
    show(table)


async def show_signals(settings: Settings) -> None:
    """Print the newest changes of state."""
    async with _writing(settings) as connection:
        found = await signals.newest(connection, NEWEST)
    table = table_of("part", "kind", "detail", "since", "ended", "count")
    for one in found:
        ended = one.ended.isoformat(timespec="seconds") if one.ended else ""
        table.add_row(one.part, one.kind, one.detail, one.since.isoformat(timespec="seconds"), ended, str(one.count))
    show(table)


@asynccontextmanager
async def _writing(settings: Settings) -> AsyncIterator[AsyncConnection]:
    database = open_database(settings)
    try:
        await migrations.upgrade(database)
        async with database.write() as connection:
            yield connection
    finally:
        await database.close()
