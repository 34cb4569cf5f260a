"""Paths of a configuration. Relative ones are relative to its folder, wherever the command is started.

What is a path is known by its type. In the tables of connectors and agents, whose types the bus does not know, it is
known by its key: ``..._file`` and ``..._folder`` name paths, as does a connector's ``profile``, and whoever reads them
is given absolute ones.
"""

import errno
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

PATHS = ("_file", "_folder")
"""Endings of the keys whose values are paths."""

_EMBEDDED = "sqlite:///"


def located(settings: M, folder: Path) -> M:
    """Return settings in which every path is absolute.

    Args:
        settings: of the site, or one of its tables.
        folder: that relative paths are relative to.
    """
    found = {name: _located(getattr(settings, name), name, folder) for name in type(settings).model_fields}
    return settings.model_copy(update=found)


def _located(value: Any, name: str, folder: Path) -> Any:
    match value:
        case BaseModel():
            return located(value, folder)
        case Path():
            return folder / value
        case dict():
            return {key: _located(one, _key(name, str(key)), folder) for key, one in value.items()}
        case list():
            return [_located(one, name, folder) for one in value]
        case str() if value and name.endswith(PATHS):
            return str(folder / value)
        case str() if name == "url" and value.startswith(_EMBEDDED):
            return f"{_EMBEDDED}{folder / value.removeprefix(_EMBEDDED)}"
        case _:
            return value


def _key(table: str, key: str) -> str:
    """Return a key by the ending that tells a path."""
    return "profile_file" if (table, key) == ("connectors", "profile") else key


def unmade(error: OSError) -> str:
    """Return why a folder could not be made or written, and what to do."""
    match error:
        case NotADirectoryError() | FileExistsError():
            return "A part of this path is a file. Choose another folder."
        case PermissionError():
            return "This user may not write there. Give it the right, or choose another folder."
        case _ if error.errno in {errno.EROFS, errno.ENOSPC, errno.EDQUOT}:
            return "The disk is read-only or full. Mend that, or choose another folder."
        case _:
            return "Choose another folder."
