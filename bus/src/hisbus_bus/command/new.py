"""``hisbus new``: files to begin with. What vendors import writes them (``python -m hisbus.new``)."""

from pathlib import Path
from typing import Annotated

import typer

from hisbus import new

commands = typer.Typer()


@commands.command(name="plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens.")],
    folder: Annotated[Path, typer.Option(help="In which its folder is made.")] = Path(),
) -> None:
    """Write a plugin whose test passes: its agent, its test, its README."""
    for path in new.plugin(name, folder):
        typer.echo(str(path))


@commands.command(name="profile")
def new_profile(
    captures: Annotated[list[Path], typer.Argument(metavar="CAPTURE", help="Files of messages, in their order.")],
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist yet.")] = Path("our-his.toml"),
    connector: Annotated[str, typer.Option(help="Which reads them, where there are several.")] = "",
) -> None:
    """Write a site's profile to begin with: what a capture holds that the shipped one does not know, as comments."""
    from hisbus_bus.command.chosen import chosen, run
    from hisbus_bus.command.profile_new import write

    run(write(chosen.settings, captures, out, connector))
    typer.echo(str(out))
