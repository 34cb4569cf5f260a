"""Which plugins and connectors there are. pluggy registers; nothing else is asked of it.

A plugin is loaded in its child process only; here it is known by the metadata of its distribution.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pluggy

from hisbus import hookspecs
from hisbus.agent import Agent
from hisbus.connector import Connector
from hisbus.errors import ConfigError
from hisbus.hookspecs import API_VERSION, ConnectorFactory
from hisbus_schemas import GRANTS, PROPOSALS

if TYPE_CHECKING:  # the child process loads plugins and reads no configuration
    from hisbus.settings import Settings

AGENTS = "hisbus.agents"
CONNECTORS = "hisbus.connectors"
RESERVED = frozenset({"hisbus"})
"""Connector names that records of the bus's own carry."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point, as its distribution's metadata describes it."""

    name: str
    distribution: str = ""
    version: str = ""
    api: str = "any"
    """The range of hisbus that the distribution requires."""


def plugins(settings: "Settings | None" = None) -> list[Plugin]:
    """Return the installed plugins by name, none of them imported.

    Args:
        settings: given, plugins that are installed only in an interpreter of their own are listed too, and those that
            are switched off are not.

    Raises:
        ConfigError: several distributions use one name.
    """
    found = _described(AGENTS)
    if settings is not None:
        known = {plugin.name for plugin in found}
        elsewhere = {name for name, its in settings.plugins.items() if its.python is not None}
        found += [Plugin(name) for name in elsewhere - known]
        off = {name for name, its in settings.plugins.items() if not its.enabled}
        found = [plugin for plugin in found if plugin.name not in off]
    return sorted(found, key=lambda plugin: plugin.name)


def connector_types() -> list[Plugin]:
    """Return the entry points of connectors by name, none of them imported.

    Raises:
        ConfigError: several distributions use one name.
    """
    return sorted(_described(CONNECTORS), key=lambda plugin: plugin.name)


def load_agents(plugin: str) -> list[Agent]:
    """Import one plugin and return its agents. For its child process, for tests and for ``hisbus evaluate``.

    Raises:
        ConfigError: it cannot be used; ``code`` says why.
    """
    point = _one_point(AGENTS, plugin)
    agents: list[Agent] = []
    _call(point, lambda hook: hook.register_agents(register=agents.append))
    _check_agents(plugin, agents)
    return agents


def connectors(settings: "Settings") -> list[Connector]:
    """Make the connectors of the configuration.

    Raises:
        ConfigError: names everything that is wrong, one line each.
    """
    factories, mistakes = _factories()
    made: list[Connector] = []
    seen: set[str] = set()
    for number, table in enumerate(settings.connectors, 1):
        name = table.get("name")
        try:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
                raise ConfigError(
                    f"connectors[{number}]: name must be of lower-case letters, digits and hyphens, and not 'hisbus'."
                )
            if name in seen:
                raise ConfigError(f"connectors[{number}]: the name {name!r} is taken. Choose another.")
            seen.add(name)
            made.append(_make(name, table, factories))
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return made


def _make(name: str, table: dict[str, Any], factories: dict[str, ConnectorFactory]) -> Connector:
    type_ = table.get("type")
    if not isinstance(type_, str) or type_ not in factories:
        known = ", ".join(sorted(factories)) or "none"
        raise ConfigError(f"connector {name!r}: there is no type {type_!r}. Known: {known}.")
    try:
        connector = factories[type_](dict(table))
    except ConfigError as error:
        wrong = "\n".join(f"connector {name!r}: {line}" for line in str(error).splitlines())
        raise ConfigError(wrong, code=error.code) from error
    except Exception as error:
        raise ConfigError(f"connector {name!r}: its type {type_!r} failed ({type(error).__name__}).") from error
    if not isinstance(connector, Connector) or connector.name != name:
        raise ConfigError(f"connector {name!r}: type {type_!r} made something that is not a connector of this name.")
    return connector


def _factories() -> tuple[dict[str, ConnectorFactory], list[str]]:
    """Load every connector type that can be loaded, and say what is wrong with the others."""
    factories: dict[str, ConnectorFactory] = {}
    mistakes: list[str] = []

    def take(type_: str, factory: ConnectorFactory) -> None:
        if type_ in factories:
            raise ConfigError(f"The connector type {type_!r} is registered twice. Uninstall one of them.")
        factories[type_] = factory

    for name in sorted({point.name for point in metadata.entry_points(group=CONNECTORS)}):
        try:
            point = _one_point(CONNECTORS, name)
            _call(point, lambda hook: hook.register_connectors(register=take))
        except ConfigError as error:
            mistakes.append(str(error))
    return factories, mistakes


def _call(point: metadata.EntryPoint, hook: Callable[[pluggy.HookRelay], Any]) -> None:
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
        if not _NAME.fullmatch(agent.name):
            raise _refused(plugin, "name", "names are of lower-case letters, digits and hyphens")
        if not agent.grants <= {*GRANTS, *PROPOSALS}:
            raise _refused(plugin, "unknown_grant", f"grants are {', '.join((*GRANTS, *PROPOSALS))}")
    names = [agent.name for agent in agents]
    if names[0] != plugin or len(set(names)) != len(names):
        raise _refused(plugin, "name", "its first agent must carry the plugin's name, and no name comes twice")


def _refused(plugin: str, code: str, why: str) -> ConfigError:
    return ConfigError(f"{plugin!r} cannot be used: {why}.", code=code)


def _one_point(group: str, name: str) -> metadata.EntryPoint:
    points = list(metadata.entry_points(group=group, name=name))
    if not points:
        raise _refused(name, "not_found", "no installed distribution has such an entry point")
    _refuse_twins(group, points)
    return points[0]


def _described(group: str) -> list[Plugin]:
    points = list(metadata.entry_points(group=group))
    _refuse_twins(group, points)
    return [_describe(point) for point in points]


def _refuse_twins(group: str, points: Iterable[metadata.EntryPoint]) -> None:
    owners: dict[str, list[str]] = {}
    for point in points:
        owners.setdefault(point.name, []).append(_distribution(point).name)
    twins = [f"{name!r} ({', '.join(sorted(its))})" for name, its in sorted(owners.items()) if len(its) > 1]
    if twins:
        raise ConfigError(
            f"Several distributions use one name in {group}: {'; '.join(twins)}. Uninstall one of each.",
            code="duplicate",
        )


def _describe(point: metadata.EntryPoint) -> Plugin:
    distribution = _distribution(point)
    ranges = [
        match[1].strip()
        for match in (re.match(r"hisbus(?![\w.-])([^;]*)", line) for line in distribution.requires)
        if match
    ]
    return Plugin(point.name, distribution.name, distribution.version, next(filter(None, ranges), "any"))


def _distribution(point: metadata.EntryPoint) -> Any:
    """Return the entry point's distribution; one that a program made up has none."""
    if point.dist is None:
        return SimpleNamespace(name="", version="", requires=[])
    return SimpleNamespace(name=point.dist.name, version=point.dist.version, requires=point.dist.requires or [])
