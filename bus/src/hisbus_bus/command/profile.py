"""``hisbus profile``: what profiles read of messages, and what they leave."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hisbus_bus.command.chosen import chosen, run_orderly
from hisbus_bus.command.chosen import run as run_to_end
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import with_database

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database
    from hisbus_bus.lab.gaps import Looked
    from hisbus_mapping import Mapping

SHOWN = 50
"""Fields of a connector that are printed; the others are counted."""

commands = typer.Typer(no_args_is_help=True, help="Profiles: what they read of messages, and what they leave.")
ProfileFile = Annotated[Path, typer.Argument(metavar="PROFILE", help="A site's file (TOML), laid over what ships.")]
Connector = Annotated[str, typer.Option(help="Whose messages they are, where there are several.")]


@commands.command(name="check")
def check_profile(profile: ProfileFile, connector: Connector = "") -> None:
    """Name every mistake in a profile with file and line; say what it changes and what is doubtful."""
    from hisbus_bus.command.profile_check import check

    if not check(chosen.settings, profile, connector):
        raise typer.Exit(1)


@commands.command(name="try")
def try_profile(
    profile: ProfileFile,
    captures: Annotated[list[Path], typer.Argument(metavar="CAPTURE", help="Files of messages, in their order.")],
    connector: Connector = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Also what the messages say: names, numbers, texts.")
    ] = False,
) -> None:
    """Read a capture with a profile, beside the site: what comes out, and what would change. Nothing is written."""
    from hisbus_bus.command.profile_try import show as show_tried
    from hisbus_bus.command.profile_try import tried

    found = run_orderly(tried(chosen.settings, profile, captures, connector))
    show_tried(found, as_json=as_json, values=show_values)


@commands.command(name="gaps")
def find_gaps(
    which: Annotated[str, typer.Argument(metavar="CONNECTOR|PROFILE", help="A connector's name, or a site's file.")],
    capture: Annotated[Path | None, typer.Argument(help="A file of messages. Default: those that are stored.")] = None,
    connector: Annotated[str, typer.Option(help="Whose messages they are, where the file is no connector's.")] = "",
    begin: Annotated[str, typer.Option("--from", help="Stored messages from this time on (ISO 8601).")] = "",
) -> None:
    """Say what of the event contract a profile lacks, and what of its messages it leaves. Fields, never a value."""
    from hisbus_bus.lab import gaps

    mapping = _mapping(which, connector)
    found = gaps.captured(mapping, capture) if capture is not None else run_to_end(_stored(mapping, begin))
    _say_gaps(found, mapping)


@commands.command(name="losses")
def show_losses(connector: Annotated[str, typer.Argument(help="Whose messages. Default: of all.")] = "") -> None:
    """Add up what was taken and what was left of the newest messages, by connector and field."""
    from hisbus_bus.desk.read import losses

    async def added_up(database: "Database") -> "losses.Totals":
        return await losses.totals(database, connector)

    found = with_database(added_up)
    if found.since is None:
        typer.echo("No message was read yet.")
        return
    typer.echo(f"{found.messages} messages, back to {found.since.isoformat(timespec='minutes')}.")
    for one in found.connectors:
        told = f"{one.read} of {one.values} values were read, {one.collided} entries told apart by their ordinal"
        typer.echo(f"{one.name}: {one.messages} messages; {told}.")
    table = table_of("connector", "field", "messages", "values left")
    for one in found.connectors:
        for place, messages, values in one.places[:SHOWN]:
            table.add_row(one.name, place, str(messages), str(values))
        if len(one.left) > SHOWN:
            table.add_row(one.name, f"and {len(one.left) - SHOWN} more", "", "")
    show(table)


def _mapping(which: str, connector: str) -> "Mapping":
    """Return the mapping of a connector of the configuration, or that of a site's file over a connector's.

    Raises:
        ConfigError: there is no such connector or file, it is wrong, or it must be said whose messages they are.
    """
    from hisbus.errors import ConfigError
    from hisbus_bus.host import registry
    from hisbus_mapping import Mapping

    known = {one.name: one for one in registry.connectors(chosen.settings)}
    if which in known:
        return Mapping(known[which])
    if not Path(which).is_file():
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"{which!r} is neither a connector nor a profile's file. The connectors are {names}.")
    return Mapping(registry.connector_of(chosen.settings, connector), Path(which))


async def _stored(mapping: "Mapping", begin: str) -> "Looked":
    from hisbus_bus.lab import gaps
    from hisbus_bus.lab.replay import instant, opened

    since = instant(begin or "1970-01-01", mapping.connector.timezone)
    async with opened(chosen.settings) as site:
        return await gaps.stored(site, mapping, since)


def _say_gaps(found: "Looked", mapping: "Mapping") -> None:
    from hisbus_bus.lab.gaps import both_kinds

    typer.echo(f"{found.gaps.messages} messages were read.")
    for what, codes in (("cannot be read", found.refused), ("say nothing", found.withheld)):
        for code, number in sorted(codes.items()):
            typer.echo(f"{number} {what} ({code}).")
    if found.gone:
        typer.echo(f"{found.gone} were left out: the log no longer keeps them.")
    if names := both_kinds(found, mapping):
        typer.echo(
            f"Some visits name who gave their number and some do not ({', '.join(names)}): they are told apart. Where"
            " they are the same numbers, say so with `authority`."
        )
    table = table_of("event contract", "state", "entries", "of")
    for one in found.gaps.contract():
        table.add_row(one.name, one.state, str(one.times), str(one.of))
    show(table)
    table = table_of("source", "state", "messages", "values", "left")
    for place in found.gaps.source():
        state = "not read" if place.unread == place.values else "read in part" if place.unread else "read"
        table.add_row(place.place, state, *(str(one) for one in (place.messages, place.values, place.unread)))
    show(table)


@commands.command(name="releases")
def list_releases(connector: Annotated[str, typer.Argument(help="Whose. Default: of all.")] = "") -> None:
    """List what messages are and were read by: who put it in, when, and how many messages it has read."""
    from hisbus_bus.command.profile_releases import listed

    listed(connector)


@commands.command(name="use")
def use_profile(
    which: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name that `releases` lists, or a file.")],
    connector: Connector = "",
) -> None:
    """Put a profile, or one from before, into the connector's own file; the site is restarted to read by it."""
    from hisbus_bus.command.profile_releases import use

    use(which, connector)
