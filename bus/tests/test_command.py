"""A command imports what it needs and no more, so that it answers at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hisbus_bus.command.main import GROUPS

SHOW = """
import sys
from hisbus_bus.command.main import main
try:
    main()
finally:
    print("loaded:", *sys.modules)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Run a command in a process of its own; return every module that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments],
        cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return set(done.stdout.rpartition("loaded:")[2].split())


def packages(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_help_imports_no_contract_no_database_no_broker_and_no_web_framework(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "--help")
    heavy = {
        "aiokafka",
        "alembic",
        "fastapi",
        "hisbus",
        "hisbus_schemas",
        "httpx",
        "jinja2",
        "openai",
    }
    assert not packages(modules) & {*heavy, "prometheus_client", "sqlalchemy", "structlog", "uvicorn", "uvloop"}
    bus = {name for name in modules if name.startswith("hisbus_bus.") and not name.startswith("hisbus_bus.command")}
    assert bus == {"hisbus_bus.kernel", "hisbus_bus.kernel.topics"}


def test_a_command_that_needs_the_database_alone_imports_no_step_and_no_page(tmp_path: Path) -> None:
    (tmp_path / "hisbus.toml").write_text('site = "test"\n')
    loaded(tmp_path, "user", "add", "alice")  # makes the schema
    modules = loaded(tmp_path, "user", "add", "bob")
    heavy = {"aiokafka", "aiosqlite", "alembic", "fastapi", "greenlet", "hisbus_schemas", "jinja2", "openai", "pluggy"}
    heavy |= {"prometheus_client", "psycopg", "rich", "structlog", "uvicorn", "uvloop"}
    assert not packages(modules) & heavy
    assert not modules & {"sqlalchemy.dialects.postgresql", "sqlalchemy.ext.asyncio", "sqlalchemy.orm"}
    rooms = {name.split(".")[1] for name in modules if name.startswith("hisbus_bus.")}
    assert rooms == {"command", "kernel"}
    assert not {name for name in modules if name.startswith(("hisbus_bus.kernel.log", "hisbus_bus.kernel.telemetry"))}


def test_a_line_of_a_command_that_needs_the_database_alone_carries_no_words_of_a_library(tmp_path: Path) -> None:
    work = """
import logging
from pathlib import Path
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.written import with_database

async def work(database):
    for level in (logging.WARNING, logging.ERROR, logging.ERROR):
        logging.getLogger("sqlalchemy.pool").log(level, "of a patient")

chosen.path = Path("hisbus.toml")
with_database(work)
"""
    (tmp_path / "hisbus.toml").write_text('site = "test"\n')
    done = subprocess.run([sys.executable, "-c", work], cwd=tmp_path, check=True, capture_output=True, text=True)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in said] == [("library.sqlalchemy.pool", "error")] * 2
    assert "patient" not in done.stderr + done.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_the_commands_of_the_file_of_its_name(group: str, tmp_path: Path) -> None:
    modules = loaded(tmp_path, group, "--help")
    assert f"hisbus_bus.command.{group}" in modules
    assert not {f"hisbus_bus.command.{other}" for other in GROUPS if other != group} & modules


WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None  # as where it is not installed
from hisbus_bus.command.main import main
main()
"""


@pytest.mark.parametrize(
    ("library", "arguments", "sentence"),
    [
        ("rapidfuzz", ["evaluate", "compare", "a", "b"], "needs rapidfuzz: pip install 'hisbus-bus[evaluate]'."),
        ("faststream", ["check"], "remote: remote agents need FastStream: pip install 'hisbus-bus[remote]'."),
    ],
)
def test_an_extra_that_is_missing_is_named(library: str, arguments: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 64)
    (tmp_path / "hisbus.toml").write_text(
        'site = "test"\nsecret_file = "secret"\n[log]\nurl = "kafka://127.0.0.1:1"\n'
        '[remote.far]\nkinds = ["document.filed"]\n'
        "[plugins]\nqc.enabled = false\ncoding.enabled = false\ndocumentation.enabled = false\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, library, *arguments],
        cwd=tmp_path, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode in {1, 2} and sentence in done.stdout
    assert "Traceback" not in done.stdout
