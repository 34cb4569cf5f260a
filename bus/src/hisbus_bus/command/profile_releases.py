"""``hisbus profile releases`` and ``use``: what messages were read by, and one step back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hisbus.connector import Connector
from hisbus.errors import ConfigError
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller, with_database
from hisbus_bus.host.registry import connector_of, connectors
from hisbus_bus.kernel import profiles
from hisbus_mapping import Mapping, read_table

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database


def listed(connector: str) -> None:
    """Print what messages are and were read by."""
    table = table_of("connector", "name", "state", "put in", "by", "from", "messages")
    for row, messages in with_database(lambda database: _listed(database, connector)):
        when = row.changed.isoformat(timespec="minutes")
        table.add_row(row.name, row.version, row.state, when, row.author, row.made_from, str(messages))
    show(table)


def use(which: str, name: str) -> None:
    """Write a profile to the file that the connector's table names, once it compiles, and have the site read by it.

    Another connector that names the same file reads by it, too.

    Raises:
        ConfigError: the connector's table names no file, there is no such profile, or it does not compile.
    """
    connector = connector_of(chosen.settings, name)
    own = connector.over
    if own is None:
        raise ConfigError(
            f'Connector {connector.name!r} names no file to put it into. Add profile = "our-his.toml" to its table,'
            " with an empty file."
        )
    text = _text(which, connector.name)
    sharing = [one for one in connectors(chosen.settings) if one.over == own]
    try:
        after = [Mapping(one, text=text) for one in sharing]
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(own), which)) from error
    before = [made for one in sharing for made in _as_it_is(one)]
    with_database(lambda database: _put_in(database, before, after))
    try:
        trial = own.with_name(f".{own.name}.new")
        trial.write_text(text, encoding="utf-8")
        trial.replace(own)
    except OSError as error:
        raise ConfigError(
            f"The site reads by it now, but {own} cannot be written. Check its folder, and who may write there."
        ) from error
    for made in after:
        typer.echo(f"Connector {made.connector.name!r} reads by {made.name} now, and {own} says so.")
    typer.echo("What runs takes it up within two seconds. Then read what was stored with it:")
    for made in after:
        typer.echo(f"hisbus replay --connector {made.connector.name} --from TIME --dry-run")


def _as_it_is(connector: Connector) -> list[Mapping]:
    """Return what its file says now, so that there is a step back; what does not compile nobody can want back."""
    try:
        return [Mapping(connector)]
    except ConfigError:
        return []


def _text(which: str, connector: str) -> str:
    """Return the text of a file, or of a release by its name."""
    if Path(which).is_file():
        return read_table(Path(which))[0]
    known = with_database(lambda database: _listed(database, connector))
    for row, _ in known:
        if row.version == which:
            return profiles.over_of(row)
    names = ", ".join(dict.fromkeys(row.version for row, _ in known)) or "none"
    raise ConfigError(f"{which!r} is neither a file nor a profile that was put in. Those of {connector} are {names}.")


async def _listed(database: "Database", connector: str) -> list[tuple[Any, int]]:
    async with database.read() as connection:
        return await profiles.listed(connection, connector)


async def _put_in(database: "Database", before: "Sequence[Mapping]", after: "Sequence[Mapping]") -> None:
    """Keep what is in use, where the site was never started, and what is to be from now on."""
    async with database.write() as connection:
        for mapping in before:
            if not await profiles.listed(connection, mapping.connector.name):
                await profiles.put_in(connection, mapping, author=caller())
        for mapping in after:
            await profiles.put_in(connection, mapping, author=caller())
