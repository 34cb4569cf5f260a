"""A vendor needs two wheels and no checkout: what they bring, and a plugin written and tested beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv
from tests.rooms import members

import hisbus

ROOT = Path(__file__).parents[1]

BROUGHT = {
    "hisbus", "hisbus-schemas",
    "pluggy", "pydantic",
    "annotated-types", "pydantic-core", "typing-extensions", "typing-inspection",
}  # fmt: skip
"""Two requirements, and what pydantic requires."""

FOUND = "import hisbus, hisbus_schemas; print(hisbus.__file__, hisbus_schemas.__file__)"


def run(folder: Path, *words: object) -> str:
    """Run a command in a folder that is no checkout; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=environment, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_plugin_is_written_and_tested_beside_two_wheels_and_no_checkout(tmp_path: Path) -> None:
    pip = (uv.find_uv_bin(), "pip", "install", "-q", "-p", tmp_path / "env", "-c", ROOT / "constraints.txt")
    python = tmp_path / "env/bin/python"
    for member in ("schemas", "bus/sdk"):
        run(tmp_path, uv.find_uv_bin(), "build", "-q", "--wheel", "-o", tmp_path / "dist", ROOT / member)
    run(tmp_path, uv.find_uv_bin(), "venv", "-q", "-p", sys.executable, tmp_path / "env")
    run(tmp_path, *pip, *(tmp_path / "dist").glob("*.whl"))

    listed = json.loads(
        run(tmp_path, uv.find_uv_bin(), "pip", "list", "-q", "-p", tmp_path / "env", "--format", "json")
    )
    assert {one["name"] for one in listed} == BROUGHT
    assert {one["version"] for one in listed if one["name"].startswith("hisbus")} == {hisbus.__version__}
    assert all(Path(file).is_relative_to(tmp_path) for file in run(tmp_path, python, "-c", FOUND).split())

    written = run(tmp_path, python, "-m", "hisbus.new", "plugin", "brevity")
    assert "brevity/src/hisbus_brevity/agent.py" in written.splitlines()
    run(tmp_path, *pip, "-e", "brevity", "pytest")
    assert " passed" in run(tmp_path, python, "-m", "pytest", "-q", "brevity")


@pytest.mark.long
def test_make_wheels_takes_every_member() -> None:
    said = subprocess.run(["make", "-n", "wheels"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
    (line,) = (line for line in said.splitlines() if "uv build" in line)
    assert set(line.partition(" in ")[2].partition(";")[0].split()) == {
        member.relative_to(ROOT).as_posix() for member in members()
    }
