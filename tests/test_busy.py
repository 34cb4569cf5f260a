"""What counts the runs beside busy loops, counts right; and the loops never outlive it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.faults import busy

pytestmark = pytest.mark.timeout(600)

SAMPLE = """
from pathlib import Path

def test_holds():
    pass

def test_holds_once():
    mark = Path(__file__).with_name("mark")
    assert not mark.exists()
    mark.touch()
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "test_sample.py").write_text(SAMPLE)
    return folder


def test_each_run_is_counted_and_a_failed_one_ends_with_1(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUSY_RUNS", "2")
    assert busy.main(sample, tmp_path, loops=0) == 1
    report = json.loads((tmp_path / "busy.json").read_text())
    assert {test.rpartition("::")[2]: outcome for test, outcome in report["tests"].items()} == {
        "test_holds": {"passed": 2, "failed": 0},
        "test_holds_once": {"passed": 1, "failed": 1},
    }
    assert (report["passed"], report["failed"], report["left_out"]) == (3, 1, 0)
    assert "assert not" in (tmp_path / "busy-test_holds_once-2.log").read_text()
    assert "test_holds_once" in capsys.readouterr().out


def test_a_bound_in_time_leaves_out_and_says_so(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSY_MINUTES", "0")
    assert busy.main(sample, tmp_path, loops=0) == 1, "nothing was shown"
    assert json.loads((tmp_path / "busy.json").read_text())["left_out"] == 10


def test_the_loops_end_with_the_block() -> None:
    with busy.busy_loops(2) as loops:
        assert all(psutil.pid_exists(pid) for pid in loops)
    assert not any(psutil.pid_exists(pid) for pid in loops)


def test_the_loops_end_when_whoever_started_them_is_killed() -> None:
    script = (
        "import time\nfrom tests.faults import busy\n"
        "with busy.busy_loops(1) as loops:\n    print(*loops, flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=busy.ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        [loop] = map(int, parent.stdout.readline().split())
        process = psutil.Process(loop)
        os.kill(parent.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
