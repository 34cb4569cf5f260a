"""``hisbus parked`` and ``hisbus replay ID``: what was set aside, and what is appended to its step's input again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from hisbus.errors import ConfigError
from hisbus_bus.command import printed
from hisbus_bus.command.written import caller
from hisbus_bus.kernel import audit, parked, tables
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import open_database

_STILL = tables.parked.c.status == "parked"


async def show(settings: Settings) -> None:
    """Print what is parked, with its reason."""
    table = printed.table_of("id", "step", "reason", "parked", "attempts", "bytes")
    for row in await _rows(settings):
        when = row.parked.isoformat(timespec="seconds")
        table.add_row(row.id, row.step, row.reason, when, str(row.attempts), str(len(row.value)))
    printed.show(table)


async def _rows(settings: Settings) -> Sequence[Any]:
    database = open_database(settings)
    try:
        async with database.read() as connection:
            wanted = select(tables.parked).where(_STILL).order_by(tables.parked.c.parked)
            return (await connection.execute(wanted)).all()
    finally:
        await database.close()


async def again(settings: Settings, ids: Sequence[str], *, everything: bool) -> None:
    """Append parked items to their step's input again: those named, or all of them.

    Raises:
        ConfigError: some are not parked (any more); the others are appended all the same.
    """
    database = open_database(settings)
    try:
        async with database.write() as connection:
            wanted = list(ids)
            if everything:
                still = select(tables.parked.c.id).where(_STILL)
                wanted = list(await connection.scalars(still.order_by(tables.parked.c.parked)))
            missing = [id for id in wanted if not await parked.replay(connection, id)]
            for id in set(wanted) - set(missing):
                await audit.record(connection, actor=caller(), action="parked.replayed", object=id)
    finally:
        await database.close()
    if missing:
        raise ConfigError(f"Not parked (any more): {', '.join(missing)}. `hisbus parked` lists what is.")
