"""The code blocks of the README hold."""

import tomllib
from pathlib import Path

from hisbus_qc.rulebook import configured

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in README.split(f"```{language}\n")[1:]]


def test_its_python_runs() -> None:
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def test_its_settings_and_its_rule_are_taken(tmp_path: Path) -> None:
    settings, rule = blocks("toml")
    (tmp_path / "H01.toml").write_text(rule, encoding="utf-8")
    said = tomllib.loads(settings)["agents"]["qc"]["settings"] | {"rules_folder": str(tmp_path), "only": ["H01", "R15"]}
    assert [rule.id for rule in configured(said)] == ["R15", "H01"]


def test_every_rule_that_is_not_there_is_named_with_its_reason() -> None:
    there = {rule.id for rule in configured({})} | {"R17", "R18"}
    missing = {f"R{number:02}" for number in range(1, 61)} - there
    reasons = README.partition("## What cannot be decided here")[2].partition("\n## ")[0]
    assert missing == {"R19", "R20", "R22", "R25", "R28", "R58"}
    assert all(rule in reasons for rule in missing)
