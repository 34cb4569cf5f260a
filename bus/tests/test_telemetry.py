import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from hisbus.errors import BadMessage
from hisbus_bus.kernel import telemetry

CANARY = "王建国110101196005041226"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    written = io.StringIO()
    root = logging.getLogger()
    before, level, configured = list(root.handlers), root.level, structlog.get_config()
    monkeypatch.setattr("sys.stderr", written)
    telemetry.set_up("info")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    structlog.configure(**configured)
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_carries_only_what_is_on_the_list(lines: Any) -> None:
    telemetry.logger().info("stored", count=3, patient=CANARY)
    (line,) = lines()
    assert line["count"] == 3
    assert "patient" not in line


def test_what_looks_like_an_identity_is_removed_even_from_listed_keys(lines: Any) -> None:
    telemetry.logger().warning("odd", reason=f"seen {CANARY}", code="13800138000")
    (line,) = lines()
    assert "110101196005041226" not in line["reason"]
    assert line["code"] == "[removed]"


def test_an_exception_is_named_by_type_and_place_and_never_quoted(lines: Any) -> None:
    try:
        raise BadMessage(CANARY, code="unreadable")
    except BadMessage:
        telemetry.logger().error("failed", exc_info=True)
    (line,) = lines()
    assert (line["error"], line["code"]) == ("BadMessage", "unreadable")
    assert line["place"].startswith("test_telemetry.py:")
    assert CANARY not in json.dumps(line, ensure_ascii=False)


def test_what_the_web_server_says_of_its_start_is_no_line_of_its_own(lines: Any) -> None:
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("went wrong")
    assert [(line["event"], line["level"]) for line in lines()] == [("library.uvicorn.error", "error")]


def test_of_a_library_only_its_name_is_kept(lines: Any) -> None:
    logging.getLogger("sqlalchemy.engine").warning("INSERT %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("somebody").exception("went wrong with %s", CANARY)
    said = lines()
    assert [line["event"] for line in said] == ["library.sqlalchemy.engine", "library.somebody"]
    assert said[1]["error"] == "ValueError"
    assert CANARY not in json.dumps(said, ensure_ascii=False)
