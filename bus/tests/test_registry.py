"""Plugins are found without being imported, loaded alone, and refused with a reason."""

import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hisbus
from hisbus import hookspecs, load
from hisbus.errors import ConfigError
from hisbus_bus.host import registry
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings

AGENT = """
from hisbus import hookimpl

class Agent:
    name, version, kinds, grants = "NAME", "1", frozenset({"document.filed"}), frozenset({"documents"})
    async def assess(self, case): ...

@hookimpl
def register_agents(register):
    register(Agent())
"""

CONNECTOR = """
from pathlib import Path

from hisbus import ConfigError, hookimpl

class Connector:
    timezone, clock, writes, polls, meaning = "UTC", "wall", False, False, {}
    his_drops_duplicates, plaintext, profile = False, (), Path("profile.toml")
    format, over, authority = None, None, ""
    def __init__(self, table):
        if table.get("broken"): raise ConfigError("The port is taken. Choose another.")
        if table.get("bug"): raise KeyError("secret words")
        self.name = table.get("as", table["name"])
        self.table = table
    async def check(self): ...
    async def listen(self, sink, place): ...
    def read(self, raw, reads=None): ...
    def split(self, file): ...
    async def write(self, writeback, begin): ...
    async def find(self, writeback): ...

@hookimpl
def register_connectors(register):
    register("TYPE", Connector)
"""


