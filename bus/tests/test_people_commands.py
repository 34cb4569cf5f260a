"""``hisbus user`` and ``hisbus staff`` as an administrator types them."""

import json
import os
import pwd
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner, Result

from hisbus.errors import BusError
from hisbus_bus.command.main import app
from hisbus_bus.kernel.people import passwords

ME = pwd.getpwuid(os.getuid()).pw_name
Run = Callable[..., Result]


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command against a site of the test's own."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    config = tmp_path / "hisbus.toml"
    config.write_text(
        f'site = "test"\n[log]\nurl = "sqlite:///{tmp_path}/log.db"\n[database]\nurl = "sqlite:///{tmp_path}/hisbus.db"\n'
    )

    def run(*words: str, answer: str = "") -> Result:
        return CliRunner().invoke(app, ["--config", str(config), *words], input=answer)

    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def refused(result: Result) -> str:
    assert isinstance(result.exception, BusError), result.output
    return str(result.exception)


def audited(tmp_path: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(tmp_path / "hisbus.db") as connection:
        return connection.execute("SELECT actor, action, object FROM audit ORDER BY id").fetchall()


def test_a_user_from_the_first_day_to_the_last(hisbus: Run, tmp_path: Path) -> None:
    assert len(done(hisbus("user", "add", "boss", "--role", "admin"))) == 20
    assert len(done(hisbus("user", "add", "ann"))) == 20
    done(hisbus("user", "number", "ann", "D101", "--authority", "HIS"))
    token = done(hisbus("user", "token", "ann", "--days", "30", "--for", "nagios"))
    done(hisbus("user", "token", "make", "ann"))
    listed = done(hisbus("user", "token", "list", "ann"))
    assert token not in listed
    (line,) = (line for line in listed.splitlines() if "nagios" in line)
    done(hisbus("user", "token", "revoke", "ann", line.split()[1]))
    done(hisbus("user", "role", "ann", "viewer"))
    assert len(done(hisbus("user", "password", "ann"))) == 20
    assert done(hisbus("user", "sessions", "end", "ann")) == "0 log-ins were ended."
    done(hisbus("user", "disable", "ann"))
    table = done(hisbus("user", "list"))
    (line,) = (line for line in table.splitlines() if "ann" in line)
    assert line.split("│")[1:4] == [" ann  ", " viewer ", " disabled "]
    assert "HIS/D101" in line
    done(hisbus("user", "enable", "ann"))
    actions = [(actor, action) for actor, action, object in audited(tmp_path) if object == "ann"]
    assert actions == [
        (f"command:{ME}", f"user.{action}")
        for action in (
            "added", "number_added", "token_made", "token_made", "token_revoked", "role_changed", "password_changed",
            "sessions_ended", "disabled", "enabled",
        )
    ]  # fmt: skip


def test_whoever_became_the_service_by_sudo_is_named(
    hisbus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "mary")
    done(hisbus("user", "add", "ann"))
    assert audited(tmp_path) == [(f"command:mary/{ME}", "user.added", "ann")]


def test_what_cannot_be_done_says_what_to_do(hisbus: Run) -> None:
    done(hisbus("user", "add", "boss", "--role", "admin"))
    assert "Make another user an admin" in refused(hisbus("user", "disable", "boss"))
    assert "Choose viewer, reviewer or admin" in refused(hisbus("user", "role", "boss", "king"))
    assert "hisbus user list" in refused(hisbus("user", "disable", "eve"))
    assert "hisbus user token list" in refused(hisbus("user", "token", "revoke", "boss", "1"))


def test_each_change_says_what_is_so_now(hisbus: Run) -> None:
    added = hisbus("user", "add", "ann", answer="piped-password\n")
    assert "what is piped in is not read" in added.stderr and "piped-password" not in added.output
    assert done(hisbus("user", "role", "ann", "viewer")) == "ann is viewer now. Log-ins and tokens have ended."
    assert done(hisbus("user", "number", "ann", "7", "--authority", "HIS")) == "HIS/7 is ann's."
    assert done(hisbus("user", "number", "ann", "7", "--authority", "HIS", "--remove")) == "HIS/7 is ann's no more."
    assert done(hisbus("user", "disable", "ann")) == "ann is shut out. Log-ins and tokens have ended."
    assert done(hisbus("user", "enable", "ann")) == "ann may log in again."


def test_a_name_in_other_letters_is_taken(hisbus: Run) -> None:
    done(hisbus("user", "add", "Ann"))
    for name in ("ann", "ANN"):
        assert "There is a user of that name already" in refused(hisbus("user", "add", name))


def test_who_is_locked_out_is_listed_so(hisbus: Run, tmp_path: Path) -> None:
    done(hisbus("user", "add", "ann"))
    for until, shown in (("2999-01-01 12:00:00.000000", True), ("2001-01-01 12:00:00.000000", False)):
        with sqlite3.connect(tmp_path / "hisbus.db") as connection:
            connection.execute("UPDATE users SET locked_until = ?", (until,))
        assert ("locked until 2999-01-01T12:00+00:00" in done(hisbus("user", "list"))) == shown


def test_staff_is_imported_after_a_confirmation_and_the_same_file_changes_nothing(hisbus: Run, tmp_path: Path) -> None:
    done(hisbus("user", "add", "boss", "--role", "admin"))
    done(hisbus("user", "add", "ann"))
    done(hisbus("user", "number", "ann", "1"))
    file = tmp_path / "staff.csv"
    file.write_text("number,name,department,head\n1,李娜,呼吸内科,\n2,王强,呼吸内科,是\n3,赵敏,病案科,\n", "gb18030")
    asked = hisbus("staff", "import", str(file), answer="n\n")
    assert asked.exit_code == 1 and "3 new, 0 changed, 0 back, 0 gone" in asked.output
    assert "李娜" not in done(hisbus("staff", "list"))
    assert "new: 2, 王强, 呼吸内科, head" in done(hisbus("staff", "import", str(file), answer="y\n"))
    assert "李娜" in done(hisbus("staff", "list"))
    assert done(hisbus("staff", "import", str(file))).startswith("Nothing changes")

    file.write_text("number,name,department,head\n2,王强,呼吸内科,是\n3,赵敏,病案科,\n", "utf-8")
    said = done(hisbus("staff", "import", str(file), "--yes"))
    assert "gone: 1, 李娜, 呼吸内科" in said and "user ann will be disabled" in said
    assert "李娜" not in done(hisbus("staff", "list")) and "李娜" in done(hisbus("staff", "list", "--left"))
    assert "disabled" in done(hisbus("user", "list"))
    assert audited(tmp_path)[-2:] == [
        (f"command:{ME}", "user.disabled", "ann"),
        (f"command:{ME}", "staff.imported", "staff"),
    ]


def test_a_file_that_half_of_the_staff_is_missing_from_is_not_taken_unseen(hisbus: Run, tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("number,name\n1,A\n2,B\n3,C\n")
    done(hisbus("staff", "import", str(file), "--yes"))
    file.write_text("number,name\n1,A\n")
    assert "is the file whole?" in refused(hisbus("staff", "import", str(file), "--yes"))
    assert "C" in done(hisbus("staff", "list"))


def test_mistakes_of_a_file_are_named_by_row_and_nothing_is_imported(hisbus: Run, tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("number,name\n1,A\n1,B\n=2,C\n")
    result = hisbus("staff", "import", str(file), "--yes")
    assert "2 mistakes, and nothing was imported" in refused(result)
    assert "row 3: its number stands in row 2 already" in result.output and "row 4: number begins" in result.output
    assert "A" not in done(hisbus("staff", "list")).replace("name", "")
    assert "cannot be read" in refused(hisbus("staff", "import", str(tmp_path / "none.csv")))


def test_the_commands_import_neither_database_nor_hashes_before_they_run() -> None:
    heavy = ("sqlalchemy", "argon2", "alembic", "rich.table", "hisbus_bus.kernel")
    code = (
        "import sys, json, hisbus_bus.command.staff;"
        f"print(json.dumps([name for name in sys.modules if name.startswith({heavy!r})]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == []
