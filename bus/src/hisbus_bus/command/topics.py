"""``hisbus topics``: makes the topics on Kafka."""

import typer
from rich.console import Console

from hisbus.errors import ConfigError
from hisbus_bus.command.chosen import chosen, run

commands = typer.Typer()
out = Console(highlight=False)


@commands.command(name="apply")
def apply_topics() -> None:
    """Make the topics that are missing on Kafka, and give all of them their settings."""
    settings = chosen.settings
    if not settings.log.url.startswith("kafka:"):
        raise ConfigError("log.url names the embedded log, which makes its topics itself.")
    from hisbus_bus.kernel.log.kafka_cluster import Cluster

    made = run(Cluster(settings.log, settings.site, settings.remote).apply())
    for name in made:
        out.print(name, markup=False)
    out.print(f"{len(made)} topics were made; all have their settings.")
