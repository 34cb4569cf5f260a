"""A profile is looked at before it goes live: checked, tried on a capture, begun from one. All as it is typed."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.field.site import INPUTS
from tests.test_readme import blocks
from typer.testing import CliRunner, Result

from hisbus.connector import Arrival
from hisbus.errors import ConfigError
from hisbus_bus.command.main import app
from hisbus_mapping import Judged, Mapping

Run = Callable[..., Result]
OURS = next(one for one in blocks("connectors/README.md", "toml") if one.startswith("# our-his.toml\ndates"))
SITE = """site = "test"
[log]
url = "sqlite:///log.db"
[database]
url = "sqlite:///hisbus.db"
[[connectors]]
name = "his"
type = "hl7v2"
timezone = "Asia/Shanghai"
authority = "HOSP"
"""
SAID = ("LP1", "LV1", "LD1", "Test^Local", "Test Local", "1970", "腹痛")
"""What the capture says of its patient."""


@pytest.fixture
def hisbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder with a site and its file; the capture is the morning of ``local.hl7``."""
    monkeypatch.chdir(tmp_path)
    Path("hisbus.toml").write_text(SITE)
    Path("our-his.toml").write_text(OURS, encoding="utf-8")
    Path("morning.hl7").write_bytes((INPUTS / "local.hl7").read_bytes())
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


