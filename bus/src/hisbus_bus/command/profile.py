"""``hisbus profile``: what profiles read of messages, and what they leave."""

from pathlib import Path
from typing import Annotated

import typer

from hisbus_bus.command.chosen import chosen, run

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
    from hisbus_bus.command.profile_try import show, tried

    found = run(tried(chosen.settings, profile, captures, connector))
    show(found, as_json=as_json, values=show_values)
