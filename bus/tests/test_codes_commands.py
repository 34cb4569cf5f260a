"""``hisbus codes`` as an integration engineer types it, and the file that codes go in and out by."""

import csv
import io
import json
import os
import pwd
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hisbus.errors import BusError, ConfigError
from hisbus_bus.command.main import app
from hisbus_bus.kernel import codes_file
from hisbus_bus.kernel.codes import Key
from hisbus_mapping import NONE, Asks

ME = f"command:{pwd.getpwuid(os.getuid()).pw_name}"
ASKS = {
    "his": {"class": Asks("class", ["inpatient", NONE]), "document": Asks("document:*", ["C0034", "C0037", NONE])},
    "lis": {"class": Asks("class", ["inpatient", NONE])},
}
HEADER = ",".join(codes_file.HEADER)
Run = Callable[..., Result]


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command against a site of the test's own, whose connectors ask what ``ASKS`` says."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("COLUMNS", "250")
    mappings = [
        type("Mapping", (), {"connector": type("C", (), {"name": name}), "asks": its}) for name, its in ASKS.items()
    ]
    monkeypatch.setattr("hisbus_bus.host.registry.mappings", lambda connectors: mappings)
    config = tmp_path / "hisbus.toml"
    config.write_text(
        f'site = "test"\n[log]\nurl = "sqlite:///{tmp_path}/log.db"\n[database]\nurl = "sqlite:///{tmp_path}/hisbus.db"\n'
    )
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *map(str, words)])


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output.strip()


def stored(tmp_path: Path, what: str) -> list[Any]:
    with sqlite3.connect(tmp_path / "hisbus.db") as connection:
        return connection.execute(what).fetchall()


def exported(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def test_a_code_is_answered_changed_and_opened_again(hisbus: Run, tmp_path: Path) -> None:
    assert "read again" in done(hisbus("codes", "set", "his", "class", "IP", "inpatient", "--sender", "EMR^HOSP"))
    assert "Nothing changes" in done(hisbus("codes", "set", "his", "class", "IP", "inpatient", "--sender", "EMR^HOSP"))
    assert "EMR^HOSP" in done(hisbus("codes", "list")) and "IP" not in done(hisbus("codes", "list", "--open"))
    done(hisbus("codes", "set", "his", "class", "IP", "", "--sender", "EMR^HOSP"))
    assert "IP" in done(hisbus("codes", "list")) and "IP" not in done(hisbus("codes", "list", "--open"))
    key = Key("his", "EMR^HOSP", "class", "IP")
    with closing(sqlite3.connect(tmp_path / "hisbus.db")) as database:
        database.execute("INSERT INTO lookups VALUES ('m0', ?, ?, '')", (key.id, key.common.id))
        database.commit()
    assert "IP" in done(hisbus("codes", "list", "--open")), "a message looks it up"
    done(hisbus("codes", "set", "his", "class", "IP", NONE))
    assert "IP" not in done(hisbus("codes", "list", "--open")), "what is said for any sender counts for each"
    assert stored(tmp_path, "SELECT sender, word, who, pending FROM codes ORDER BY sender") == [
        ("", NONE, ME, 1), ("EMR^HOSP", None, ME, 1),
    ]  # fmt: skip
    words = [json.loads(detail)["word"] for (detail,) in stored(tmp_path, "SELECT detail FROM audit ORDER BY id")]
    assert words == ["inpatient", "", NONE]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", "class", "IP", "inpatient"), "his, lis"),
        (("his", "sex", "IP", "inpatient"), "asks nobody about this table"),
        (("his", "class", "IP", "stationary"), "Choose one of: inpatient, none"),
    ],
)
def test_what_cannot_be_answered_is_told_with_what_can(hisbus: Run, tmp_path: Path, words: Any, told: str) -> None:
    result = hisbus("codes", "set", *words)
    assert isinstance(result.exception, BusError) and told in str(result.exception)


def test_what_is_exported_is_taken_in_by_another_site(hisbus: Run, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    rows = ["his,EMR^HOSP,document,,'=BL,L,病程记录,C0037,x,y", "lis,,class,,住院,,,inpatient,,", "his,,class,,X,,,,,"]
    file.write_bytes("\n".join([HEADER, *rows]).encode("gb18030"))
    assert done(hisbus("codes", "import", file)) == "2 codes were answered, 0 were so already, 1 lines have no answer."
    assert done(hisbus("codes", "import", file)).startswith("0 codes were answered, 2 were so already")
    out = tmp_path / "out.csv"
    done(hisbus("codes", "export", out))
    assert out.read_bytes().startswith(b"\xef\xbb\xbf"), "else a spreadsheet shows no Chinese"
    first, second = exported(out)
    assert (first["code"], first["text"], first["item"], first["word"], first["who"]) == (
        "'=BL", "病程记录", "document:*", "C0037", ME,
    )  # fmt: skip
    assert (second["connector"], second["code"], second["word"]) == ("lis", "住院", "inpatient")
    assert done(hisbus("codes", "import", out)).startswith("0 codes were answered, 2 were so already")
    assert stored(tmp_path, "SELECT code FROM codes WHERE connector = 'his'") == [("=BL",)]


def test_a_wrong_row_is_told_with_its_number_and_nothing_is_taken(hisbus: Run, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    rows = [
        "his,,class,,A,,,inpatient,,",
        "his,,class,,B,,,stationary,,",
        "his,,class,,A,,,none,,",
        "pacs,,class,,A,,,none,,",
    ]
    file.write_text("\n".join([HEADER, *rows, "his,,class,,,,,none,,", "his,short", ""]))
    result = hisbus("codes", "import", file)
    assert isinstance(result.exception, ConfigError) and "5 mistakes" in str(result.exception)
    told = result.output.splitlines()
    assert [line.split(":")[0] for line in told] == ["row 3", "row 4", "row 5", "row 6", "row 7"]
    assert ["none of the words" in told[0], "row 2 already" in told[1], "no such connector" in told[2]] == [True] * 3
    assert not (tmp_path / "hisbus.db").exists() or stored(tmp_path, "SELECT * FROM codes") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("connector,table,code\n", "the column word is missing"),
        ("connector,table,code,word,colour\n", "column 5 is not known"),
        ("connector,table,code,word,word\n", "columns 4 and 5 are both word"),
        ('connector,table,code,word\nhis,class,"A,none\n', "its quotes do not close"),
    ],
)
def test_a_file_that_cannot_be_gone_by_is_told(text: str, reason: str) -> None:
    mistakes = codes_file.read(text.encode(), ASKS).mistakes
    assert reason in mistakes[0].reason


def test_a_file_needs_no_more_than_its_required_columns_in_any_order() -> None:
    read = codes_file.read(b"\xef\xbb\xbfword;code;table;connector\ninpatient;IP;class;his\n", ASKS)
    assert read.mistakes == [] and [line.key for line in read.lines] == [Key("his", "", "class", "IP")]