def done(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_a_profile_that_compiles_is_told_what_it_changes(hisbus: Run) -> None:
    said = done(hisbus("profile", "check", "our-his.toml"))
    line = OURS.splitlines().index('IP = "inpatient"') + 1
    assert f"our-his.toml:{line}: codes.class.words.IP: adds" in said
    assert "our-his.toml:2: dates: replaces" in said
    assert "2 keys are replaced, 9 added, 0 say what ships already; 0 are doubtful" in said


def test_every_mistake_has_its_line_and_the_command_fails(hisbus: Run) -> None:
    wrong = OURS.replace("PV1-50", "PV1_50").replace("location = { ward", "lokation = { ward")
    Path("wrong.toml").write_text(wrong, encoding="utf-8")
    said = done(hisbus("profile", "check", "wrong.toml"), 1).splitlines()
    lines = wrong.splitlines()
    places = [lines.index(one) + 1 for one in lines if "PV1_50" in one or "lokation" in one]
    assert [one.split(": ")[0] for one in said] == [f"wrong.toml:{place}" for place in places]


def test_what_is_no_text_of_ours_is_told_with_its_line_and_a_mark_of_windows_is_not_in_the_way(hisbus: Run) -> None:
    wrong = Path("wrong.toml")
    for text, said in (
        (b'\ndates = ["iso"]\nx = [', "wrong.toml:3: it is not TOML"),
        (b'\ndates = "iso\n"', "wrong.toml:2: it is not TOML"),
        ('# ours\n[codes.class.words]\n"病房" = "inpatient"\n'.encode("gbk"), "wrong.toml:3: it is not in UTF-8"),
        (b"\nx = " + b"[" * 3000, "wrong.toml:2: it is nested deeper than"),
        (b"\n\nx." + b"a." * 3000 + b"a = 1", "wrong.toml:3: it is nested deeper than"),
    ):
        wrong.write_bytes(text)
        assert done(hisbus("profile", "check", "wrong.toml"), 1).startswith(said)
        result = hisbus("profile", "use", "wrong.toml")
        assert isinstance(result.exception, ConfigError)
    wrong.write_bytes(OURS.encode("utf-8-sig"))
    assert "It compiles" in done(hisbus("profile", "check", "wrong.toml"))


def test_what_stops_the_reading_of_a_message_is_told_as_its_fate(hisbus: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(profile: str) -> Any:
        result = hisbus("profile", "try", profile, "morning.hl7", "--json")
        assert result.exit_code == 0, result.exception
        return json.loads(result.stdout)  # the step that reads tells its log of the bug

    nothing = '[facts.documents.data]\naction = { value = "file", when = { path = "TXA-99", present = true } }\n'
    Path("odd.toml").write_text(OURS + nothing, encoding="utf-8")
    told = tried("odd.toml")
    fates = [(one["status"], one["reason"]) for one in told["messages"]]
    assert fates[1] == ("parked", "bug.ValidationError") and fates[0][0] == fates[2][0] == "mapped"
    judge = Mapping.judge

    def judged(mapping: Mapping, arrival: Arrival) -> Judged:
        if mapping.over and arrival.type == "ADT^A01":
            raise ValueError("the envelope")
        return judge(mapping, arrival)

    monkeypatch.setattr(Mapping, "judge", judged)
    told = tried("our-his.toml")
    assert (told["messages"][0]["status"], told["messages"][0]["reason"]) == ("not_taken", "bug.ValueError")
    assert told["messages_moved"][0]["after"] == "bug.ValueError"


def test_what_compiles_and_may_be_meant_otherwise_is_doubtful(hisbus: Run) -> None:
    asks = """
[codes.yes_no.words]
V = "maybe"
[codes.rank.words]
Z = "1"
[codes.none]
[facts.charges.data]
type = { from = "FT1-6", table = "none", otherwise = "ask", item = "x" }
"""
    text = OURS.replace('IP = "inpatient"', 'I = "inpatient"') + asks
    Path("doubtful.toml").write_text(text, encoding="utf-8")
    said = [one for one in done(hisbus("profile", "check", "doubtful.toml")).splitlines() if "doubtful: " in one]
    lines = text.splitlines()
    assert [one.split(": doubtful: ")[0] for one in said] == [
        f"doubtful.toml:{lines.index(one) + 1}" for one in ("[codes.rank.words]", 'V = "maybe"', "[codes.none]")
    ]
    assert "nothing uses it" in said[0] and "'maybe' is none" in said[1] and "no word" in said[2]
    assert "codes.class.words.I: repeats" in done(hisbus("profile", "check", "doubtful.toml"))


def test_where_there_are_several_connectors_it_must_be_said_which(hisbus: Run) -> None:
    with Path("hisbus.toml").open("a") as file:
        file.write('[[connectors]]\nname = "lis"\ntype = "hl7v2"\n')
    result = hisbus("profile", "check", "our-his.toml")
    assert isinstance(result.exception, ConfigError) and "his, lis" in str(result.exception)
    done(hisbus("profile", "check", "our-his.toml", "--connector", "lis"))


def test_a_capture_is_read_event_by_event_and_compared_with_the_profile_in_use(hisbus: Run) -> None:
    told = json.loads(done(hisbus("profile", "try", "our-his.toml", "morning.hl7", "--json")))
    kinds = [[event["kind"] for event in message["events"]] for message in told["messages"]]
    assert kinds == [["encounter.admitted"], ["document.filed"], ["vitals.recorded"]]
    assert {event["stay"] for message in told["messages"] for event in message["events"]} == {"stay 1"}
    assert told["messages"][0]["left"] == {"EVN-1": 1, "ZBX-1": 1, "ZBX-2": 1}, (
        "the ward is read, what stands before it is not"
    )
    assert "stay.location.ward" in told["messages"][0]["events"][0]["fields"]
    assert told["messages"][1]["events"][0]["entries"] == {"sections": 2}

    moved = told["messages_moved"]
    assert [one["number"] for one in moved] == [1, 2, 3]
    assert moved[2]["events"] == {"result.reported": {"disappear": 1}, "vitals.recorded": {"appear": 1}}
    assert "stay.patient_class" in moved[0]["fields"] and "unknown_code.PV1-2" in moved[0]["flags_gone"]
    assert told["stays"] == 1
    (stay,) = told["stays_moved"]
    assert stay["how"] == "appears"
    found = {(one["agent"], one["rule"]): one["more"] for one in stay["findings"]}
    assert found["qc", "R27"] == 2, "a temperature and a pulse that cannot be"


def test_what_changes_of_a_stay_is_told_field_by_field_and_what_is_found_no_more(hisbus: Run) -> None:
    with Path("hisbus.toml").open("a") as file:
        file.write('profile = "our-his.toml"\n')
    Path("next.toml").write_text(OURS.replace("ZBX-3", "PV1-3.4").replace('MB = "8867-4"\n', ""), encoding="utf-8")
    told = json.loads(done(hisbus("profile", "try", "next.toml", "morning.hl7", "--json")))
    (stay,) = told["stays_moved"]
    assert stay["how"] == "changes"
    assert stay["fields"]["location.ward"]["before"] == "W9"
    assert stay["fields"]["vitals[].item.code"] == {"before": 2, "after": 0}
    assert {(one["rule"], one["more"]) for one in stay["findings"]} >= {("R27", -1)}, "a pulse of 500 is none any more"
    again = json.loads(done(hisbus("profile", "try", "our-his.toml", "morning.hl7", "--json")))
    assert again["messages_moved"] == again["stays_moved"] == []


def test_nothing_of_a_patient_is_shown_unless_it_is_asked_for(hisbus: Run) -> None:
    for words in ((), ("--json",)):
        shown = done(hisbus("profile", "try", "our-his.toml", "morning.hl7", *words))
        assert not [one for one in SAID if one in shown]
    shown = done(hisbus("profile", "try", "our-his.toml", "morning.hl7", "--show-values"))
    assert {one for one in SAID if one in shown} == {*SAID} - {"Test^Local"}


def test_a_capture_without_messages_or_that_is_not_there_is_refused(hisbus: Run) -> None:
    Path("empty.hl7").write_text("\n\n")
    for capture, words in (("empty.hl7", "There is no message in empty.hl7"), ("none.hl7", "cannot be read")):
        result = hisbus("profile", "try", "our-his.toml", capture)
        assert isinstance(result.exception, ConfigError) and words in str(result.exception)


def test_a_profile_begins_with_what_a_capture_holds_and_nobody_knows(hisbus: Run) -> None:
    assert done(hisbus("new", "profile", "morning.hl7", "--out", "begun.toml")) == "begun.toml\n"
    text = Path("begun.toml").read_text(encoding="utf-8")
    assert {"class", "document", "section", "item", "unit"} == tomllib.loads(text)["codes"].keys()
    for known in ('# "IP" = ""    # in 3/3', '# "RYJL" = ""', '# "ZS" = ""', '# "TW" = ""', '# "℃" = ""'):
        assert known in text
    assert "# ZBX-1 1/3, ZBX-2 1/3, ZBX-3 1/3" in text and "HIS^LOCAL (2)" in text and "ADT^A01 (1)" in text
    assert not [one for one in SAID if one in text]
    assert "0 keys are replaced, 0 added" in done(hisbus("profile", "check", "begun.toml"))
    told = json.loads(done(hisbus("profile", "try", "begun.toml", "morning.hl7", "--json")))
    assert told["messages_moved"] == [], "it changes nothing before a # is taken away"
    mended = text.replace('# "IP" = ""', '"IP" = "inpatient"')
    Path("begun.toml").write_text(mended, encoding="utf-8")
    told = json.loads(done(hisbus("profile", "try", "begun.toml", "morning.hl7", "--json")))
    assert "unknown_code.PV1-2" in told["messages_moved"][0]["flags_gone"]
    result = hisbus("new", "profile", "morning.hl7", "--out", "begun.toml")
    assert isinstance(result.exception, ConfigError), "what somebody wrote is not written over"
