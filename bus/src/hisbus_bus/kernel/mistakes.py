"""What is wrong with a configuration, in words that say what to do: never the words of a library."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from hisbus_bus.kernel.variables import Variables

_SHOWN = 60
"""Characters of a list of known keys; a longer one is not printed."""

_FORMS = {
    "string": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "a table",
    "list": "a list in brackets",
    "frozen_set": "a list in brackets",
    "path": "a path in quotes",
    "model": "a table",
}
"""What belongs there, by the first word of pydantic's code of the mistake."""

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration comes from."""

    path: Path
    text: str
    tables: Mapping[str, Any]
    """Of the file."""
    variables: Variables

    def place(self, key: Sequence[int | str]) -> str:
        """Return where a person finds a key: the variable that gives it, or else file and line."""
        return self.variables.of(key, self.tables) or f"{self.path}:{line_of(self.text, key)}"


def sentences(error: ValidationError, model: type[BaseModel], source: Source) -> Iterator[str]:
    """Yield one sentence for each mistake, with its key, and with file and line or the variable.

    Args:
        error: what pydantic found.
        model: of the whole configuration.
        source: what was read.
    """
    for mistake in error.errors(include_input=False, include_url=False):
        place = [part for part in mistake["loc"] if part != "[key]"]
        key = ".".join(str(part) for part in place)
        holder = _holder(model, place[:-1])
        yield f"{source.place(place)}: {key}: {_sentence(mistake, place, holder)}"


def _sentence(mistake: Mapping[str, Any], place: Sequence[int | str], holder: type[BaseModel] | None) -> str:
    kind, context = str(mistake["type"]), mistake.get("ctx", {})
    field = holder.model_fields.get(str(place[-1])) if holder is not None and place else None
    meaning = f" {field.description}" if field is not None and field.description else ""
    if kind == "extra_forbidden":
        return f"there is no such key. {_instead(str(place[-1]), holder)}"
    if kind == "too_short":
        return f"it must not be empty.{meaning}"
    if kind == "missing":
        return f"it is missing.{meaning}"
    if kind == "value_error":
        return f"{str(context['error']).rstrip('.')}."
    if kind == "literal_error":
        return f"it must be one of {context['expected']}.{meaning}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"it must be {words} {context[name]}.{meaning}"
    if kind == "string_pattern_mismatch":
        return f"it is not spelled as such names are: lower-case letters, digits, hyphens and dots.{meaning}"
    form = next((words for word, words in _FORMS.items() if kind.startswith(f"{word}_")), "")
    return f"it must be {form}.{meaning}" if form else f"this value cannot be used.{meaning}"


def _instead(name: str, holder: type[BaseModel] | None) -> str:
    known = list(holder.model_fields) if holder is not None else []
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"Did you mean {near[0]}?"
    listed = ", ".join(known)
    return (
        f"Known here: {listed}." if 0 < len(listed) <= _SHOWN else "`hisbus config example` lists all that there are."
    )


def _holder(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the model of the table that a key stands in; None where it is no table of ours."""
    holder: type[BaseModel] | None = model
    named: type[BaseModel] | None = None
    for part in place:
        if named is not None:  # `qc` in `agents.qc`: one of many tables of a kind
            holder, named = named, None
            continue
        field = holder.model_fields.get(str(part)) if holder is not None else None
        kind = field.annotation if field is not None else None
        models = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]
        holder, named = (models[0], None) if models[:1] == [kind] else (None, next(iter(models), None))
    return holder


def line_of(text: str, place: Sequence[int | str]) -> int:
    """Return the line of a key in a TOML text, counted from 1; the nearest table above it, else 1."""
    names = [part for part in place if isinstance(part, str)]
    index = next((part for part in place if isinstance(part, int)), 0)
    best, table, seen = 1, [], -1
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.split("]", 1)[0].strip("[ ").split(".")
            if stripped.startswith("[["):
                seen += table == names[:1]
            here = table == names[: len(table)] and (not stripped.startswith("[[") or seen == index)
            best = number if here else best
        elif "=" in stripped and [*table, *stripped.split("=", 1)[0].strip().split(".")] == names:
            if not table or seen in {-1, index}:
                return number
    return best
