"""``hisbus parked`` and ``hisbus replay ID``: what was set aside, and what is appended to its step's input again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import ConfigError
from hisbus_bus.command import printed
from hisbus_bus.command.written import caller
from hisbus_bus.kernel import audit, parked, tables
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import open_database

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database
    from hisbus_bus.lab import refused

PATIENCE_S = 10.0
"""So long what is accepted now is given to be read, before the command ends."""

out = Console(highlight=False, markup=False, soft_wrap=True)

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


async def again(settings: Settings, ids: Sequence[str], *, everything: bool, force: bool) -> bool:
    """Append parked items to their step's input again: those named, or all of them. Say in a line what became of each.

    A message that was refused when it arrived is judged anew, and appended if it is accepted now.

    Args:
        settings: the configuration.
        ids: of parked rows.
        everything: all that is parked.
        force: also where the sender has since stored another message under the same control id.

    Returns:
        Whether all were appended.

    Raises:
        ConfigError: some are not parked (any more), or there is no secret; the others are appended all the same.
    """
    from hisbus_bus.lab import refused

    database = open_database(settings)
    sent: list[refused.Replayed] = []
    missing: list[str] = []
    overtaken = False
    known: list[refused.Judge] = []

    async def judge(connection: AsyncConnection) -> refused.Judge:
        if not known:
            known.append(await _judge(settings, connection))
        return known[0]

    try:
        wanted = [row.id for row in await _rows(settings)] if everything else dict.fromkeys(ids)
        for id in wanted:
            try:
                sent.append(await _replayed(database, judge, id, force=force))
            except parked.NotParked:
                missing.append(id)
            except refused.Overtaken as error:
                overtaken = True
                said = f"its sender has since stored message {error.since} under the same control id"
                out.print(f"{id}: not read: {said}. Add --force to read this one, too.")
        still = await _tell(database, sent)
    finally:
        await database.close()
    if missing:
        raise ConfigError(f"Not parked (any more): {', '.join(missing)}. `hisbus parked` lists what is.")
    return not (overtaken or still)


async def _replayed(
    database: "Database",
    judge: "refused.Judging",
    id: str,
    *,
    force: bool,
) -> "refused.Replayed":
    from hisbus_bus.lab import refused

    async with database.write() as connection:
        one = await refused.replay(connection, judge, id, force=force)
        action, code = ("parked.examined", {"code": one.refused}) if one.refused else ("parked.replayed", {})
        await audit.record(connection, actor=caller(), action=action, object=id, **code)
    return one


async def _judge(settings: Settings, connection: AsyncConnection) -> "refused.Judge":
    """Return what messages are judged with: the profiles that are live."""
    from hisbus_bus.host.registry import connectors, mappings
    from hisbus_bus.kernel.live import Live
    from hisbus_bus.kernel.site import load_secret
    from hisbus_bus.kernel.topics import Keys
    from hisbus_bus.lab import refused

    made = Live(mappings(connectors(settings)))
    await made.follow(connection)
    return refused.Judge(Keys(load_secret(settings)), made)


async def _tell(database: "Database", sent: "Sequence[refused.Replayed]") -> bool:
    """Say what became of each. Return whether some are refused still, or were set aside again."""
    from hisbus_bus.lab import refused

    anew = [one for one in sent if not one.refused and refused.is_refused(one.row)]
    became = await refused.became(database, anew, PATIENCE_S)
    for one in sent:
        id = one.row.id
        if one.refused:
            out.print(f"{id}: refused still: {one.refused}.{hint(one.refused)}")
        elif id in became:
            out.print(f"{id}: {_words(became[id])}")
        else:
            out.print(f"{id}: appended to the input of {one.row.step} again.")
    return any(one.refused for one in sent) or any(one.status == "parked" for one in became.values())


def _words(became: "refused.Became") -> str:
    if became.status == "waiting":
        return "accepted. It waits to be read: `hisbus up` does that."
    if became.status == "parked":
        return f"accepted here, and set aside again by the bus that runs: {became.said}. Has it these settings?"
    if became.events is None:
        return f"accepted and read ({became.said})."
    return f"accepted and read ({became.said}): {became.events} events."


def hint(code: str) -> str:
    """Return what is to be done about a message that is refused still, as a sentence behind another."""
    if code == "too_large":
        return " Only its first 64 KiB were kept. Raise max_mb, and let the sender repeat it."
    return ""
