"""A PostgreSQL server on 127.0.0.1, from the machine's own packages, as durable as a hospital's."""

import os
import shutil
import signal
import time
from pathlib import Path

import psycopg
from psycopg import sql

from hisbus_servers.process import Process, ServerError, kept_ports

START_S = 60.0
"""Longest time that it gets to answer, crash recovery included, seconds."""

_USER = "postgres"


def binaries() -> Path | None:
    """Return the folder of the newest server's programs; None: there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    found = debian[-1] if debian else Path(on_path).resolve() if on_path else None
    return found.parent if found else None


class Postgres:
    """One server, whose superuser ``postgres`` needs no password."""

    def __init__(self, folder: Path) -> None:
        """Keep data, log (``postgres.log``) and port in a folder, so that the same folder is the same server.

        Started by root, it runs as the user ``postgres``, who must be able to enter the folder.

        Raises:
            ServerError: no server is installed.
        """
        programs = binaries()
        if programs is None:
            raise ServerError("No PostgreSQL server is installed.")
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = kept_ports(folder / "ports", 1)
        self._data = folder / "postgres"
        self._log = folder / "postgres.log"
        self._owner = _USER if os.geteuid() == 0 else None
        self._programs = programs
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "on",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(self._data), *options]
        self._server = Process(command, self._log, user=self._owner)

    def url(self, name: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it, also after :meth:`kill`, and wait until it answers.

        Raises:
            ServerError: it did not.
        """
        if not (self._data / "PG_VERSION").exists():
            self._make()
        self._server.start()
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:  # not yet, or recovering
                if not self._server.running or time.monotonic() > deadline:
                    self._server.kill()
                    raise self._server.failed("PostgreSQL does not answer") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        self._server.stop(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL to the server and all its children."""
        self._server.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._server.pause()

    def resume(self) -> None:
        """Thaw it."""
        self._server.resume()

    def create(self, name: str) -> None:
        """Make an empty database."""
        self._do("CREATE DATABASE {}", name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self._do("DROP DATABASE {} WITH (FORCE)", name)

    def _do(self, statement: str, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def _make(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        if self._owner:
            shutil.chown(self._data, self._owner, self._owner)
        alike = ("--username", _USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        command = [str(self._programs / "initdb"), "-D", str(self._data), *alike]
        maker = Process(command, self._log, user=self._owner)
        maker.start()
        maker.until_ended()
