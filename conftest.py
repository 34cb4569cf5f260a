"""What holds for every test: where corpora are, and that nothing is skipped in silence.

``HISBUS_MUST_RUN="browser corpora"`` makes a skipped test with one of these marks a failure.
``HISBUS_EXPLORE=1`` lets property tests look for new examples; without it they are the same in every run.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

hypothesis.settings.register_profile("house", derandomize="HISBUS_EXPLORE" not in os.environ, database=None)
hypothesis.settings.load_profile("house")

# Lines go to logging, where a test can see them; structlog's own default draws a picture of every exception.
structlog.configure(
    processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer(default=repr)],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)

MUST_RUN = set(os.environ.get("HISBUS_MUST_RUN", "").split())
skipped: list[tuple[str, str, bool]] = []


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with other people's data beside the checkout."""
    folder = Path(__file__).parents[1] / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip("the corpora are not beside the checkout (../shared/corpora)")
    return folder


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
