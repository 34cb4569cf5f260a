"""What holds for every test: where corpora and servers are, and that nothing is skipped in silence.

``HISBUS_MUST_RUN="browser corpora"`` makes a skipped test with one of these marks a failure.
``HISBUS_EXPLORE=1`` lets property tests look for new examples; without it they are the same in every run.
"""

import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import structlog

import hisbus_bus.kernel.telemetry  # noqa: F401 - gives connectors and agents the bus's logger, as a site does
from hisbus.terms import Release, icd10cm, store

hypothesis.settings.register_profile("house", derandomize="HISBUS_EXPLORE" not in os.environ, database=None)
hypothesis.settings.load_profile("house")

# Lines go to logging, where a test can see them; structlog's own default draws a picture of every exception.
structlog.configure(
    processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer(default=repr)],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)

_CONFIGURED = structlog.get_config()

MUST_RUN = set(os.environ.get("HISBUS_MUST_RUN", "").split())
skipped: list[tuple[str, str, bool]] = []


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Take back what a command that a test runs in this process does to the logging of all others."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
    structlog.configure(**_CONFIGURED)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with other people's data beside the checkout."""
    folder = Path(__file__).parents[1] / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip("the corpora are not beside the checkout (../shared/corpora)")
    return folder


def _ship(folder: Path, name: str, source: str) -> Path:
    """Lay a vendor's plugin into a folder as an installer would; return an interpreter that has it, and ours beside."""
    (folder / f"{name}_module.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vendor-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[hisbus.agents]\n{name} = {name}_module\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture(scope="session")
def ship() -> Callable[[Path, str, str], Path]:
    """Install a plugin: ``python = ship(folder, name, source)``."""
    return _ship


@pytest.fixture(scope="session")
def icd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of terminologies with ICD-10-CM alone, made once for all processes of a run; it is only read."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "icd-10-cm.db"
    if not shared.exists():
        version, rows = icd10cm.read(icd10cm.installed())
        facts = {"source": "made-up", "sha256": "0" * 64, "loaded": "2026-03-01T00:00:00+00:00", "licence": "made up"}
        made = own / "icd-10-cm.new.db"
        store.load(made, Release("ICD-10-CM", "diagnosis", version, **facts), rows)
        made.replace(shared)
    return shared


@pytest.fixture(scope="session")
def kafka() -> str:
    """The brokers, ``HOST:PORT,...``; a test makes topics of its own."""
    return _given("HISBUS_TEST_KAFKA", "no broker is given (HISBUS_TEST_KAFKA=HOST:PORT; make test-servers)")


@pytest.fixture(scope="session")
def postgres() -> str:
    """A server, by the address of one of its databases, in which tests may make others."""
    url = "postgresql://USER@HOST:PORT/NAME"
    return _given("HISBUS_TEST_POSTGRES", f"no PostgreSQL is given (HISBUS_TEST_POSTGRES={url}; make test-servers)")


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database for one test."""
    with _database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def shared_postgres_url(postgres: str) -> Iterator[str]:
    """A database that many tests of this process use, one after another: making one costs more than such a test."""
    with _database(postgres) as url:
        yield url


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _given(variable: str, otherwise: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        pytest.skip(otherwise)
    return value


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped and why."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        skipped.append((report.nodeid, reason, bool(MUST_RUN & set(report.keywords))))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test that must run did not."""
    if any(must for _, _, must in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say in one line what was skipped."""
    counts = Counter(reason for _, reason, _ in skipped)
    what = "; ".join(f"{count} because {reason}" for reason, count in counts.items()) or "nothing"
    terminalreporter.write_line(f"skipped: {what}")
    for nodeid, _, must in skipped:
        if must:
            terminalreporter.write_line(f"MUST RUN, but was skipped: {nodeid}", red=True)
