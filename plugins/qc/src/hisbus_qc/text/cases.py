"""The cases beside the rule files of ``qc-text``: a stay, what the model is made to say of it, and what follows.

``R19.cases.toml`` lies beside ``R19.toml``. ``says`` holds one answer for each question, in the order of asking, so no
case depends on a model.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hisbus_qc.cases import RuleCase, rule_case


@dataclass(frozen=True)
class Scripted:
    """One answer of the model."""

    answer: str
    quotes: tuple[tuple[str, str], ...]
    """Label of the document, and words."""


@dataclass(frozen=True)
class TextCase:
    """One case: which findings there are (their keys), how much was left out, whether the rule counts as evaluated."""

    case: RuleCase
    says: tuple[Scripted, ...]
    unverified: int
    evaluated: bool


def read(rules: Path | None = None) -> list[TextCase]:
    """Return every case of every rule: of a folder, or of the plugin.

    Raises:
        ConfigError: a case is not whole.
    """
    there = rules.iterdir() if rules else files("hisbus_qc.text").joinpath("rules").iterdir()
    return [
        _case(file.name.removesuffix(".cases.toml"), table)
        for file in sorted(there, key=lambda item: item.name)
        if file.name.endswith(".cases.toml")
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
    ]


def _case(rule: str, table: dict[str, Any]) -> TextCase:
    says = tuple(
        Scripted(said["answer"], tuple(tuple(quote.split(" ", 1)) for quote in said.get("quotes", ())))
        for said in table.pop("says", ())
    )
    unverified, evaluated = table.pop("unverified", 0), table.pop("evaluated", True)
    return TextCase(rule_case(rule, table), says, unverified, evaluated)
