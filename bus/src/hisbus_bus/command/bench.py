"""``hisbus bench``: what this machine can take, measured with an imaginary hospital on a site of its own."""

import asyncio
import sys
import time
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import typer

from hisbus.addresses import bind
from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.app import App
from hisbus_bus.command.chosen import run_orderly
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.flow.lag import lag
from hisbus_bus.host.registry import connector_types
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.topics import FLOW
from hisbus_bus.lab import measured
from hisbus_bus.lab.measured import Load
from hisbus_bus.lab.scratch import scratch
from hisbus_bus.lab.usage import usage

SIMULATOR = "hisbus_simulator"
CONNECTOR = "hl7v2"
CALM_STAYS, CALM_RATE = 5, 20
"""Of the first part, which tells how soon: stays, and messages a second."""
STAY = 47
"""Messages of a stay, about."""
FILLED_S = 20.0
"""So long the second part should take, which tells how many."""
STAYS = (10, 400)
"""Fewest and most stays of it."""
CONNECTIONS = 8
POLL_S = 0.2
PATIENCE_S = 120.0
HERE = {"127.0.0.1", "::1", "localhost", None}


def bench(settings: Settings, *, embedded: bool, yes: bool) -> None:
    """Measure, and print what was found.

    Raises:
        ConfigError: something is not installed, or the servers do not allow it.
        RetryLater: they are away, or the work did not get done.
    """
    missing = [
        distribution
        for distribution, there in (
            ("hisbus-simulator", find_spec(SIMULATOR) is not None),
            ("hisbus-hl7v2", any(one.name == CONNECTOR for one in connector_types())),
        )
        if not there
    ]
    if missing:
        raise ConfigError(f"`hisbus bench` plays an imaginary hospital. Install {' and '.join(missing)} beside hisbus.")
    servers = [] if embedded else _servers(settings)
    if servers and not yes:
        typer.echo(f"{' and '.join(servers)} get as much work for a minute as they can take; the site's own waits.")
        if not typer.confirm("Measure now?"):
            raise typer.Exit(1)
    waits, load = run_orderly(_measure(settings, embedded=embedded))
    _say(settings, waits, load, servers)


def _servers(settings: Settings) -> list[str]:
    named = {"Kafka": settings.log.url, "PostgreSQL": settings.database.url}
    return [name for name, url in named.items() if not url.startswith("sqlite:")]


def _counted(settings: Settings) -> list[str]:
    """Return the servers that run on this machine."""
    found = {"Kafka": settings.log.url.partition(",")[0], "PostgreSQL": settings.database.url}
    return [name for name, url in found.items() if not url.startswith("sqlite:") and urlsplit(url).hostname in HERE]


async def _measure(settings: Settings, *, embedded: bool) -> tuple[list[float], Load]:
    """Return how long proposals took when little was going on, and what much has cost."""
    servers = [] if embedded else _counted(settings)
    with TemporaryDirectory(prefix="hisbus-bench-") as folder:
        async with scratch(settings, Path(folder) / "calm", embedded=embedded) as site:
            calm, waits = await _play(site, servers, CALM_STAYS, CALM_RATE)
        fill = FILLED_S * measured.cores() / calm.whole_ms * 1000 / STAY
        stays = max(STAYS[0], min(STAYS[1], round(fill)))
        async with scratch(settings, Path(folder) / "full", embedded=embedded) as site:
            load, _ = await _play(site, servers, stays, 0)
        return waits, load


async def _play(settings: Settings, servers: Collection[str], stays: int, rate: int) -> tuple[Load, list[float]]:
    """Send an empty site some stays, and wait until nothing is left to do."""
    with bind("127.0.0.1:0") as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    connector: dict[str, Any] = {
        "name": "bench",
        "type": CONNECTOR,
        "listen": listen,
        "charset": "UTF-8",
        "timezone": "Asia/Shanghai",
        "clock": "feed",
    }
    settings = settings.model_copy(update={"connectors": [connector]})
    async with App(settings, tuple(FLOW)).running() as app:
        agents = [agent.name for agent in app.agents if settings.agent(agent.name).enabled]
        empty, before, begun = await measured.stored(app.site), usage(servers), time.monotonic()
        await _send(listen, stays, rate)
        deadline = time.monotonic() + PATIENCE_S
        while any((await lag(app.site, agents)).values()):
            if time.monotonic() > deadline:
                raise RetryLater(f"Work was left after {PATIENCE_S:.0f} s. Look at `hisbus check`.", code="late")
            await asyncio.sleep(POLL_S)
        seconds, after = time.monotonic() - begun, usage(servers)
        left = {name: size - empty.get(name, 0) for name, size in (await measured.stored(app.site)).items()}
        load = Load(await measured.taken(app.site), seconds, before, after, left)
        return load, await measured.waits_ms(app.site)


async def _send(to: str, stays: int, rate: int) -> None:
    words = ["send", "--to", to, "--patients", stays, "--pace", rate, "--connections", CONNECTIONS]
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", SIMULATOR, *map(str, words)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await sender.communicate()
    finally:
        if sender.returncode is None:
            sender.kill()
            await sender.wait()
    if sender.returncode:
        complaint = said.decode(errors="replace").strip()[-500:]
        raise RetryLater(f"The simulator could not send: {complaint}", code="simulator")


def _say(settings: Settings, waits: list[float], load: Load, servers: list[str]) -> None:
    where = " and ".join(servers) or "the embedded log and database"
    typer.echo(f"{load.events:,} messages of an imaginary hospital, on {where}, {measured.cores()} cores.")
    typer.echo(f"Kept: {load.kept:,.0f} messages a second, {load.kept * 86400 / 1e6:,.1f} million a day.")
    if waits:
        late = quantiles(waits, n=100)[98] if len(waits) > 1 else waits[0]
        typer.echo(
            f"At {CALM_RATE} a second a finding was open {median(waits):,.0f} ms after its message was stored,"
            f" 99 of 100 within {late:,.0f} ms."
        )
    table = table_of("process", "CPU of a message, ms", "of one core", "memory at most, MiB")
    for name, cost in sorted(load.cpu_ms.items(), key=lambda one: -one[1]):
        held = f"{load.after.rss_mb[name]:,.0f}" if name in load.after.rss_mb else ""
        table.add_row(name, f"{cost:,.2f}", f"{load.share_of_a_core(name):.0%}", held)
    show(table)
    kept = " and ".join(f"{size / load.events / 1024:,.1f} KiB in the {name}" for name, size in load.stored.items())
    typer.echo(f"A message leaves {kept}.")
    away = [name for name in servers if name not in load.cpu_ms]
    if away:
        typer.echo(f"{' and '.join(away)}: on another machine, or not to be seen from here; look there.")
    for sentence in measured.limit(load):
        typer.echo(sentence)
    cores = ", ".join(f"{rate:,} a second {count:.1f}" for rate, count in measured.wanted(load).items())
    typer.echo(f"Cores for all of these processes, at most {measured.BUSY:.0%} busy: {cores}.")
    if settings.llm.url or settings.remote:
        typer.echo("The model and remote agents were not asked.")
