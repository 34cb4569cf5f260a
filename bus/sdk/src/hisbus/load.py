"""Loads what an entry point names, and lets it register, alone. pluggy registers; nothing else is asked of it."""

import re
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pluggy

from hisbus import hookspecs
from hisbus.agent import Agent
from hisbus.errors import ConfigError
from hisbus.hookspecs import API_VERSION
from hisbus_schemas import GRANTS, PROPOSALS

AGENTS = "hisbus.agents"
CONNECTORS = "hisbus.connectors"
"""Groups of entry points."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What agents and connectors may be called."""


def load_agents(plugin: str) -> list[Agent]:
    """Import one plugin and return its agents. For its child process, for tests and for ``hisbus evaluate``.

    Raises:
        ConfigError: it cannot be used; ``code`` says why.
    """
    point = one_point(AGENTS, plugin)
    agents: list[Agent] = []
    register(point, lambda hook: hook.register_agents(register=agents.append))
    _check_agents(plugin, agents)
    return agents


def register(point: metadata.EntryPoint, hook: Callable[[pluggy.HookRelay], Any]) -> None:
    """Import what an entry point names and let it register, alone: pluggy would let one failure stop the others."""
    manager = pluggy.PluginManager("hisbus")
    manager.add_hookspecs(hookspecs)
    try:
        module = point.load()
    except Exception as error:
        raise _refused(point.name, "import_failed", f"its import failed ({type(error).__name__})") from error
    _check_api(point.name, getattr(module, "HISBUS_API", API_VERSION))
    try:
        manager.register(module, name=point.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _refused(point.name, "unknown_hook", "it implements a hook that does not exist, or wrongly") from error
    try:
        hook(manager.hook)
    except ConfigError:
        raise
    except Exception as error:
        raise _refused(point.name, "hook_failed", f"its hook failed ({type(error).__name__})") from error


def one_point(group: str, name: str) -> metadata.EntryPoint:
    """Return the entry point of a name. Raises ConfigError where there is none, or several."""
    points = list(metadata.entry_points(group=group, name=name))
    if not points:
        raise _refused(name, "not_found", "no installed distribution has such an entry point")
    refuse_twins(group, points)
    return points[0]


def refuse_twins(group: str, points: Iterable[metadata.EntryPoint]) -> None:
    """Raise ConfigError where two distributions use one name: pluggy would skip the second silently."""
    owners: dict[str, list[str]] = {}
    for point in points:
        owners.setdefault(point.name, []).append(distribution_of(point).name)
    twins = [f"{name!r} ({', '.join(sorted(its))})" for name, its in sorted(owners.items()) if len(its) > 1]
    if twins:
        raise ConfigError(
            f"Several distributions use one name in {group}: {'; '.join(twins)}. Uninstall one of each.",
            code="duplicate",
        )


def distribution_of(point: metadata.EntryPoint) -> Any:
    """Return the entry point's distribution; one that a program made up has none."""
    if point.dist is None:
        return SimpleNamespace(name="", version="", requires=[])
    return SimpleNamespace(name=point.dist.name, version=point.dist.version, requires=point.dist.requires or [])


def _check_api(plugin: str, declared: Any) -> None:
    ours = [int(part) for part in API_VERSION.split(".")]
    match = re.fullmatch(r"(\d{1,4})(?:\.(\d{1,4}))?", str(declared))
    if match is None or int(match[1]) != ours[0] or int(match[2] or 0) > ours[1]:
        raise _refused(plugin, "api", f"it is written for another API than {API_VERSION}. Install a version that fits")


def _check_agents(plugin: str, agents: Sequence[Any]) -> None:
    if not agents:
        raise _refused(plugin, "no_agents", "it registered no agent")
    for agent in agents:
        if not isinstance(agent, Agent) or not callable(agent.assess):
            raise _refused(plugin, "not_an_agent", "what it registered lacks a part of the Agent protocol")
        if not all(isinstance(value, str) for value in (agent.name, agent.version, *agent.kinds, *agent.grants)):
            raise _refused(plugin, "not_an_agent", "name, version, kinds and grants must be texts")
        if not NAME.fullmatch(agent.name):
            raise _refused(plugin, "name", "names are of lower-case letters, digits and hyphens")
        if not agent.grants <= {*GRANTS, *PROPOSALS}:
            raise _refused(plugin, "unknown_grant", f"grants are {', '.join((*GRANTS, *PROPOSALS))}")
    names = [agent.name for agent in agents]
    if names[0] != plugin or len(set(names)) != len(names):
        raise _refused(plugin, "name", "its first agent must carry the plugin's name, and no name comes twice")


def _refused(plugin: str, code: str, why: str) -> ConfigError:
    return ConfigError(f"{plugin!r} cannot be used: {why}.", code=code)
