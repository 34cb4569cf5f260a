"""``plugins/README.md`` is true: its plugin is made from its blocks, tested by its test, and found by the registry."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hisbus import Case, ConfigError, registry
from hisbus.testing import NOW, AgentContract, FakeLLM, make_case, make_chart, make_document
from hisbus_schemas import GRANTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "plugins/README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


PROJECT = tomllib.loads(blocks("toml")[0])
PLUGIN, TEST = blocks("python")
(ASKING,) = blocks("py")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay the plugin out as an installer would: its package, and the metadata of its ``pyproject.toml``."""
    project = PROJECT["project"]
    points = project["entry-points"]["hisbus.agents"]
    (package,) = points.values()
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    for folder in (tmp_path / package, info):
        folder.mkdir()
    (tmp_path / package / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "test_brevity.py").write_text(TEST, encoding="utf-8")
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in project["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}", encoding="utf-8"
    )
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[hisbus.agents]", *lines, ""]), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path


def a_case(text: str, **settings: object) -> Case:
    return make_case(make_chart(documents=[make_document("C0038", text, signed=NOW)]), settings=settings)


def test_the_registry_finds_the_plugin_and_it_makes_a_finding(installed: Path) -> None:
    assert "brevity" in {plugin.name for plugin in registry.plugins()}
    (agent,) = registry.load_agents("brevity")
    (finding,) = asyncio.run(agent.assess(a_case("病情平稳。"))).proposals
    assert finding.evidence[0].quote == "病情平稳。"


def test_the_settings_that_it_shows_are_the_plugins_own(installed: Path) -> None:
    shown = tomllib.loads(blocks("toml")[1])["agents"]["brevity"]["settings"]
    (agent,) = registry.load_agents("brevity")
    text = "患者神志清，诉胸痛较前缓解。"
    assert asyncio.run(agent.assess(a_case(text))).proposals == []
    assert len(asyncio.run(agent.assess(a_case(text, **shown))).proposals) == 1
    with pytest.raises(ConfigError, match="least_characters"):
        asyncio.run(agent.assess(a_case(text, least_characters=0)))


def test_the_plugins_own_test_passes(installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(installed)]
    ini = installed / "pytest.ini"
    ini.write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [*command, "-c", str(ini), str(installed / "test_brevity.py")],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_code_with_which_a_plugin_is_refused_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", README.partition("## When it does not run")[2]))
    raised: set[str] = set()
    for file in ("registry", "agent_process", "agent_host", "agent_child"):
        source = (ROOT / f"bus/src/hisbus/{file}.py").read_text(encoding="utf-8")
        raised |= set(re.findall(r'(?:_refused\((?:[\w.]+, )?|code=|failure=)"(\w+)"', source))
    assert raised - {"retry_later"} <= explained


def test_every_grant_is_named() -> None:
    (named,) = re.findall(r"are the parts of the chart that are sent: ([^.]*)\.", README)
    assert tuple(re.split(r",\s+", named)) == GRANTS


class TestAsking(AgentContract):
    """The agent that asks the model keeps what every agent must keep."""

    made: dict[str, Any] = {}
    exec(ASKING, made)
    agent = made["Agent"]()

    def cases(self) -> list[Case]:
        said = self.made["Verdict"](
            contradiction=True, quotes=[{"document": "D1", "text": "平稳"}, {"document": "D1", "text": "危重"}]
        )
        return [replace(a_case("病情平稳。"), llm=FakeLLM(said)), a_case("")]

    def test_only_words_of_the_record_are_evidence(self) -> None:
        answer = asyncio.run(self.agent.assess(self.cases()[0]))
        assert [span.quote for finding in answer.proposals for span in finding.evidence] == ["平稳"]
        assert answer.unverified == 1
