"""``hisbus audit``: whether the trail is whole."""

import typer
from rich.console import Console

from hisbus_bus.command.chosen import chosen, run
from hisbus_bus.kernel import seals
from hisbus_bus.kernel.site import open_database

commands = typer.Typer()
out = Console(highlight=False)


@commands.command()
def verify() -> None:
    """Check the chain of seals: names the first broken row, the unsealed tail, and any difference from the anchor."""

    async def verdict() -> seals.Verdict:
        settings = chosen.settings
        database = open_database(settings)
        try:
            return await seals.verify(database, settings.anchor_file)
        finally:
            await database.close()

    found = run(verdict())
    out.print(str(found), markup=False, soft_wrap=True)
    if not found.sound:
        raise typer.Exit(1)
