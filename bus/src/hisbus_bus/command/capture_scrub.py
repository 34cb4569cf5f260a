"""``hisbus capture scrub``: a capture without what names somebody, and what of it must be looked at."""

from collections.abc import Collection, Mapping
from pathlib import Path

import typer

from hisbus.connector import Scrubbed, Scrubs
from hisbus.disguise import Disguise
from hisbus.errors import ConfigError
from hisbus_bus.host.registry import connector_of
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.lab import captures


def write(
    settings: Settings, capture: Path, out: Path, name: str, *, keep: Collection[str], keep_text: bool
) -> Scrubbed:
    """Write a scrubbed capture, under a secret that is made for it and kept by nobody.

    Raises:
        ConfigError: the connector cannot do it, a file cannot be read, or the new one cannot be written.
    """
    connector = connector_of(settings, name)
    if not isinstance(connector, Scrubs):
        raise ConfigError(f"The connector {connector.name!r} does not know what in its messages names somebody.")
    done = connector.scrub(captures.content(capture), Disguise(), keep=keep, keep_text=keep_text)
    if not done.messages:
        raise ConfigError(f"There is no message in {capture}. A capture holds messages as they came, or MLLP frames.")
    captures.new(out, done.file)
    return done


def say(done: Scrubbed) -> None:
    """Say what was left as it is, and must be looked at before anybody is shown the file."""
    typer.echo(f"{done.messages} messages. Look at these before you show the file to anybody:")
    typer.echo(f"  left as they are, as codes: {_places(done.kept)}")
    if done.texts:
        typer.echo(f"  texts, without what fields say of people and no more: {_places(done.texts)}")
    if done.unknown:
        why = "no rule names them, or they say more than a code (--keep PLACE leaves them)"
        typer.echo(f"  replaced, for {why}: {_places(done.unknown)}")


def _places(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{place} {number}" for place, number in sorted(counts.items())) or "none"
