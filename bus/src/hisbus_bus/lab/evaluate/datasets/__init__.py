"""Readers of data sets, one file each. They are read in place and never copied."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.datasets import acibench, charts, mdace, medec
from hisbus_bus.lab.evaluate.sample import DataSet, Format

READERS: Mapping[Format, Callable[[Path], DataSet]] = {
    "charts": charts.read,
    "medec": medec.read,
    "aci-bench": acibench.read,
    "mdace": mdace.read,
}
"""By the name of the format."""
_SIGNS: Mapping[Format, Callable[[Path], bool]] = {
    "charts": charts.is_one,
    "medec": medec.is_one,
    "aci-bench": acibench.is_one,
    "mdace": mdace.is_one,
}


def read(path: Path, format: str = "") -> DataSet:
    """Read a data set.

    Args:
        path: a file or a folder.
        format: one of ``READERS``; empty: told by what is there.

    Raises:
        ConfigError: it cannot be read; names the file and what is wrong, and no text of it.
    """
    if format and format not in READERS:
        raise ConfigError(f"There is no format {format!r}. Choose one of: {', '.join(READERS)}.")
    if not path.exists():
        raise ConfigError(f"There is no {path}. Name a file or folder of cases.")
    known = next((name for name in READERS if name == format or (not format and _SIGNS[name](path))), None)
    if known is None:
        raise ConfigError(f"{path} is in no known format. Say which with --format: {', '.join(READERS)}.")
    found = READERS[known](path)
    if not found.samples:
        raise ConfigError(f"There is no case in {path}.")
    twice = [id for id, times in Counter(sample.id for sample in found.samples).items() if times > 1]
    if twice:
        raise ConfigError(f"{path}: {len(twice)} cases have the id of another. Compared runs are paired by it.")
    return found
