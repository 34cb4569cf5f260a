"""``hisbus check``: tries everything that ``hisbus up`` will need, and names each mistake with its key and line."""

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from hisbus.connector import Connector
from hisbus.errors import BusError, ConfigError
from hisbus_bus.host import registry
from hisbus_bus.host.agents import start_all
from hisbus_bus.host.llm.check import probe
from hisbus_bus.host.trial import tried
from hisbus_bus.kernel import migrations
from hisbus_bus.kernel.settings import NEEDS_KAFKA, Settings, line_of
from hisbus_bus.kernel.site import load_secret, open_database, open_log

_KEYED = re.compile(r"(?:connector )?'?(?P<name>[a-z0-9-]+)'?: (?P<key>[a-z_]+): (?P<said>.*)")
"""How connectors name what is wrong with their table."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What there is to say of a site, one sentence each."""

    mistakes: list[str]
    """What would keep it from running."""
    notes: list[str]
    """What runs otherwise than somebody may expect."""


async def check(settings: Settings, path: Path) -> Checked:
    """Try everything."""
    running, found = await _log(settings)
    if settings.remote and not settings.log.url.startswith("kafka:"):
        found.append(NEEDS_KAFKA)
    found += await _database(settings)
    for sentence in await _connectors(settings):
        keyed = _KEYED.fullmatch(sentence)
        if running and keyed is not None and keyed["key"] == "listen":
            continue  # it is taken by the hisbus that runs
        found.append(_placed(sentence, settings, path))
    refused, left_out = await _plugins(settings)
    found += await _llm(settings) + refused
    return Checked(found, [] if found else [*_waived(settings), *left_out])


def _waived(settings: Settings) -> list[str]:
    """Return what the configuration allows that everybody should know of, one sentence each."""
    charts = ["llm.url: charts travel unencrypted (allow_plaintext)."] if settings.llm.plaintext else []
    return charts + [
        f"connectors.{connector.name}.{key}: messages travel unencrypted (allow_plaintext)."
        for connector in registry.connectors(settings)
        for key in connector.plaintext
    ]


async def _log(settings: Settings) -> tuple[bool, list[str]]:
    """Try the log. Tell also whether another hisbus holds it, which is no mistake here."""
    async with AsyncExitStack() as stack:
        try:
            load_secret(settings)
            opened = await open_log(settings)
            stack.push_async_callback(opened.close)
            return False, [f"log.url: {sentence}" for sentence in await opened.check()]
        except ConfigError as error:
            return error.code == "log_held", [] if error.code == "log_held" else [str(error)]
        except BusError as error:
            return False, [f"log.url: {error}"]


async def _database(settings: Settings) -> list[str]:
    try:
        database = open_database(settings)
    except ConfigError as error:
        return [str(error)]
    try:
        async with database.read() as connection:
            has = await connection.run_sync(migrations.current)
    except BusError as error:
        return [f"database.url: {error}"]
    finally:
        await database.close()
    if has is not None and has not in migrations.REVISIONS:
        return [f"database.url: its schema ({has}) is of a newer hisbus. Upgrade this one."]
    return []


async def _connectors(settings: Settings) -> list[str]:
    try:
        connectors: list[Connector] = registry.connectors(settings)
        registry.mappings(connectors)
    except ConfigError as error:
        return str(error).splitlines()
    return [sentence for connector in connectors for sentence in await connector.check()]


async def _llm(settings: Settings) -> list[str]:
    if not settings.llm.url:
        return []
    try:
        return [line.said async for line in probe(settings.llm, briefly=True) if not line.works]
    except ConfigError as error:
        return [str(error)]


def _is_off(agent: str, settings: Settings) -> bool:
    """Tell whether an agent is, by its name, of a plugin that is switched off."""
    off = (plugin for plugin, its in settings.plugins.items() if not its.enabled)
    return any(agent == plugin or agent.startswith(f"{plugin}-") for plugin in off)


async def _plugins(settings: Settings) -> tuple[list[str], list[str]]:
    """Try the agents. Return what is wrong, and what they leave out."""
    hosts = await start_all(registry.plugins(settings), settings)
    try:
        known = {agent.name for host in hosts for agent in host.agents} | settings.remote.keys()
        known |= {name for name in settings.agents if _is_off(name, settings)}
        strangers = [f"agents.{name}: no installed plugin has this agent." for name in settings.agents.keys() - known]
        trial = await tried(hosts, settings)
        broken = [
            f"plugin {host.plugin.name}: it cannot run ({host.reason})." for host in hosts if host.state == "failed"
        ]
        return [*broken, *sorted(strangers), *trial.refused], trial.left_out
    finally:
        for host in hosts:
            await host.close()


def _placed(sentence: str, settings: Settings, path: Path) -> str:
    """Put file and line before what a connector says of its table."""
    keyed = _KEYED.fullmatch(sentence)
    names = [table.get("name") for table in settings.connectors]
    if keyed is None or keyed["name"] not in names:
        return sentence
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    place = ["connectors", names.index(keyed["name"]), keyed["key"]]
    return f"{path}:{line_of(text, place)}: connectors.{keyed['name']}.{keyed['key']}: {keyed['said']}"
