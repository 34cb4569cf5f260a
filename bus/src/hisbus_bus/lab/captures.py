"""Captures: files of messages as they came, in the order in which they are named."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hisbus.errors import ConfigError

Split = Callable[[bytes], Sequence[bytes]]
"""Returns the messages of a file: ``Connector.split``."""


def read(paths: Sequence[Path], split: Split) -> list[bytes]:
    """Return the messages of files, and of the files of folders in the order of their names.

    Raises:
        ConfigError: a file cannot be read, or there is no message in any.
    """
    messages = [message for path in paths for file in _files(path) for message in split(content(file))]
    if not messages:
        named = ", ".join(map(str, paths))
        raise ConfigError(f"There is no message in {named}. A capture holds messages as they came, or MLLP frames.")
    return messages


def content(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The capture {path} cannot be read. Check its path and owner.") from error


def new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        ConfigError: it is there, or cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already. Name another.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written. Check its folder, and who may write there.") from error


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or the files of a folder; what says what must be found in them (``NAME.json``) is none."""
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.is_file() and one.suffix != ".json")
    else:
        yield path
