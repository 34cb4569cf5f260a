"""What the environment says of the configuration: ``HISBUS_WEB__LISTEN`` is ``web.listen``, and wins over the file.

Names are read without regard to case, nested ones are joined with two underscores, lists and tables are JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

PREFIX = "HISBUS_"
_BETWEEN = "__"

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variables:
    """What the variables say, in tables as a file would have them."""

    tables: Mapping[str, Any]
    names: Mapping[Place, str]
    """Of the variables, by the place of the key that each gives."""
    mistakes: Sequence[str]
    """One sentence for each that cannot be read."""

    def over(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return a file's tables, with what the variables say in its place."""
        return _over(tables, self.tables)

    def of(self, place: Sequence[int | str], tables: Mapping[str, Any]) -> str:
        """Return the variables that a mistake at a place comes from; empty: it comes from the file.

        Args:
            place: of the key, from the top.
            tables: of the file.
        """
        if _has(self.tables, place):
            return self._around(place)
        holder = place[:-1]  # of a key that is missing: whoever gives the table lacks it
        return self._around(holder) if holder and _has(self.tables, holder) and not _has(tables, holder) else ""

    def _around(self, place: Sequence[int | str]) -> str:
        above = [name for its, name in self.names.items() if tuple(place[: len(its)]) == its]
        below = [name for its, name in self.names.items() if its[: len(place)] == tuple(place)]
        return ", ".join(above[-1:] or below)


def read(model: type[BaseModel], environment: Mapping[str, str]) -> Variables:
    """Read the variables of a configuration.

    A variable whose first word is no key, and that is not nested, is not ours: the tests and the tools have some.
    """
    tables: dict[str, Any] = {}
    names: dict[Place, str] = {}
    mistakes = []
    for place, name in sorted(_named(environment), key=lambda one: (len(one[0]), one)):
        if len(place) == 1 and place[0] not in model.model_fields:
            continue
        form = _form(_kind(model, place))
        try:
            value = json.loads(environment[name]) if form else environment[name]
        except ValueError:
            if form != "anything":
                mistakes.append(f"{name}: {'.'.join(place)}: it must be JSON, {form}.")
                continue
            value = environment[name]
        _put(tables, place, value)
        names[place] = name
    return Variables(tables, names, mistakes)


def _named(environment: Mapping[str, str]) -> list[tuple[Place, str]]:
    ours = [name for name in environment if name.upper().startswith(PREFIX)]
    return [(tuple(name[len(PREFIX) :].lower().split(_BETWEEN)), name) for name in ours]


def _kind(model: type[BaseModel], place: Place) -> Any:
    """Return the type of the value at a place; ``Any`` where the model does not say."""
    kind: Any = model
    for part in place:
        if _is_model(kind):
            field = kind.model_fields.get(part)
            kind = field.annotation if field is not None else Any
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else Any
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return kind


def _form(kind: Any) -> str:
    """Return the form that JSON must have for a value of a type; empty: the variable is the value itself."""
    if kind is Any:
        return "anything"
    if _is_model(kind) or get_origin(kind) is dict:
        return "a table in braces"
    return "a list in brackets" if get_origin(kind) in {list, frozenset} else ""


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _put(tables: dict[str, Any], place: Place, value: Any) -> None:
    for part in place[:-1]:
        inner = tables.get(part)
        tables[part] = inner = inner if isinstance(inner, dict) else {}
        tables = inner
    tables[place[-1]] = value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _has(tables: Any, place: Sequence[int | str]) -> bool:
    for part in place:
        if isinstance(tables, Mapping):
            if part not in tables:
                return False
        elif not (isinstance(tables, list) and isinstance(part, int) and part < len(tables)):
            return False
        tables = tables[part]
    return True
