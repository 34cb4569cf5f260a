"""What an edit is: its data from ``edits.toml``, with a hospital's own over them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from hisbus import ConfigError
from hisbus_schemas import Contract, Evidence, Text

_FIXED = frozenset({"severity", "title", "text", "recorded", "elsewhere", "elsewhere_form"})


class Edit(Contract):
    """One edit, as data."""

    id: str
    severity: Literal["info", "warning", "critical"]
    title: Text
    text: Text
    data: dict[str, Any] = {}
    """Ranges of codes, names of fields, limits."""
    enabled: bool = True
    recorded: bool = False
    """Whether it also judges what somebody recorded."""
    elsewhere: list[str] = []
    """Codes that another rule names where they are recorded, as ranges."""
    elsewhere_form: str = ""
    """Form of a principal diagnosis; another rule names one that has it not. Empty: any."""

    def say(self, **values: str) -> Text:
        """Return its sentence, filled in."""
        return Text(zh=self.text.zh.format(**values), en=self.text.en.format(**values))


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that an edit found."""

    edit: Edit
    subject: str
    """What it is about, the same every time: a code, an entry's id, a field."""
    codes: tuple[str, ...]
    message: Text
    evidence: tuple[Evidence, ...] = ()
    reads: frozenset[str] = frozenset()


def _load() -> Mapping[str, Edit]:
    tables = tomllib.loads(files("hisbus_coding.edits").joinpath("edits.toml").read_text(encoding="utf-8"))
    return {
        id: Edit.model_validate(
            {"id": id, "data": {name: value for name, value in table.items() if name not in _FIXED}, **table}
        )
        for id, table in tables.items()
    }


EDITS: Mapping[str, Edit] = _load()
"""Every edit with its defaults, by id."""


def configured(changes: Any) -> dict[str, Edit]:
    """Return the enabled edits under a hospital's settings: ``{"R52.age": {"newborn_days": 30}}``.

    Raises:
        ConfigError: a key is unknown or its value is of the wrong kind; the message names the key.
    """
    if not isinstance(changes, Mapping):
        raise ConfigError("edits must be a table")
    unknown = sorted(changes.keys() - EDITS.keys())
    if unknown:
        raise ConfigError(f"edits.{unknown[0]} is not an edit of coding")
    edits = {id: _changed(edit, changes.get(id, {})) for id, edit in EDITS.items()}
    return {id: edit for id, edit in edits.items() if edit.enabled}


def _changed(edit: Edit, changes: Any) -> Edit:
    if not isinstance(changes, Mapping):
        raise ConfigError(f"edits.{edit.id} must be a table")
    data = dict(edit.data)
    for name, value in changes.items():
        known = edit.enabled if name == "enabled" else edit.data.get(name)
        if known is None:
            raise ConfigError(f"edits.{edit.id}.{name} is not a setting: use {', '.join(['enabled', *edit.data])}")
        if not _alike(value, known):
            raise ConfigError(f"edits.{edit.id}.{name} must be of the same kind as its default")
        data[name] = value
    return edit.model_copy(update={"enabled": data.pop("enabled", True), "data": data})


def _alike(value: Any, known: Any) -> bool:
    """Tell whether a value is of the same kind as the default; lists, in each of their items."""
    if isinstance(known, list) and isinstance(value, list):
        return all(_alike(item, known[0]) for item in value)
    return type(value) is type(known)
