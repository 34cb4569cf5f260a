"""How facts are said, from ``phrases.toml``."""

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from hisbus_schemas import Moment

Language = Literal["zh", "en"]

PHRASES: Mapping[str, Any] = tomllib.loads(
    files("hisbus_documentation").joinpath("phrases.toml").read_text(encoding="utf-8")
)
_OPTIONAL = re.compile(r"\[([^][]*)\]")
_VALUE = re.compile(r"\{(\w+)\}")


def say(phrase: str, language: Language, **values: str) -> str:
    """Return a phrase filled in. A part in brackets is left out where a value in it is empty; values are text only."""
    table: Any = PHRASES
    for name in phrase.split("."):
        table = table[name]

    def optional(match: re.Match[str]) -> str:
        return match[1] if all(values[name] for name in _VALUE.findall(match[1])) else ""

    form = _OPTIONAL.sub(optional, table[language])
    return _VALUE.sub(lambda match: values[match[1]], form)


def word(table: str, key: str, language: Language) -> str:
    """Return the word for a code, empty where there is none."""
    return str(PHRASES[table][language].get(key, ""))


def unit(code: str) -> str:
    """Return a unit as people write it."""
    return str(PHRASES["unit"].get(code, code))


def when(moment: Moment | None) -> str:
    """Return a time as its source's clock showed it, as exactly as it was given; empty for none."""
    if moment is None:
        return ""
    form = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}.get(moment.precision, "%Y-%m-%d %H:%M")
    return moment.local().strftime(form)
