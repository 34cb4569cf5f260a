"""Puts a report on the disk whole or not at all, readable by its owner only."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hisbus.errors import ConfigError


def check(folder: Path) -> None:
    """Refuse a place where a report cannot be put.

    Raises:
        ConfigError: something lies there already, or nobody may write there.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise ConfigError(f"{folder} exists. Name a folder that does not, so that no report is overwritten.")
    with _beside(folder):
        return


def store(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a new folder: it appears with all of them, or not at all.

    Raises:
        ConfigError: nobody may write there, or the disk is full.
    """
    with _beside(folder) as made:
        try:
            for name, text in files.items():
                with os.fdopen(os.open(made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
            made.replace(folder)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be written. Check its place and the room on the disk.") from error


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a folder of its owner's beside another; what is left of it is removed."""
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made. Check who may write there.") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
