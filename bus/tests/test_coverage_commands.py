"""What an operator types to see what the feeds bring, and to say otherwise."""

import json
import os
import pwd
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hisbus_bus.command.main import app

ME = f"command:{pwd.getpwuid(os.getuid()).pw_name}"
NOTE, CONSENT = "document:C0034", "document:C0026"

Hisbus = Callable[..., str]


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hisbus:
    """Run the command on a site that nobody has started yet; return what it says."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    config = tmp_path / "hisbus.toml"
    urls = f'[log]\nurl = "sqlite:///{tmp_path}/log.db"\n[database]\nurl = "sqlite:///{tmp_path}/hisbus.db"\n'
    config.write_text(f'site = "test"\n{urls}')

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["--config", str(config), "coverage", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.exception) if code else result.output

    return run


@pytest.fixture
def database(hisbus: Hisbus, tmp_path: Path) -> sqlite3.Connection:
    """The site's database, with one rule that needs two things."""
    hisbus("list")  # makes the tables
    made = sqlite3.connect(tmp_path / "hisbus.db", isolation_level=None)
    needs = json.dumps([{"item": NOTE, "after": "admission"}, {"item": CONSENT}])
    made.execute("INSERT INTO agent_rules VALUES ('qc', 'R01', '', '', ?, 1, '2026-03-02 08:00:00.000000')", [needs])
    rows = [("e1", 1, NOTE), ("e1", 0, NOTE), ("e2", 0, NOTE), ("e3", 1, NOTE), ("e3", 1, CONSENT)]
    made.executemany("INSERT INTO coverage_stays (encounter, seen, item, department) VALUES (?, ?, ?, '')", rows)
    return made


def rows(said: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]


@pytest.mark.usefixtures("database")
def test_the_list_says_on_how_many_stays_a_thing_was_seen_and_which_rules_need_it(hisbus: Hisbus) -> None:
    assert rows(hisbus("list")) == [
        [CONSENT, "", "yes", "", "", "1", "1"],
        [NOTE, "", "yes", "", "", "1 of 2", "1"],
    ]
    assert rows(hisbus("list", NOTE)) == [[NOTE, "", "yes", "", "", "1 of 2", "qc R01"]]


@pytest.mark.usefixtures("database")
def test_the_list_fits_a_terminal_however_many_rules_need_a_thing(hisbus: Hisbus, database: sqlite3.Connection) -> None:
    needs = json.dumps([{"item": "field:FP.DISCHARGE_DATE"}])
    many = [(f"R{number}", needs) for number in range(100, 190)]
    row = "INSERT INTO agent_rules VALUES ('qc', ?, '', '', ?, 1, '2026-03-02 08:00:00.000000')"
    database.executemany(row, many)
    hisbus("set", "field:FP.DISCHARGE_DATE", "not_connected")
    said = hisbus("list")
    assert ["field:FP.DISCHARGE_DATE", "no", "90"] == [rows(said)[-1][at] for at in (0, 2, 6)]
    assert max(map(len, said.splitlines())) <= 100


def test_what_an_operator_says_holds_at_once_and_is_audited(hisbus: Hisbus, database: sqlite3.Connection) -> None:
    assert "judged again" in hisbus("set", NOTE, "not_connected")
    assert hisbus("set", NOTE, "not_connected") == "Nothing changes: it is so.\n"
    hisbus("set", CONSENT, "not_connected", "--department", "骨科")
    (note, ward) = rows(hisbus("list", "--missing"))[::-1]
    assert (note[:3], note[4], ward[:3], ward[4]) == (
        [NOTE, "", "no"],
        ME,
        [CONSENT, "骨科", "no"],
        ME,
    )
    audited = database.execute("SELECT actor, action, object, detail FROM audit ORDER BY id").fetchall()
    assert audited == [
        (ME, "coverage.not_connected", NOTE, "{}"),
        (ME, "coverage.not_connected", CONSENT, '{"department": "骨科"}'),
    ]
    assert [row[0] for row in database.execute("SELECT version FROM coverage ORDER BY id")] == [1, 2]


@pytest.mark.usefixtures("database")
def test_an_earlier_word_can_be_taken_back(hisbus: Hisbus) -> None:
    hisbus("set", NOTE, "not_connected")
    hisbus("set", NOTE, "observed")
    assert [row[:2] for row in rows(hisbus("list", "--missing"))] == []


@pytest.mark.parametrize("item", ["*", "Document:C0034", "", "document:"])
def test_what_is_no_item_is_refused(hisbus: Hisbus, item: str) -> None:
    assert "is no item" in hisbus("set", item, "connected", code=1)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("item", ["document:C34", "document:c0034", "documents:C0034"])
def test_a_word_about_what_no_rule_needs_is_refused_with_what_may_be_meant(hisbus: Hisbus, item: str) -> None:
    assert NOTE in hisbus("set", item, "not_connected", code=1)
    assert rows(hisbus("list", "--missing")) == []


def test_any_of_a_kind_is_the_kind(hisbus: Hisbus) -> None:
    hisbus("set", "field:*", "not_connected")
    assert [row[0] for row in rows(hisbus("list"))] == ["field"]


def test_a_word_about_a_department_that_nobody_knows_is_refused_with_those_that_are_known(
    hisbus: Hisbus, database: sqlite3.Connection
) -> None:
    staff = "INSERT INTO staff VALUES ('', ?, ?, ?, '', 0, ?)"
    database.executemany(staff, [("1", "甲", "骨科", None), ("2", "乙", "旧科", "2026-03-02 08:00:00.000000")])
    columns = [row[1] for row in database.execute("PRAGMA table_info(encounters)")]
    stay = dict.fromkeys(columns, "") | {"id": "e1", "version": 1, "stay": '{"department": "内科"}'}
    database.execute(f"INSERT INTO encounters VALUES ({', '.join('?' for _ in columns)})", list(stay.values()))
    said = hisbus("set", NOTE, "not_connected", "--department", "骨", code=1)
    assert "'骨'" in said and "内科, 骨科." in said
    for department in ("骨科", "内科"):
        assert "judged again" in hisbus("set", NOTE, "not_connected", "--department", department)