class Site:
    """A folder on the path in which distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def install(self, group: str, name: str, source: str, *, distribution: str = "", requires: str = "") -> None:
        distribution = distribution or f"vendor-{name}"
        module = f"{distribution.replace('-', '_')}_for_test_registry"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(source)
        metadata = self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        metadata.mkdir()
        extra = f"Requires-Dist: {requires}\n" if requires else ""
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{extra}")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")

    def agent(self, name: str, source: str = AGENT, **more: str) -> None:
        self.install("hisbus.agents", name, source.replace("NAME", name), **more)

    def connector(self, type_: str, source: str = CONNECTOR, **more: str) -> None:
        self.install("hisbus.connectors", type_, source.replace("TYPE", type_), **more)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


def settings(*tables: dict[str, Any], **more: Any) -> Settings:
    return Settings(site="test", connectors=list(tables), **more)


def refusal(plugin: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load.load_agents(plugin)
    return caught.value.code


# --- agents -----------------------------------------------------------------------------------------------------------


def test_plugins_are_listed_by_their_metadata_and_none_is_imported(installed: Site) -> None:
    installed.agent("zz-broken", "raise RuntimeError", requires="hisbus >=0.1,<1 ; python_version > '3'")
    installed.agent("aa-good", requires="hisbus-schemas>=1")
    found = {plugin.name: plugin for plugin in registry.plugins()}
    assert found["zz-broken"] == Plugin(
        "zz-broken", "vendor-zz-broken", "1.2", ">=0.1,<1", "vendor_zz_broken_for_test_registry"
    )
    assert found["aa-good"] == Plugin("aa-good", "vendor-aa-good", "1.2", "any", "vendor_aa_good_for_test_registry")
    assert list(found) == sorted(found)
    assert not set(installed.modules) & set(sys.modules)


def test_a_plugin_of_another_interpreter_is_listed_by_its_settings(installed: Site) -> None:
    installed.agent("here")
    python = {"python": "/opt/vendor/bin/python"}
    found = registry.plugins(settings(plugins={"elsewhere": python, "here": python, "unused": {}}))
    assert {plugin.name for plugin in found} >= {"elsewhere", "here"}
    assert "unused" not in {plugin.name for plugin in found}
    assert len([plugin for plugin in found if plugin.name == "here"]) == 1


def test_two_distributions_with_one_name_are_refused_and_both_are_named(installed: Site) -> None:
    installed.agent("same", distribution="vendor-a")
    installed.agent("same", distribution="vendor-b")
    with pytest.raises(ConfigError, match=r"'same' \(vendor-a, vendor-b\)"):
        registry.plugins()
    assert refusal("same") == "duplicate"


def test_a_plugin_that_is_switched_off_is_not_listed_for_its_site(installed: Site) -> None:
    installed.agent("here")
    found = registry.plugins(settings(plugins={"here": {"enabled": False}}))
    assert "here" in {plugin.name for plugin in registry.plugins()}
    assert "here" not in {plugin.name for plugin in found}


def test_one_plugin_is_loaded_and_no_other(installed: Site) -> None:
    installed.agent("good")
    installed.agent("broken", "raise RuntimeError")
    (agent,) = load.load_agents("good")
    assert agent.name == "good"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("class Agent", "raise ValueError\nclass Agent", "import_failed"),
        ("class Agent", "import no_such_module\nclass Agent", "import_failed"),
        ("register_agents(register)", "register_agent(register)", "unknown_hook"),
        ("register_agents(register)", "register_agents(registrar)", "unknown_hook"),
        ("    register(Agent())", "    raise ValueError", "hook_failed"),
        ("    register(Agent())", "    pass", "no_agents"),
        ("    register(Agent())", "    register(Agent)\n    register(object())", "not_an_agent"),
        ("async def assess", "async def judge", "not_an_agent"),
        ('"1", frozenset', "1, frozenset", "not_an_agent"),
        ('"NAME", "1"', '"other", "1"', "name"),
        ('"NAME", "1"', '"Übel", "1"', "name"),
        ("    register(Agent())", "    register(Agent())\n    register(Agent())", "name"),
        ('{"documents"}', '{"everything"}', "unknown_grant"),
        ("class Agent", 'HISBUS_API = "1.99"\nclass Agent', "api"),
        ("class Agent", 'HISBUS_API = "2"\nclass Agent', "api"),
        ("class Agent", 'HISBUS_API = "soon"\nclass Agent', "api"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_with_a_code(installed: Site, old: str, new: str, code: str) -> None:
    assert old in AGENT
    installed.agent("evil", AGENT.replace(old, new))
    assert refusal("evil") == code


@pytest.mark.parametrize("api", ["1", "1.0"])
def test_a_plugin_written_for_our_api_or_an_earlier_minor_is_taken(installed: Site, api: str) -> None:
    installed.agent("good", AGENT.replace("class Agent", f'HISBUS_API = "{api}"\nclass Agent'))
    assert len(load.load_agents("good")) == 1


def test_a_plugin_that_is_not_installed_is_refused() -> None:
    assert refusal("nowhere") == "not_found"


# --- connectors -------------------------------------------------------------------------------------------------------


def test_a_connector_is_made_from_its_table(installed: Site) -> None:
    installed.connector("pigeon")
    (connector,) = registry.connectors(settings({"name": "his", "type": "pigeon", "loft": 3}))
    assert connector.name == "his"
    assert vars(connector)["table"] == {"name": "his", "type": "pigeon", "loft": 3}


def test_connector_types_are_listed_and_none_is_imported(installed: Site) -> None:
    installed.connector("pigeon")
    assert (
        Plugin("pigeon", "vendor-pigeon", "1.2", "any", "vendor_pigeon_for_test_registry") in registry.connector_types()
    )
    assert not set(installed.modules) & set(sys.modules)


def test_everything_that_is_wrong_is_said_at_once(installed: Site) -> None:
    installed.connector("pigeon")
    installed.connector("wreck", "raise RuntimeError('secret words')")
    with pytest.raises(ConfigError) as caught:
        registry.connectors(
            settings(
                {"name": "good", "type": "pigeon"},
                {"name": "good", "type": "pigeon"},
                {"name": "carrier", "type": "drum"},
                {"name": "untyped"},
                {"name": "hisbus", "type": "pigeon"},
                {"type": "pigeon"},
                {"name": "full", "type": "pigeon", "broken": True},
                {"name": "bug", "type": "pigeon", "bug": True},
                {"name": "liar", "type": "pigeon", "as": "other"},
            )
        )
    said = str(caught.value)
    assert len(said.splitlines()) == 9
    assert "connectors[2]: the name 'good' is taken" in said
    assert "there is no type 'drum'" in said and "pigeon" in said.split("Known:")[1]
    assert "connector 'full': The port is taken. Choose another." in said
    assert "'wreck' cannot be used" in said
    assert "secret words" not in said


def test_a_type_that_two_distributions_register_is_refused(installed: Site) -> None:
    installed.connector("pigeon")
    installed.install("hisbus.connectors", "other", CONNECTOR.replace("TYPE", "pigeon"))
    with pytest.raises(ConfigError, match="registered twice"):
        registry.connectors(settings())


# --- the hooks --------------------------------------------------------------------------------------------------------


def test_there_are_two_hooks_and_each_says_in_its_words_where_it_is_found() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "hisbus_spec")}
    assert set(hooks) == {"register_agents", "register_connectors"}
    assert load.AGENTS in str(hooks["register_agents"].__doc__)
    assert load.CONNECTORS in str(hooks["register_connectors"].__doc__)
    assert all(list(inspect.signature(hook).parameters) == ["register"] for hook in hooks.values())


def test_what_a_plugin_needs_is_at_the_top_of_the_package() -> None:
    assert {"Agent", "Case", "Register", "hookimpl", "RetryLater"} <= set(hisbus.__all__)


def test_a_plugin_that_cannot_run_is_told_with_its_module_and_what_to_do(installed: Site, tmp_path: Path) -> None:
    installed.agent("zz-broken", "raise RuntimeError")
    settings = Settings(site="test", plugins={"far": {"python": "/srv/far/bin/python"}})
    (broken,) = (plugin for plugin in registry.plugins(settings) if plugin.name == "zz-broken")
    said = registry.cannot_run(broken, "import_failed", settings)
    start, _, command = said.partition("To see why: ")
    assert start == f"plugin zz-broken: its module {broken.module} raised when it was imported (import_failed). "
    where = {**os.environ, "PYTHONPATH": str(tmp_path)}
    shown = subprocess.run(shlex.split(command), env=where, check=False, capture_output=True, text=True)
    assert "RuntimeError" in shown.stderr and f"{broken.module}.py" in shown.stderr
    (far,) = (plugin for plugin in registry.plugins(settings) if plugin.name == "far")
    assert registry.cannot_run(far, "hook_failed", settings) == (
        "plugin far: its module raised when it registered its agents (hook_failed). To see why: /srv/far/bin/python -c"
        " \"from hisbus.load import load_agents; load_agents('far')\""
    )
    assert registry.cannot_run(far, "start_timeout", settings) == (
        "plugin far: it cannot run (start_timeout). Look its code up in plugins/README.md."
    )
