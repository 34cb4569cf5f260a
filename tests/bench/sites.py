"""Sites that are measured: a folder, a configuration, and the log and database that it names."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from tests.bench.processes import BenchError, Server, free_port, listens, peak_rss_mb, run, wait_until

from hisbus_bus.kernel.topics import FLOW
from hisbus_simulator.oracle import JUDGED

KAFKA = os.environ.get("HISBUS_TEST_KAFKA", "")
POSTGRES = os.environ.get("HISBUS_TEST_POSTGRES", "")
CONFIGURATION = """\
site = "{name}"
terms_file = "{folder}/terms.db"
secret_file = "{folder}/site.secret"
[log]
{log}
[database]
url = "{database}"
[web]
listen = "127.0.0.1:{web}"
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:{mllp}"
charset = "UTF-8"
timezone = "Asia/Shanghai"
clock = "feed"
max_connections = 256
max_connections_per_peer = 256
{agents}"""
ONLY_JUDGED = f"""\
[plugins.coding]
enabled = false
[plugins.documentation]
enabled = false
[agents.qc-text]
enabled = false
[agents.qc.settings]
only = {json.dumps(JUDGED)}
"""
"""The agent ``qc`` with the rules that the simulator judges from facts alone."""
TABLE = ("--system", "ICD-10-SIM", "--version", "1", "--licence", "written for the simulator of hisbus")


@dataclass(frozen=True)
class Site:
    """One site, configured."""

    name: str
    folder: Path
    mllp: int
    web: int
    database: str

    def command(self, *words: str) -> list[str]:
        """Return a hisbus command for this site, for ``Server`` and ``run``."""
        return ["-m", "hisbus_bus", "--config", str(self.folder / "hisbus.toml"), *words]

    def lag(self) -> dict[str, int]:
        """Return what waits for each step."""
        lag: dict[str, int] = httpx.get(f"http://127.0.0.1:{self.web}/readyz", timeout=30).json()["lag"]
        return lag

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels, as the process with the page tells it."""
        lines = httpx.get(f"http://127.0.0.1:{self.web}/metrics", timeout=30).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


@dataclass
class Running:
    """A site's processes."""

    site: Site
    servers: list[Server]
    told: int = 0
    """Messages that it was sent."""
    poll_s: float = 0.25
    """Between two looks at what is left; a look costs what is measured."""

    def left(self) -> int:
        """Return how much is left to do, in all steps."""
        return sum(self.site.lag().values())

    @property
    def parents(self) -> dict[str, psutil.Process]:
        """By step (``up``: all of them): the process."""
        return {server.name: server.process for server in self.servers}

    def peak_rss_mb(self) -> float:
        """Return the most memory that one of them has held so far, MiB."""
        return max(peak_rss_mb(process) for process in self.parents.values())


class RunningFloor(Running):
    """The floor's process, and a way to ask how far it is."""

    connection: "psycopg.Connection[Any]"

    def left(self) -> int:
        """Return how many messages have not passed both of its last hops."""
        query = "SELECT sum(next) FROM offsets WHERE grp IN ('review', 'timers') GROUP BY grp"
        passed = [int(row[0]) for row in self.connection.execute(query)]
        return self.told - (min(passed) if len(passed) == 2 else 0)


def make(folder: Path, name: str, *, servers: bool = True, everything: bool = False) -> Site:
    """Make a site with an empty log and database, on the real servers or on the embedded ones.

    Args:
        folder: made anew.
        name: of the site.
        servers: Kafka and PostgreSQL; False: the embedded ones.
        everything: all plugins with all their rules, as shipped, and the simulator's table of diagnoses; False:
            ``ONLY_JUDGED``.

    What an earlier measurement left on the servers is not met again: the name gets this process's number.
    """
    name = f"{name}-{os.getpid()}"
    folder.mkdir(parents=True)
    (folder / "site.secret").write_text(secrets.token_hex(32), "utf-8")
    log, database = f'url = "sqlite:///{folder}/log.db"', f"sqlite:///{folder}/hisbus.db"
    if servers:
        log, database = f'url = "kafka://{KAFKA}"\ndurability = "single-broker"', _new_database(name)
    site = Site(name, folder, free_port(), free_port(), database)
    places = {"name": name, "folder": folder, "log": log, "database": database, "web": site.web, "mllp": site.mllp}
    text = CONFIGURATION.format(**places, agents="" if everything else ONLY_JUDGED)
    (folder / "hisbus.toml").write_text(text, "utf-8")
    if servers:
        run(site.command("topics", "apply"))
    if everything:
        with as_file(files("hisbus_simulator").joinpath("codes", "clinical.csv")) as table:
            run(site.command("terms", "load", str(table), *TABLE))
    return site


def _new_database(name: str) -> str:
    name = name.replace("-", "_")
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{POSTGRES.rpartition('/')[0]}/{name}"


@contextmanager
def up(site: Site) -> Iterator[Running]:
    """Run a site in one process."""
    with Server(site.command("up"), site.web, site.folder / "up.log", "up") as server:
        yield from _ready(Running(site, [server]))


@contextmanager
def floor(site: Site) -> Iterator[Running]:
    """Run the floor of the flow on a site's topics and database; its process has the name that hisbus's has."""
    command = ["-m", "tests.bench.floor_flow", str(site.mllp), KAFKA, site.database, site.name]
    with Server(command, site.mllp, site.folder / "floor.log", "up") as server:
        running = RunningFloor(site, [server], poll_s=0.02)
        with psycopg.connect(site.database, autocommit=True) as running.connection:
            yield running


@contextmanager
def processes(site: Site) -> Iterator[Running]:
    """Run a site with each step in a process of its own."""
    with ExitStack() as stack:
        servers = []
        for step in ("web", *reversed(list(FLOW))):
            port = {"web": site.web, "intake": site.mllp}.get(step, 0)
            servers.append(Server(site.command("run", step), port, site.folder / f"{step}.log", step))
            stack.enter_context(servers[-1])
        yield from _ready(Running(site, servers))


def _ready(running: Running) -> Iterator[Running]:
    for server in running.servers:
        wait_until(lambda: b'"started"' in server.log.read_bytes(), f"The start of {server.name}")  # noqa: B023
    wait_until(lambda: listens(running.site.mllp), "Intake")
    yield running
    for server in running.servers:
        if not server.process.is_running():
            raise BenchError(f"{server.name} has ended; {server.log} says why.")
