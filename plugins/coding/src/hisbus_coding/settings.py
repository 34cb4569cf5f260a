"""The operator's settings: ``[agents.coding.settings]``, and the same for ``coding-rules``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hisbus import ConfigError
from hisbus.terms import Release, Terms
from hisbus_coding.edits import Edit, configured
from hisbus_schemas import Code, Text

_NAMES = {
    "diagnosis": ("诊断", "diagnoses"),
    "procedure": ("手术操作", "procedures"),
}
SETTLEMENT = "settlement"
"""Setting: the insurance's table of diagnoses. Where it is named, a second set is proposed, for the settlement list."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent was told."""

    systems: Mapping[str, str]
    """The code system to use of each kind, where it was named."""
    edits: Mapping[str, Edit]
    own: Mapping[str, str] = field(default_factory=dict)
    """Tables by what the feeds call their code systems, where that is not the table's own name."""

    def release(self, terms: Terms, kind: str) -> Release | Text:
        """Return the release to code with: the one that is named, else the only one of its kind; or why none."""
        other = self.systems.get(SETTLEMENT)
        loaded = [release for release in terms.releases() if release.kind == kind and release.system != other]
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

    def settlement(self, terms: Terms) -> Release | None:
        """Return the insurance's table of diagnoses; None: none is named, or it is not loaded."""
        named = self.systems.get(SETTLEMENT)
        release = terms.release(named) if named else None
        return release if release is not None and release.kind == "diagnosis" else None

    def of(self, terms: Terms, code: Code, usual: Release) -> Release | None:
        """Return the table by which a recorded code may be judged: that of its own system, where it is loaded.

        Args:
            terms: what is loaded.
            code: as it was recorded.
            usual: the site's table, for codes of which it is only said that they are of ICD-10, or nothing.
        """
        named = code.system.strip()
        known = _CM | {one.casefold(): system for one, system in self.own.items()}
        system = known.get(named.casefold(), named)
        if system.casefold() in _SOME_ICD_10:
            foreign = usual.system == CM and _NATIONAL.fullmatch(code.code.strip())
            return None if foreign and terms.concept(usual, code.code) is None else usual
        return next((one for one in terms.releases() if one.system.casefold() == system.casefold()), None)


CM = "ICD-10-CM"
_CM = dict.fromkeys(("icd-10-cm", "icd10cm", "i10c", "http://hl7.org/fhir/sid/icd-10-cm"), CM)
"""What ICD-10-CM is called in messages (HL7 table 0396, FHIR)."""
_SOME_ICD_10 = frozenset({"", "i10", "icd10", "icd-10"})
"""Names that do not say which of them a code is of."""
_NATIONAL = re.compile(r"[A-Z]\d\d\.(?:\d{3}|x\d\d)(?:x\d{3})?[+*\u2020]?")
"""The form of the Chinese national versions. A code of it that ICD-10-CM lacks is one of theirs, and not wrong."""


def read(settings: Mapping[str, Any]) -> Settings:
    """Read the settings: ``diagnosis``, ``procedure`` and ``settlement`` name code systems, ``systems`` says what feeds
    call them, ``edits`` changes edits.

    Raises:
        ConfigError: a key is unknown or its value is of the wrong kind; the message names the key.
    """
    tables = [*_NAMES, SETTLEMENT]
    for name, value in settings.items():
        if name not in {*tables, "systems", "edits"}:
            raise ConfigError(f"{name} is not a setting of coding: use {', '.join([*tables, 'systems', 'edits'])}")
        if name in tables and not (isinstance(value, str) and value):
            raise ConfigError(f"{name} must be the name of a code system, as `hisbus terms list` shows it")
    own = settings.get("systems", {})
    if not isinstance(own, Mapping) or not all(isinstance(system, str) and system for system in own.values()):
        raise ConfigError("systems must be a table: what a feed calls a code system, and the loaded one that it means")
    named = {name: settings[name] for name in tables if name in settings}
    return Settings(named, configured(settings.get("edits", {})), own)
