"""``hisbus capture``: files of messages as they came, and how one may be shown to somebody."""

from pathlib import Path
from typing import Annotated

import typer

from hisbus_bus.command.chosen import chosen

commands = typer.Typer(no_args_is_help=True, help="Files of messages as they came.")


@commands.callback()
def _group() -> None:
    """Keep the one command a group."""


@commands.command(name="scrub")
def scrub_capture(
    capture: Annotated[Path, typer.Argument(metavar="IN", help="A file of messages or MLLP frames.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write; it must not exist yet.")],
    connector: Annotated[str, typer.Option(help="Which reads it, where there are several.")] = "",
    keep: Annotated[list[str] | None, typer.Option(help="A place that stays, such as ZBX-3; several times.")] = None,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Texts stay, but for what fields say of people.")] = (
        False
    ),
) -> None:
    """Make a capture that may be shown: names, numbers and addresses replaced, times shifted, its form kept."""
    from hisbus_bus.command.capture_scrub import say, write

    say(write(chosen.settings, capture, out, connector, keep=keep or [], keep_text=keep_text))
    typer.echo(str(out))
