"""Marks of a text that speaks to a machine. Such a record is not put to the model: a person looks at it.

This is the first fence, not the only one. What passes it meets the layout of the prompt, the form of the answer, and
the rule that a quote must stand in the record.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from hisbus.visible import comparable
from hisbus_qc.record import Record


def addressed(record: Record, shows: frozenset[str] | None) -> bool:
    """Tell whether something that the model would be shown speaks to it: an entry, or what is said of the stay."""
    there = record.once("addressed", lambda: _addressed(record))
    return there[""] or any(speaks for id, speaks in there.items() if shows is None or id in shows)


def _addressed(record: Record) -> dict[str, bool]:
    stay = {name: getattr(record.chart, name) for name in ("department", "disposition", "patient_class")}
    there = {entry.id: _speaks(entry.model_dump(mode="json")) for entry in record.chart.entries()}
    return {**there, "": _speaks(stay)}


def speaks(text: str) -> bool:
    """Tell whether a text speaks to a machine."""
    raw, words = _patterns()
    plain = unicodedata.normalize("NFKC", comparable(text)).casefold()
    return bool(raw.search(text) or words.search(plain) or words.search(unicodedata.normalize("NFKC", text).casefold()))


def _speaks(value: Any) -> bool:
    return any(map(speaks, _texts(value)))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, item in value.items():
                yield str(name)
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    tables = tomllib.loads(files(__package__).joinpath("marks.toml").read_text(encoding="utf-8"))
    return re.compile("|".join(tables["raw"])), re.compile("|".join(tables["words"]))
