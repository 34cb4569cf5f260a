"""``hisbus config``: the configuration to begin with."""

import typer

from hisbus_bus.command.example import example

commands = typer.Typer()


@commands.command(name="example")
def print_example() -> None:
    """Print the annotated configuration."""
    typer.echo(example(), nl=False)
