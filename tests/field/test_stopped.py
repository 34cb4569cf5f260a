"""What reads a capture beside the site leaves nothing of it behind where it is stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.field.test_trying import OURS, SITE

ROOT = Path(__file__).parents[2]
MORNING = ROOT / "tests/field/inputs/local.hl7"
STARTS_S = 60


@pytest.mark.parametrize(
    ("words", "begins"),
    [(("profile", "try", "our-his.toml", "long.hl7"), "hisbus-try-"), (("play", ROOT / "tests/cases"), "hisbus-play-")],
    ids=["profile-try", "play"],
)
def test_a_run_that_is_stopped_takes_its_folder_away(tmp_path: Path, words: tuple[str, ...], begins: str) -> None:
    (tmp_path / "hisbus.toml").write_text(SITE)
    (tmp_path / "our-his.toml").write_text(OURS, encoding="utf-8")
    (tmp_path / "long.hl7").write_bytes((MORNING.read_bytes() + b"\n") * 300)  # it is not read before it is stopped
    folder = tmp_path / "tmp"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "hisbus_bus.command.main", *map(str, words)], cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + STARTS_S
        while not list(folder.glob(f"{begins}*/hisbus.db")):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said, wrong = process.communicate(timeout=STARTS_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM, (said, wrong)
    assert not list(folder.iterdir()) and b"Traceback" not in wrong
