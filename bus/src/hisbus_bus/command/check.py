"""``hisbus check``: tries all that ``hisbus up`` needs; each mistake is named with its key, and line or variable."""

import os
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile

from hisbus.addresses import bind
from hisbus.connector import Connector
from hisbus.errors import BusError, ConfigError
from hisbus_bus.command import reach
from hisbus_bus.host import registry
from hisbus_bus.host.agents import start_all
from hisbus_bus.host.llm.check import probe
from hisbus_bus.host.trial import tried
from hisbus_bus.kernel import clashes, migrations, variables
from hisbus_bus.kernel.mistakes import line_of
from hisbus_bus.kernel.paths import unmade
from hisbus_bus.kernel.settings import NEEDS_KAFKA, Settings
from hisbus_bus.kernel.site import exposed_secret, load_secret, open_database, open_log

NO_CONNECTOR = (
    "connectors: there is none, so no message can come in."
    " Add a table [[connectors]]: `hisbus config example` shows one."
)

_KEYED = re.compile(r"(?:connector )?'?(?P<name>[a-z0-9-]+)'?: (?P<key>[a-z_]+): (?P<said>.*)")
"""How connectors name what is wrong with their table."""
_KEY = re.compile(r"[a-z_]+(?:\.[a-z0-9_-]+)*")
"""What a sentence about the configuration begins with."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What there is to say of a site, one sentence each."""

    mistakes: list[str]
    """What would keep it from running."""
    notes: list[str]
    """What runs otherwise than somebody may expect."""


async def check(settings: Settings, path: Path) -> Checked:
    """Try everything."""
    if found := list(clashes.stored(settings)):
        return Checked([_placed(sentence, settings, path) for sentence in found], [])  # neither may be tried
    running, found = await _log(settings)
    found += await _database(settings) + _remote(settings) + _anchor(settings)
    found += [] if running else _web(settings)
    found += clashes.listening(settings, web=not _apart(settings))
    if not settings.connectors:
        found.append(NO_CONNECTOR)
    for sentence in await _connectors(settings):
        keyed = _KEYED.fullmatch(sentence)
        if running and keyed is not None and keyed["key"] == "listen":
            continue  # it is taken by the hisbus that runs
        found.append(sentence)
    refused, left_out = await _plugins(settings)
    found += await _llm(settings) + refused
    return Checked(
        [_placed(sentence, settings, path) for sentence in found], [] if found else [*_waived(settings), *left_out]
    )


def _waived(settings: Settings) -> list[str]:
    """Return what the configuration allows that everybody should know of, one sentence each."""
    whole = [
        exposed_secret(settings),
        "llm.url: charts travel unencrypted (allow_plaintext)." if settings.llm.plaintext else "",
    ]
    return [sentence for sentence in whole if sentence] + [
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
            if error.code == "log_held":
                return True, []
            refused = error.code == "kafka_refused"
            return False, [f"log.url: {settings.log.url.removeprefix('kafka://')}: {error}" if refused else str(error)]
        except BusError as error:
            if not settings.log.url.startswith("kafka:"):
                return False, [f"log.url: {error}"]
            return False, [f"log.url: {sentence}" for sentence in await reach.kafka(settings.log)]


def _apart(settings: Settings) -> bool:
    """Tell whether page and connectors may run on machines of their own."""
    return settings.log.url.startswith("kafka:")


def _anchor(settings: Settings) -> list[str]:
    path = settings.anchor_file
    if path is None:
        return []
    try:
        if path.exists():
            path.open("a").close()
        else:
            with NamedTemporaryFile(dir=path.parent):
                pass  # it is made with the first anchor
    except FileNotFoundError:
        return [f"anchor_file: there is no folder {path.parent}. Make it, or choose another."]
    except OSError as error:
        return [f"anchor_file: nothing can be stored in {path}. {unmade(error)}"]
    return []


def _remote(settings: Settings) -> list[str]:
    if not settings.remote:
        return []
    if not settings.log.url.startswith("kafka:"):
        return [NEEDS_KAFKA]
    try:
        import_module("hisbus_bus.host.remote")  # with a library that most sites do without
    except ConfigError as error:
        return [str(error)]
    return []


def _web(settings: Settings) -> list[str]:
    try:
        bind(settings.web.listen).close()
    except ConfigError as error:
        return [f"web.listen: {error}"]
    return []


async def _database(settings: Settings) -> list[str]:
    try:
        database = open_database(settings)
    except ConfigError as error:
        return [str(error)]
    try:
        async with database.read() as connection:
            has = await connection.run_sync(migrations.current)
    except BusError as error:
        said = str(error) if database.sqlite else await reach.postgresql(settings.database.url, error)
        return [f"database.url: {said}"]
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
        strangers = [
            f"agents.{name}: no installed plugin has this agent. {_known(known)}"
            for name in settings.agents.keys() - known
        ]
        strangers += _unknown_plugins(settings)
        taken = {agent.name for host in hosts for agent in host.agents}
        strangers += [
            f"remote.{name}: an installed plugin has an agent of this name. Choose another, or switch the plugin off."
            for name in settings.remote.keys() & taken
        ]
        trial = await tried(hosts, settings)
        broken = [registry.cannot_run(host.plugin, host.reason, settings) for host in hosts if host.state == "failed"]
        return [*broken, *sorted(strangers), *trial.refused], trial.left_out
    finally:
        for host in hosts:
            await host.close()


def _unknown_plugins(settings: Settings) -> list[str]:
    installed = {plugin.name for plugin in registry.plugins()}
    return [
        f"plugins.{name}: no such plugin is installed. {_known(installed)} One that is installed in an interpreter of"
        f" its own needs plugins.{name}.python."
        for name, its in settings.plugins.items()
        if name not in installed and its.python is None
    ]


def _known(names: Iterable[str]) -> str:
    return f"Known: {', '.join(sorted(names)) or 'none'}."


def _placed(sentence: str, settings: Settings, path: Path) -> str:
    """Put file and line before a sentence about a key that stands in the file; the variable, where one gives it."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    given = variables.read(Settings, os.environ)
    names = [table.get("name") for table in settings.connectors]
    own = _KEYED.fullmatch(sentence)
    if own is not None and own["name"] in names:
        place: list[int | str] = ["connectors", names.index(own["name"]), own["key"]]
        where = given.of(place, {}) or f"{path}:{line_of(text, place)}"
        return f"{where}: connectors.{own['name']}.{own['key']}: {own['said']}"
    key = _KEY.match(sentence)
    variable = given.of(key[0].split("."), {}) if key is not None else ""
    if variable:
        return f"{variable}: {sentence}"
    line = line_of(text, sentence.partition(": ")[0].split("."))
    return f"{path}:{line}: {sentence}" if line > 1 else sentence
