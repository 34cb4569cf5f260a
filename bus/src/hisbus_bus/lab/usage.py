"""What processes of this machine use, as Linux tells it in ``/proc``. Elsewhere it tells of this process alone."""

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OURS = "hisbus"
"""The name of this process, where all steps are in it."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used until now."""

    cpu_s: Mapping[str, float]
    """CPU seconds by who used them: this process, each plugin's, and servers of this machine."""
    busy_s: float
    """CPU seconds of the whole machine; 0 where it does not tell."""
    rss_mb: Mapping[str, float]
    """The most memory held so far, MiB; of no server."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    words: list[str]
    cpu_s: float
    """Its own, and of its children that have ended."""
    rss_mb: float


def usage(servers: Collection[str] = ()) -> Usage:
    """Return what has been used.

    Args:
        servers: of ``Kafka`` and ``PostgreSQL`` those that are counted where they run here.
    """
    cpu, rss = defaultdict[str, float](float), defaultdict[str, float](float)
    known = {process.pid: process for process in _processes()}
    for process in known.values():
        if name := _named(process, known, servers):
            cpu[name] += process.cpu_s
            if name not in servers:  # their processes share most of what each seems to hold
                rss[name] += process.rss_mb
    cpu[OURS] = time.process_time()
    return Usage(cpu, _busy_s(), rss)


def _named(process: _Process, known: Mapping[int, _Process], servers: Collection[str]) -> str:
    """Return whose work a process does; empty: none of ours."""
    words = process.words
    if process.pid == os.getpid():
        return OURS
    if "hisbus.child" in words and _is_ours(process, known):
        return f"plugin {words[words.index('hisbus.child') + 1]}"
    if "Kafka" in servers and "kafka.Kafka" in words:
        return "Kafka"
    program = words[0].partition(":")[0].rpartition("/")[2] if words else ""
    return "PostgreSQL" if "PostgreSQL" in servers and program == "postgres" else ""


def _is_ours(process: _Process, known: Mapping[int, _Process]) -> bool:
    """Tell whether this process has started it, or one that has."""
    while process.parent != os.getpid():
        if process.parent not in known:
            return False
        process = known[process.parent]
    return True


def _processes() -> Iterator[_Process]:
    tick = os.sysconf("SC_CLK_TCK") if PROC.is_dir() else 0
    for place in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it may end meanwhile
            words = (place / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            numbers = (place / "stat").read_text().rpartition(")")[2].split()
            status = (place / "status").read_text()
            most = int(status.split("VmHWM:")[1].split()[0]) / 1024
            yield _Process(int(place.name), int(numbers[1]), words, sum(map(int, numbers[11:15])) / tick, most)


def _busy_s() -> float:
    with suppress(OSError):
        columns = [int(number) for number in (PROC / "stat").read_text().partition("\n")[0].split()[1:9]]
        return (sum(columns) - columns[3] - columns[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting for disks
    return 0.0
