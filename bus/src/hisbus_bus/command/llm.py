"""``hisbus llm``: what the model's server can do."""

import typer
from rich.console import Console

from hisbus_bus.command.chosen import chosen, run
from hisbus_bus.host.llm.check import probe

commands = typer.Typer()
out = Console(highlight=False)


@commands.command(name="check")
def check_llm() -> None:
    """Ask the model's server what only asking can show, with made-up text; say what will not work."""

    async def failed() -> bool:
        works = True
        async for line in probe(chosen.settings.llm):
            out.print(f"{'ok' if line.works else 'FAIL'}\t{line.said}", markup=False, soft_wrap=True)
            works = works and line.works
        return not works

    if run(failed()):
        raise typer.Exit(1)
