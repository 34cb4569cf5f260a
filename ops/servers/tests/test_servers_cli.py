"""The command as a process: what it starts ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

RUN = (sys.executable, "-m", "hisbus_servers", "run", "--folder")
SAYS_WHERE = "import os; print(os.environ['HISBUS_TEST_KAFKA'], os.environ['HISBUS_TEST_POSTGRES'], flush=True)"


def started_in(folder: Path) -> list[psutil.Process]:
    """Return the servers whose data are in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or [])
        and "hisbus_servers" not in process.cmdline()
    ]


def until_none(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while left := started_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_the_exit_status_is_the_commands(server_folder: Path) -> None:
    folder = server_folder / "status"
    done = subprocess.run(
        [*RUN, folder, "--", sys.executable, "-c", f"{SAYS_WHERE}; raise SystemExit(7)"], capture_output=True, text=True
    )
    kafka, postgres = done.stdout.split()
    assert (done.returncode, kafka[:10], postgres[:23]) == (7, "127.0.0.1:", "postgresql://postgres@1")
    assert not started_in(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_outlives_the_command(server_folder: Path, number: signal.Signals) -> None:
    folder = server_folder / number.name
    command = [*RUN, str(folder), "--", sys.executable, "-c", f"{SAYS_WHERE}; import signal; signal.pause()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        (child,) = [process for process in psutil.Process(running.pid).children() if "pause" in process.cmdline()[-1]]
        assert len(started_in(folder)) >= 2
        os.kill(running.pid, number)
    assert running.returncode == (143 if number is signal.SIGTERM else -9)
    child.wait(30)
    until_none(folder)
