"""What codes do to each other in one set: the bare beside the specific, and two that are one: ``families.toml``."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from hisbus.terms import plain

_DATA: Mapping[str, Any] = tomllib.loads(files("hisbus_coding").joinpath("families.toml").read_text(encoding="utf-8"))


def said_better(code: str, others: Mapping[str, str]) -> str | None:
    """Return the one of other codes that says more of the same disease than this one; None: none does.

    Args:
        code: of a set.
        others: the codes of the set with their names; this one is among them.
    """
    bare = plain(code)
    over = [prefixes for one in _SPECIFIC if _within(bare, one["bare"]) for prefixes in one["over"]]
    named = next((other for other in others if over and plain(other).startswith(tuple(over))), None)
    if named is not None or _within(bare, _DATA["apart"]["codes"]):
        return named
    alike = [other for other in others if plain(other)[:3] == bare[:3] and other != code]
    least = min(alike, key=lambda other: _vagueness(other, others[other]), default=None)
    more = least is not None and _vagueness(code, others[code]) > _vagueness(least, others[least])
    return least if more else None


def combined(system: str, codes: Iterable[str]) -> tuple[str, str, str] | None:
    """Return a code that stands for one of these beside another, that one, and the other; None: there is none."""
    there = {plain(code): code for code in codes}
    for one in _DATA["combined"]:
        first = next((code for bare, code in there.items() if _within(bare, one["first"])), None)
        beside = next((code for bare, code in there.items() if _within(bare, one["beside"])), None)
        if one["system"] == system and first is not None and beside is not None:
            return one["code"], first, beside
    return None


_SPECIFIC = [{name: tuple(map(plain, prefixes)) for name, prefixes in one.items()} for one in _DATA["specific"]]


def _within(code: str, prefixes: Iterable[str]) -> bool:
    return code.startswith(tuple(map(plain, prefixes)))


def _vagueness(code: str, name: str) -> int:
    """Return how little a code says beyond its category: 2 by its end (``J18.9``), 1 by its name, else 0."""
    if plain(code)[3:].rstrip("0") in {"", "9", "X"}:
        return 2
    return 1 if any(word in name.casefold() for word in ("unspecified", "未特指")) else 0
