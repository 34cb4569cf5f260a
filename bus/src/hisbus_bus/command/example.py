"""The annotated configuration, printed from the settings model itself so that it cannot drift from it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hisbus_bus.kernel.settings import AgentSettings, CoverageSettings, PluginSettings, Settings

CONNECTOR = {
    "name": ("his", "Names the connector in messages and on the page."),
    "type": ("hl7v2", "What `hisbus plugins` lists; each type has keys of its own."),
    "listen": ("127.0.0.1:2575", "MLLP in."),
    "# send": ("127.0.0.1:2576", "MLLP out, for write-backs, once the HIS listens there."),
    "charset": ("UTF-8", "Where MSH-18 is empty."),
    "timezone": ("Asia/Shanghai", "Where a time has no offset."),
    "clock": ("wall", 'Rules see the wall clock; "feed": the newest source time (demo, backfill).'),
}

CHOSEN: Mapping[tuple[type[BaseModel], str], str] = {(CoverageSettings, "default"): "observed"}
"""What a new site is given where that is not the default."""

HEADER = """\
# hisbus.toml: the whole configuration. A key that is commented out shows its default.
# Every value can also be given as a variable: HISBUS_SITE, HISBUS_WEB__LISTEN (two underscores between names).
# Secrets are given only as files (keys that end in _file).
"""


def example() -> str:
    """Return the annotated example of the whole configuration."""
    lines = [HEADER, "# " + _described(Settings, "site"), 'site = "demo"']
    tables: list[str] = []
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            tables += ["", f"# {(model.__doc__ or '').strip()}", f"[{name}]", *_keys(model)]
        elif name not in {"site", "connectors", "plugins", "agents"}:
            default = field.get_default(call_default_factory=True)
            lines += ["", "# " + _described(Settings, name), f"# {name} = {_toml(default)}"]
    lines += tables
    lines += ["", "# " + _described(Settings, "connectors"), "[[connectors]]"]
    lines += [f"{key} = {_toml(value)}  # {why}" for key, (value, why) in CONNECTOR.items()]
    lines += ["", "# " + _described(Settings, "plugins"), "[plugins.qc]", *_keys(PluginSettings)]
    lines += ["", "# " + _described(Settings, "agents"), "[agents.qc]", *_keys(AgentSettings)]
    return "\n".join(lines) + "\n"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        chosen = CHOSEN.get((model, name))
        value = _toml(field.get_default(call_default_factory=True) if chosen is None else chosen)
        yield f"{'# ' if chosen is None else ''}{name} = {value}  # {_described(model, name)}"


def _described(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].description or ""


def _toml(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return '""'
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(value)
