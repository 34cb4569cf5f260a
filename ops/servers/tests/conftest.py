"""Folders that the server's own user can enter; pytest's are for their owner alone."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hisbus_servers.cli import app


@pytest.fixture(scope="module")
def server_folder() -> Iterator[Path]:
    lacking = CliRunner().invoke(app, ["lacking"])
    if lacking.exit_code:
        pytest.skip(lacking.output.strip())
    with tempfile.TemporaryDirectory(prefix="hisbus-servers-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
