"""``make test-busy``: each fault test five times beside busy loops, as many as there are cores and one more.

A hospital's machine is busy when it fails. ``BUSY_RUNS`` says how often, ``BUSY_ONLY`` which (as ``pytest -k``),
``BUSY_MINUTES`` after how long no further run begins. Writes ``var/busy.json``, and what a failed run printed beside
it; exits with 1 where one failed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
VAR = ROOT / "var"
REPORT = "busy.json"
LOOPS = (os.cpu_count() or 1) + 1
RUN_S = 1800.0
"""A run that has not ended by then has failed; each test has a deadline of its own, which is earlier."""

LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""
"""Works until who started it is gone, however that ended."""


@contextmanager
def busy_loops(count: int) -> Iterator[list[int]]:
    """Keep so many processes busy as long as the block lasts; their ids."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(count)]
    try:
        yield [loop.pid for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest; the long tests, too."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_S)
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if late.stdout else ""
        return subprocess.CompletedProcess(command, 124, said, f"not within {RUN_S} s")


def tests_in(folder: Path, only: str) -> list[str]:
    """Return the ids of the tests of a folder without others in it."""
    listed = pytest("--collect-only", *(["-k", only] if only else []), str(folder))
    found = [line.partition("::") for line in listed.stdout.splitlines() if "::" in line]
    return [f"{folder / Path(file).name}::{test}" for file, _, test in found]


def run_each(tests: Sequence[str], runs: int, minutes: float, var: Path) -> dict[str, Any]:
    """Run each test so often, in rounds, and return the report."""
    begun, outcomes = monotonic(), {test: {"passed": 0, "failed": 0} for test in tests}
    for number in range(runs):
        for test in tests:
            if monotonic() - begun > minutes * 60:
                continue
            done = pytest(test)
            outcomes[test]["passed" if done.returncode == 0 else "failed"] += 1
            if done.returncode:
                name = test.rpartition("::")[2].replace("/", "-")
                (var / f"busy-{name}-{number + 1}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    counts = {word: sum(outcome[word] for outcome in outcomes.values()) for word in ("passed", "failed")}
    left_out = len(tests) * runs - sum(counts.values())
    return {"runs": runs, **counts, "left_out": left_out, "minutes": round((monotonic() - begun) / 60, 1)} | {
        "tests": outcomes
    }


def table_of(report: dict[str, Any]) -> Table:
    """Return what is printed."""
    table = Table("test", "passed", "failed", title=f"beside {report['loops']} busy loops")
    for test, outcome in report["tests"].items():
        table.add_row(test.rpartition("/")[2], str(outcome["passed"]), str(outcome["failed"]))
    table.add_row("all", str(report["passed"]), str(report["failed"]))
    return table


def holds(report: dict[str, Any]) -> bool:
    """Tell whether tests were run, and none failed."""
    return bool(report["passed"]) and not report["failed"]


def beside_servers() -> dict[str, Any]:
    """Run all of it with servers of its own, and return the report: what ``make soak`` calls."""
    (VAR / REPORT).unlink(missing_ok=True)
    command = [sys.executable, "-m", "hisbus_servers", "run", "--", sys.executable, "-m", "tests.faults.busy"]
    subprocess.run(command, cwd=ROOT, check=False)
    report: dict[str, Any] = json.loads((VAR / REPORT).read_text(encoding="utf-8"))
    return report


def main(folder: Path = Path(__file__).parent, var: Path = VAR, loops: int = LOOPS) -> int:
    """Run, write the report and print it."""
    runs, minutes = int(os.environ.get("BUSY_RUNS", "5")), float(os.environ.get("BUSY_MINUTES", "600"))
    var.mkdir(exist_ok=True)
    tests = tests_in(folder, os.environ.get("BUSY_ONLY", ""))
    with busy_loops(loops):
        report = {"loops": loops, **run_each(tests, runs, minutes, var)}
    (var / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console(width=140).print(table_of(report))
    return 0 if holds(report) else 1


if __name__ == "__main__":
    sys.exit(main())
