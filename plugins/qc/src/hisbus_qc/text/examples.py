"""The examples beside the rule files of ``qc-text``: a stay, what the model is made to say of it, and what follows.

``R19.examples.toml`` lies beside ``R19.toml``. ``says`` holds one answer for each question, in the order of asking, so
no example depends on a model.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hisbus_qc.examples import RuleExample, rule_example


@dataclass(frozen=True)
class Scripted:
    """One answer of the model."""

    answer: str
    quotes: tuple[tuple[str, str], ...]
    """Label of the document, and words."""


@dataclass(frozen=True)
class TextExample:
    """One example: the keys of the findings, how much was left out, whether the rule counts as evaluated."""

    example: RuleExample
    says: tuple[Scripted, ...]
    unverified: int
    evaluated: bool


def read(rules: Path | None = None) -> list[TextExample]:
    """Return every example of every rule: of a folder, or of the plugin.

    Raises:
        ConfigError: an example is not whole.
    """
    there = rules.iterdir() if rules else files("hisbus_qc.text").joinpath("rules").iterdir()
    return [
        _example(file.name.removesuffix(".examples.toml"), table)
        for file in sorted(there, key=lambda item: item.name)
        if file.name.endswith(".examples.toml")
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["example"]
    ]


def _example(rule: str, table: dict[str, Any]) -> TextExample:
    says = tuple(
        Scripted(said["answer"], tuple(tuple(quote.split(" ", 1)) for quote in said.get("quotes", ())))
        for said in table.pop("says", ())
    )
    unverified, evaluated = table.pop("unverified", 0), table.pop("evaluated", True)
    return TextExample(rule_example(rule, table), says, unverified, evaluated)
