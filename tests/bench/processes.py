"""Processes that are measured: started, watched, stopped."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parents[2]
START_S = 60.0


class BenchError(Exception):
    """Something could not be measured."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(done: Callable[[], bool], what: str, seconds: float = START_S) -> None:
    """Wait until something is so.

    Raises:
        BenchError: it did not come about.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not come about within {seconds:.0f} s.")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Tell whether somebody takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listener(port: int) -> psutil.Process:
    """Return the process that listens at a port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise BenchError(f"Nobody listens at port {port}.")


def cpu_s(process: psutil.Process, *, family: bool = False) -> float:
    """Return the CPU seconds that a process has used; with its family: its children's too, also those that ended."""
    used = process.cpu_times()
    own = used.user + used.system
    if not family:
        return float(own)
    living = 0.0
    for child in process.children():
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go
            living += cpu_s(child, family=True)
    return float(own + used.children_user + used.children_system + living)


def peak_rss_mb(process: psutil.Process) -> float:
    """Return the most memory that a process has held so far, MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Server:
    """A process that listens. Use it as a context manager; it ends with the block."""

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        log: Path,
        name: str = "",
        program: str = sys.executable,
    ) -> None:
        """Take what to run (with this interpreter) and the port at which it will listen; 0: it listens nowhere."""
        self._command = [program, *map(str, command)]
        self.log = log
        self.port = port
        self.name = name
        self._process: subprocess.Popen[bytes]
        self.process: psutil.Process

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        self.process = psutil.Process(self._process.pid)
        try:
            wait_until(self._up, f"{self._command[-1]} at port {self.port} (see {self.log})")
        except BaseException:
            self._stop()
            raise
        return self

    def _up(self) -> bool:
        if self._process.poll() is not None:
            raise BenchError(f"It ended with {self._process.returncode}; {self.log} says why.")
        return not self.port or listens(self.port)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(command: Sequence[str | Path]) -> str:
    """Run a program with this interpreter and return what it says.

    Raises:
        BenchError: it failed.
    """
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))} failed: {done.stderr[-2000:]}")
    return done.stdout
