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
