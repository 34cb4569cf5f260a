"""What an operator types to hold parts of a site and to see what was set aside; whom the audit names for it."""

import os
import pwd
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hisbus_bus.command.main import app

ME = f"command:{pwd.getpwuid(os.getuid()).pw_name}"
ID, REASON = "f" * 64, "a_reason_of_a_connector_of_somebody_else.which_is_long_and_[is]_never_cut_" * 2
SINCE = "2026-03-02 08:00:00.000000"
PART = "connector:the-laboratory-of-the-second-affiliated-hospital-of-the-city"

Hisbus = Callable[..., str]


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hisbus:
    """Run the command in 80 columns; return what it says."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    config = tmp_path / "hisbus.toml"
    config.write_text(
        f'site = "test"\n[database]\nurl = "sqlite:///{tmp_path}/hisbus.db"\n'
        f'[[connectors]]\nname = "{PART.partition(":")[2]}"\ntype = "hl7v2"\n'
    )

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["--config", str(config), *words])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return run


def rows(said: str) -> list[list[str]]:
    """Return the cells of a table; of one that is folded, those of each row in one."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]


@pytest.fixture
def parked(hisbus: Hisbus, tmp_path: Path) -> None:
    """Something that was set aside."""
    hisbus("controls")  # makes the tables
    with sqlite3.connect(tmp_path / "hisbus.db") as connection:
        connection.execute(
            "INSERT INTO parked (id, step, topic, partition, offset, key, headers, value, reason, stack, attempts,"
            " parked, status, message, encounter)"
            " VALUES (?, 'translate', 'raw', 0, 0, 'k', '{}', x'00', ?, '', 4, ?, 'parked', '', '')",
            (ID, REASON, SINCE),
        )


def test_of_what_is_parked_nothing_is_cut_in_a_pipe_of_80_columns(hisbus: Hisbus, parked: None) -> None:
    assert rows(hisbus("parked")) == [[ID, "translate", REASON, "2026-03-02T08:00:00+00:00", "4", "1"]]


def test_on_a_terminal_of_80_columns_it_is_folded_and_whole(
    hisbus: Hisbus, parked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    said = re.sub(r"\x1b\[[0-9;]*m", "", hisbus("parked"))
    assert max(map(len, said.splitlines())) <= 80
    columns = ["".join(cells) for cells in zip(*rows(said), strict=True)]
    assert (columns[0], columns[2]) == (ID, REASON)


def test_of_controls_and_signals_nothing_is_cut(hisbus: Hisbus, tmp_path: Path) -> None:
    hisbus("pause", PART, "--reason", REASON)
    with sqlite3.connect(tmp_path / "hisbus.db") as connection:
        connection.execute(
            "INSERT INTO signals (part, kind, detail, since, count) VALUES (?, 'held', ?, ?, 1)",
            (PART, REASON, SINCE),
        )
    ((target, wanted, _, who, _, reason),) = rows(hisbus("controls"))
    assert (target, wanted, who, reason) == (PART, "pause", ME, REASON)
    assert rows(hisbus("signals")) == [[PART, "held", REASON, "2026-03-02T08:00:00+00:00", "", "1"]]


def test_the_audit_names_who_held_a_part_and_who_replayed(hisbus: Hisbus, parked: None, tmp_path: Path) -> None:
    for word in ("pause", "drain", "resume"):
        hisbus(word, "step:chart")
    hisbus("replay", ID)
    with sqlite3.connect(tmp_path / "hisbus.db") as connection:
        found = connection.execute("SELECT actor, action, object FROM audit ORDER BY id").fetchall()
    assert found == [
        (ME, "control.pause", "step:chart"),
        (ME, "control.drain", "step:chart"),
        (ME, "control.run", "step:chart"),
        (ME, "parked.replayed", ID),
    ]
