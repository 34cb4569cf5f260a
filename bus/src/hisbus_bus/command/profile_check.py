"""``hisbus profile check``: what is wrong with a site's file, what it changes, what is doubtful."""

from collections import Counter
from pathlib import Path

import typer

from hisbus.errors import ConfigError
from hisbus_bus.host.registry import connector_of
from hisbus_bus.kernel.settings import Settings
from hisbus_mapping import Mapping, changes, doubts, read_profile


def check(settings: Settings, profile: Path, name: str) -> bool:
    """Say all there is to say of a profile; tell whether it compiles.

    Raises:
        ConfigError: it must be said which connector's profile it is laid over.
    """
    connector = connector_of(settings, name)
    try:
        mapping = Mapping(connector, over=profile)
    except ConfigError as error:
        typer.echo(str(error))
        return False
    made = changes(connector.profile, profile)
    for change in made:
        typer.echo(f"{profile}:{change.line}: {'.'.join(change.place)}: {change.how}")
    doubtful = doubts(mapping.profile, read_profile(connector.profile), profile)
    for doubt in doubtful:
        typer.echo(f"{profile}:{doubt.line}: doubtful: {'.'.join(doubt.place)}: {doubt.said}.")
    how = Counter(change.how for change in made)
    typer.echo(
        f"It compiles: {how['replaces']} keys are replaced, {how['adds']} added,"
        f" {how['repeats']} say what ships already; {len(doubtful)} are doubtful."
    )
    return True
