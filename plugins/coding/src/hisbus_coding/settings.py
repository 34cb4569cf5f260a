"""The operator's settings: ``[agents.coding.settings]``, and the same for ``coding-rules``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hisbus import ConfigError
from hisbus.terms import Release, Terms
from hisbus_coding.edits import Edit, configured
from hisbus_schemas import Text

_NAMES = {
    "diagnosis": ("诊断", "diagnoses"),
    "procedure": ("手术操作", "procedures"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent was told."""

    systems: Mapping[str, str]
    """The code system to use of each kind, where it was named."""
    edits: Mapping[str, Edit]

    def release(self, terms: Terms, kind: str) -> Release | Text:
        """Return the release to code with: the one that is named, else the only one of its kind; or why none."""
        loaded = [release for release in terms.releases() if release.kind == kind]
        named = self.systems.get(kind)
        chosen = [release for release in loaded if named in {None, release.system}]
        if len(chosen) == 1:
            return chosen[0]
        zh, en = _NAMES[kind]
        if not chosen:
            return Text(
                zh=f"未评估：未加载{zh}术语表（{named or 'hisbus terms load'}）。",
                en=f"Not evaluated: no table of {en} is loaded ({named or 'hisbus terms load'}).",
            )
        return Text(
            zh=f"未评估：加载了多个{zh}术语表，请用agents.coding.settings.{kind}指定。",
            en=f"Not evaluated: several tables of {en} are loaded; name one in agents.coding.settings.{kind}.",
        )


def read(settings: Mapping[str, Any]) -> Settings:
    """Read the settings: ``diagnosis`` and ``procedure`` name code systems, ``edits`` changes edits.

    Raises:
        ConfigError: a key is unknown or its value is of the wrong kind; the message names the key.
    """
    for name, value in settings.items():
        if name not in {*_NAMES, "edits"}:
            raise ConfigError(f"{name} is not a setting of coding: use {', '.join([*_NAMES, 'edits'])}")
        if name in _NAMES and not (isinstance(value, str) and value):
            raise ConfigError(f"{name} must be the name of a code system, as `hisbus terms list` shows it")
    return Settings(
        {name: settings[name] for name in _NAMES if name in settings}, configured(settings.get("edits", {}))
    )
