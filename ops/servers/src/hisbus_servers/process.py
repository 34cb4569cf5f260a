"""A server as a child process: it can be killed, frozen and thawed, and never outlives its parent."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

STOP_S = 20.0
"""Longest time that a server gets to end in order, seconds."""

_PORTS = range(20000, 32000)
"""Below the ephemeral ports: one of those may be taken by a client while the server is down."""

_spawner = ThreadPoolExecutor(1, "hisbus-servers")
"""The kernel's parent-death signal fires when the *thread* that started a child ends, so this one starts them all."""


class ServerError(Exception):
    """A server could not be started. The text ends with what it said last."""


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = secrets.choice(_PORTS)
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def kept_ports(file: Path, count: int) -> list[int]:
    """Return the ports that a file remembers; choose them at first, so that a server keeps its address."""
    if file.exists():
        return [int(port) for port in file.read_text().split()]
    ports = free_ports(count)
    file.write_text(" ".join(map(str, ports)))
    return ports


def as_user(user: str | None) -> list[str]:
    """Return what to put before a command so that it runs as a user (None: as ours)."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []


class Process:
    """One child process and its children, with a log file that is appended to at every start."""

    def __init__(self, command: Sequence[str], log: Path, *, user: str | None = None) -> None:
        """Describe it; `user` is only for root, who then starts it as somebody else."""
        self.command = command
        self.log = log
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its number.

        Raises:
            ServerError: it was not started.
        """
        if self._child is None:
            raise ServerError(f"{self.command[0]} was not started")
        return self._child.pid

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it; it is killed when we die."""
        bound = [*(as_user(self._user) or ["setpriv"]), "--pdeathsig=KILL", "--", *self.command]
        with self.log.open("ab") as log:
            self._child = _spawner.submit(
                subprocess.Popen,
                bound,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us, who then take it down in order
            ).result()

    def until_ended(self) -> None:
        """Wait for a command that ends by itself.

        Raises:
            ServerError: it failed.
        """
        if self._child is not None and self._child.wait() != 0:
            raise self.failed(f"{self.command[0]} failed")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end and wait; kill it when it does not."""
        if self._child is None:
            return
        if self.running:
            self.resume()  # a frozen process hears nothing
            self._child.send_signal(number)
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to it and its children."""
        if self._child is None:
            return
        if self.running:
            self._child.send_signal(signal.SIGSTOP)  # or it would start new children meanwhile
            self._signal_all(signal.SIGKILL)
        self._child.wait()

    def pause(self) -> None:
        """Freeze it and its children, and wait until each of their threads stands still.

        Connections stay open, nothing answers.
        """
        for pid in self._signal_all(signal.SIGSTOP):
            while any(_state(task) not in "TZ" for task in Path(f"/proc/{pid}/task").iterdir()):
                time.sleep(0.001)

    def resume(self) -> None:
        """Thaw it."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Send a signal to it and its children. Return those that were there."""
        if self._child is None or not self.running:
            return []
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split()
        reached = []
        for pid in (self._child.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                reached.append(pid)
        return reached

    def failed(self, what: str) -> ServerError:
        """Return the error that says what failed, with the end of the log."""
        said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
        return ServerError(f"{what}. The end of {self.log}:\n{said}")

    def until_listening(self, port: int, deadline_s: float) -> None:
        """Wait until a port of 127.0.0.1 takes connections.

        Raises:
            ServerError: it ended, or did not listen in time.
        """
        deadline = time.monotonic() + deadline_s
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if not self.running or time.monotonic() > deadline:
                raise self.failed(f"Nothing listens on port {port}")
            time.sleep(0.05)


def _state(task: Path) -> str:
    """Return the state of a thread: ``T`` is stopped, ``Z`` has ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
