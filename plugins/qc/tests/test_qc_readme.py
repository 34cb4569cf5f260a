"""The code blocks of the README hold."""

import tomllib
from pathlib import Path

from hisbus_qc.rulebook import configured
from hisbus_qc.text.agent import text_shelf

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in README.split(f"```{language}\n")[1:]]


def test_its_python_runs() -> None:
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def test_its_settings_and_its_rule_are_taken(tmp_path: Path) -> None:
    settings, rule, _ = blocks("toml")
    (tmp_path / "H01.toml").write_text(rule, encoding="utf-8")
    said = tomllib.loads(settings)["agents"]["qc"]["settings"] | {"rules_folder": str(tmp_path), "only": ["H01", "R15"]}
    assert [rule.id for rule in configured(said)] == ["R15", "H01"]


def test_its_rule_that_asks_the_model_is_taken(tmp_path: Path) -> None:
    (tmp_path / "H20.toml").write_text(blocks("toml")[2], encoding="utf-8")
    (rule,) = configured({"rules_folder": str(tmp_path), "only": ["H20"]}, text_shelf())
    assert (rule.id, rule.points) == ("H20", 0.5)


def test_every_rule_is_there_and_those_that_ask_the_model_are_listed() -> None:
    without, asking = {rule.id for rule in configured({"packs": ["cn", "us"]})} | {"R32"}, text_shelf().rules.keys()
    assert without | asking == {f"R{number:02}" for number in range(1, 68)}
    table = README.partition("## What a model is asked")[2].partition("\n- ")[0]
    assert {line[2:5] for line in table.splitlines() if line.startswith("| R")} == asking
