"""hisbus as a child process of the demo, with its configuration in a folder of its own."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hisbus_simulator.sites import BY_HAND, Kind

T = TypeVar("T")

_STOP_S = 20.0
TABLE = "ICD-10-SIM"
"""The hospital's table of diagnoses, ``codes/clinical.csv``: a small one, made up for the simulator in the form of the
national clinical version."""
_LOAD = ("--system", TABLE, "--version", "1", "--licence", "written for the simulator of hisbus")
_CONFIGURATION = """\
# Made anew by every demo.
site = "demo"
terms_file = "{folder}/terms.db"
{secret}[log]
url = "{log}"
{durability}[database]
url = "{database}"
[web]
listen = "127.0.0.1:{web}"
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:{listen}"
send = "127.0.0.1:{send}"
charset = "UTF-8"
timezone = "Asia/Shanghai"
clock = "feed"
{observed}[agents.coding-rules]
# The questions that it asks are not among the answers that are known here.
enabled = false
"""


_OBSERVED = """\
[[connectors]]
# What was there before the site was connected; it counts for coverage.
name = "past"
type = "hl7v2"
listen = "127.0.0.1:{past}"
charset = "UTF-8"
timezone = "Asia/Shanghai"
clock = "feed"
backfill = true
[coverage]
default = "observed"
[coverage.items]
{items}
"""
_EMBEDDED = {
    "secret": "",
    "log": "sqlite:///{folder}/log.db",
    "durability": "",
    "database": "sqlite:///{folder}/hisbus.db",
}


@dataclass(frozen=True, slots=True)
class Servers:
    """Real servers that a demo runs on."""

    kafka: str
    """HOST:PORT of a single broker."""
    database: str
    """Address of an empty PostgreSQL database."""


def _real(servers: Servers, folder: Path) -> dict[str, str]:
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32), "ascii")
    return {
        "secret": 'secret_file = "{folder}/secret"\n',
        "log": f"kafka://{servers.kafka}",
        "durability": 'durability = "single-broker"\n',
        "database": servers.database,
    }


class ChildError(Exception):
    """hisbus could not be started, or stopped by itself. Its log says why."""


def free_port(preferred: int) -> int:
    """Return a port of 127.0.0.1 that nobody listens on: the preferred one if possible."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ChildError("No port of 127.0.0.1 is free.")


class Child:
    """``hisbus up``. Use it as an asynchronous context manager; it ends with the block."""

    def __init__(self, folder: Path, send: int, observed: Kind | None = None, servers: Servers | None = None) -> None:
        """Make the folder anew, with a configuration whose write-backs go to the port `send`.

        Args:
            observed: the kind of hospital that it is connected to, where it goes by what that was seen to send; None:
                it judges all at once.
            servers: a broker and a database; None: the embedded ones.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.web, self.listen, self.past = free_port(8080), free_port(2575), free_port(2577)
        self.url = f"http://127.0.0.1:{self.web}"
        self.log = folder / "hisbus.log"
        self._configuration = folder / "hisbus.toml"
        place = folder.absolute().as_posix()
        ports = {"web": self.web, "listen": self.listen, "send": send}
        where = _EMBEDDED if servers is None else _real(servers, folder)
        where = {name: line.format(folder=place) for name, line in where.items()}
        seen = ""
        if observed is not None:
            items = "\n".join(f'"{item}" = "{said}"' for item, said in BY_HAND[observed].items())
            seen = _OBSERVED.format(past=self.past, items=items)
        text = _CONFIGURATION.format(folder=place, **ports, **where, observed=seen)
        self._configuration.write_text(text, "utf-8")
        self._servers = servers
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if self._servers is not None:
            await self.ask("topics", "apply")
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command("up"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends its child in order
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int | None:
        """Return the process that runs hisbus."""
        return self._process.pid if self._process else None

    def agents(self) -> dict[str, int]:
        """Return the processes of the plugins by their names, where the system tells (Linux)."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):  # it may end meanwhile
                words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and "hisbus.child" in words:
                    found[words[words.index("hisbus.child") + 1]] = int(place.name)
        return found

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hisbus_bus", "--config", str(self._configuration), *arguments]

    async def meanwhile(self, work: Coroutine[None, None, T]) -> T:
        """Do something that needs it running.

        Raises:
            ChildError: it stopped before the work was done.
        """
        if self._process is None:
            raise ChildError("hisbus was not started.")
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ChildError(f"hisbus stopped with exit code {stopped.result()}.")
            return task.result()
        finally:
            for pending in (task, stopped):
                pending.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def load_table(self) -> None:
        """Load the hospital's table of diagnoses. It needs no restart.

        Raises:
            ChildError: the command failed.
        """
        with as_file(files("hisbus_simulator").joinpath("codes", "clinical.csv")) as table:
            await self.ask("terms", "load", str(table), *_LOAD)

    async def ask(self, *arguments: str) -> str:
        """Run another command of hisbus and return the last line that it prints.

        Raises:
            ChildError: the command failed; the message is what it said.
        """
        command = await asyncio.create_subprocess_exec(
            *self._command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaint = await command.communicate()
        lines = said.decode().split()
        if command.returncode or not lines:
            raise ChildError(f"`hisbus {' '.join(arguments)}` failed: {complaint.decode().strip()[-500:]}")
        return lines[-1]
