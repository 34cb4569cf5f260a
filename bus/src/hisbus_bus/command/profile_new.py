"""``hisbus new profile``: the beginning of a site's profile, from a capture."""

from collections.abc import Sequence
from pathlib import Path

from hisbus_bus.kernel.settings import Settings
from hisbus_bus.lab import captures
from hisbus_bus.lab.beginning import arrivals, begun
from hisbus_bus.play import feed
from hisbus_mapping import Survey


async def write(settings: Settings, files: Sequence[Path], out: Path, connector: str) -> None:
    """Read a capture with what ships, and write the beginning of a profile.

    Raises:
        ConfigError: the configuration is wrong, a file cannot be read, or the new one cannot be written.
    """
    reads = feed(settings, connector)
    reads.over = None
    messages = captures.read(files, reads.split)
    sources = ", ".join(path.name for path in files)
    text = begun(Survey(reads), await arrivals(reads, messages), out.name, sources)
    captures.new(out, text.encode())
