"""Where a key stands in a TOML text."""

import re
from collections import Counter
from collections.abc import Sequence

_KEY = re.compile(r'\s*("[^"]*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*')


def line_of(text: str, place: Sequence[str]) -> tuple[int, int]:
    """Return the line of a key, or of what is nearest above it, and how many parts of the key were found there."""
    best, found = 1, 0
    table: list[str] = []
    begun: Counter[tuple[str, ...]] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _names(stripped.strip("[]").split("]")[0])
            if stripped.startswith("[["):  # one of several, counted from 0
                begun[tuple(table)] += 1
                if len(place) > len(table) and place[len(table)].isdecimal():
                    table.append(str(begun[tuple(table)] - 1))
            depth = _common(table, place)
            if depth in (len(table), len(place)) and depth > found:
                best, found = number, depth
        elif "=" in stripped and not stripped.startswith("#"):
            names = [*table, *_names(stripped.split("=", 1)[0])]
            depth = _common(names, place)
            if depth in (len(names), len(place)) and depth > found:
                best, found = number, depth
    return best, found


def _names(text: str) -> list[str]:
    return [match[1].strip("\"'") for match in _KEY.finditer(text)]


def _common(names: Sequence[str], place: Sequence[str]) -> int:
    apart = (at for at, (one, other) in enumerate(zip(names, place, strict=False)) if one != other)
    return next(apart, min(len(names), len(place)))
