"""What codes do to each other in one set: the bare beside the specific, and two that are one: ``families.toml``."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from hisbus.terms import plain

_DATA: Mapping[str, Any] = tomllib.loads(files("hisbus_coding").joinpath("families.toml").read_text(encoding="utf-8"))


def bare_beside(code: str, others: Iterable[str]) -> bool:
    """Tell whether one of the other codes says more of the same disease than this one."""
    its, beside = plain(code), [plain(other) for other in others]
    if any(_within(its, one["bare"]) and any(_within(other, one["over"]) for other in beside) for one in _SPECIFIC):
        return True
    return _is_vague(its) and any(other[:3] == its[:3] and other != its and not _is_vague(other) for other in beside)


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


def _is_vague(bare: str) -> bool:
    """Tell whether a code says nothing beyond its category: ``J18.9``, ``I10.x00``."""
    return bare[3:].rstrip("0") in {"", "9", "X"}
