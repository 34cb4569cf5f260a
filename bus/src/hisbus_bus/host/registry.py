"""Which plugins and connectors there are. pluggy registers; nothing else is asked of it.

A plugin is loaded in its child process only; here it is known by the metadata of its distribution.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from hisbus.connector import Connector
from hisbus.errors import ConfigError
from hisbus.hookspecs import ConnectorFactory
from hisbus.load import AGENTS, CONNECTORS, NAME, distribution_of, one_point, refuse_twins, register
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.topics import INTERNAL
from hisbus_mapping import Mapping

RESERVED = frozenset({INTERNAL})
"""Connector names that records of the bus's own carry."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point, as its distribution's metadata describes it."""

    name: str
    distribution: str = ""
    version: str = ""
    api: str = "any"
    """The range of hisbus that the distribution requires."""
    module: str = ""
    """What is imported. Empty: it is installed in an interpreter of its own, and not known here."""


def plugins(settings: Settings | None = None) -> list[Plugin]:
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


def cannot_run(plugin: Plugin, reason: str, settings: Settings) -> str:
    """Return a sentence about a plugin whose process could not start: what is wrong, and what to do."""
    said = f"plugin {plugin.name}: "
    if reason not in {"import_failed", "hook_failed"}:
        return f"{said}it cannot run ({reason}). Look its code up in plugins/README.md."
    what = f"its module {plugin.module}" if plugin.module else "its module"
    failed = "raised when it was imported" if reason == "import_failed" else "raised when it registered its agents"
    python = settings.plugin(plugin.name).python or sys.executable
    shows = f"from hisbus.load import load_agents; load_agents('{plugin.name}')"
    return f'{said}{what} {failed} ({reason}). To see why: {python} -c "{shows}"'


def connector_types() -> list[Plugin]:
    """Return the entry points of connectors by name, none of them imported.

    Raises:
        ConfigError: several distributions use one name.
    """
    return sorted(_described(CONNECTORS), key=lambda plugin: plugin.name)


def connectors(settings: Settings) -> list[Connector]:
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
            if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
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


def connector_of(settings: Settings, name: str) -> Connector:
    """Return a connector of the configuration by its name, which may be left out where there is one.

    Raises:
        ConfigError: the configuration is wrong, there is no such connector, or it must be said which.
    """
    known = {connector.name: connector for connector in connectors(settings)}
    if name and name not in known:
        raise ConfigError(f"There is no connector {name!r}. Choose one of: {', '.join(sorted(known)) or 'none'}.")
    if not name and len(known) != 1:
        raise ConfigError(f"Say with --connector whose messages they are. Known: {', '.join(sorted(known)) or 'none'}.")
    return known[name] if name else next(iter(known.values()))


def mappings(connectors: Iterable[Connector]) -> list[Mapping]:
    """Compile what the messages of connectors mean.

    Raises:
        ConfigError: names every profile that is wrong, one line for each mistake.
    """
    made: list[Mapping] = []
    mistakes: list[str] = []
    for connector in connectors:
        try:
            made.append(Mapping(connector))
        except ConfigError as error:
            mistakes += [f"connector {connector.name!r}: {line}" for line in str(error).splitlines()]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return made


def _make(name: str, table: dict[str, Any], factories: dict[str, ConnectorFactory]) -> Connector:
    type_ = table.get("type")
    if not isinstance(type_, str) or type_ not in factories:
        known = ", ".join(sorted(factories)) or "none"
        raise ConfigError(f"connector {name!r}: type: there is no type {type_!r}. Known: {known}.")
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
            point = one_point(CONNECTORS, name)
            register(point, lambda hook: hook.register_connectors(register=take))
        except ConfigError as error:
            mistakes.append(str(error))
    return factories, mistakes


def _described(group: str) -> list[Plugin]:
    points = list(metadata.entry_points(group=group))
    refuse_twins(group, points)
    return [_describe(point) for point in points]


def _describe(point: metadata.EntryPoint) -> Plugin:
    distribution = distribution_of(point)
    ranges = [
        match[1].strip()
        for match in (re.match(r"hisbus(?![\w.-])([^;]*)", line) for line in distribution.requires)
        if match
    ]
    return Plugin(point.name, distribution.name, distribution.version, next(filter(None, ranges), "any"), point.module)
