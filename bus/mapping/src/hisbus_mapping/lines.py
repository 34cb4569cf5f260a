"""Where a key stands in a TOML text."""

import re
from collections.abc import Sequence

_KEY = re.compile(r'\s*("[^"]*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*')


def line_of(text: str, place: Sequence[str]) -> tuple[int, int]:
    """Return the line of a key, or of what is nearest above it, and how many parts of the key were found there."""
    best, found = 1, 0
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _names(stripped.strip("[]").split("]")[0])
            depth = _common(table, place)
            if depth == len(table) and depth > found:
                best, found = number, depth
        elif "=" in stripped and not stripped.startswith("#"):
            names = [*table, *_names(stripped.split("=", 1)[0])]
            depth = _common(names, place)
            if depth == len(names) and depth > found:
                best, found = number, depth
    return best, found


def _names(text: str) -> list[str]:
    return [match[1].strip("\"'") for match in _KEY.finditer(text)]


def _common(names: Sequence[str], place: Sequence[str]) -> int:
    return next((at for at, (one, other) in enumerate(zip(names, place, strict=False)) if one != other), len(names))
