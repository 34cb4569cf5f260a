"""Reading conversations, and saying how what was found differs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.lab.conversations import (
    Conversation,
    Facts,
    Found,
    Step,
    acks_differ,
    facts_differ,
    findings_differ,
    read,
    read_all,
)

TWO = "MSH|1\nMSH|2\n"


def written(folder: Path, said: str, spoken: str = TWO) -> Path:
    (folder / "a.hl7").write_text(spoken, newline="")
    (folder / "a.json").write_text(said)
    return folder / "a.json"


def step(**said: Any) -> Step:
    return Step.model_validate({"after": 1, "open": [], **said})


def differ(expected: Step, *found: Found) -> list[str]:
    said = Conversation("a", "", [b""], [expected], frozenset({"R01", "R02"}))
    return list(findings_differ(said, expected, found))


def lines(spoken: bytes) -> list[bytes]:
    """Split as a connector would whose messages are lines."""
    return spoken.split()


def test_the_connector_parts_the_messages(tmp_path: Path) -> None:
    one = read(written(tmp_path, '{"title": "two", "steps": [{"after": 2, "open": ["V1 own-rule"]}]}'), lines)
    assert (one.name, one.title, one.messages) == ("a", "two", [b"MSH|1", b"MSH|2"])
    assert one.rules >= {"R01", "own-rule"}


def test_a_folder_gives_its_conversations_in_order_and_a_file_may_be_either_half(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.hl7").write_text(TWO)
        (tmp_path / f"{name}.json").write_text('{"steps": [{"after": 1, "open": []}]}')
    assert [one.name for one in read_all([tmp_path], lines)] == ["a", "b"]
    assert [one.name for one in read_all([tmp_path / "b.hl7", tmp_path / "b.json"], lines)] == ["b"]


@pytest.mark.parametrize(
    "said, hint",
    [
        ('{"steps": [\n}', "a.json:2: it is no valid JSON (Expecting value, column 1)."),
        ("[]", "a.json: Input"),
        ('{"steps": []}', "steps"),
        ('{"steps": [{"after": 1, "open": [], "opened": []}]}', "steps.0.opened"),
        ('{"steps": [{"after": 3, "open": []}]}', "up to the 2 messages"),
        ('{"steps": [{"after": 2, "open": []}, {"after": 1, "open": []}]}', "must rise"),
        ('{"steps": [{"after": 1, "open": ["R01"]}]}', "VISIT RULE"),
    ],
)
def test_what_is_wrong_with_a_conversation_is_named(tmp_path: Path, said: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(written(tmp_path, said), lines)
    assert hint in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_half_that_is_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    for paths in ([tmp_path], [tmp_path / "a.json"]):
        with pytest.raises(ConfigError, match=r"NAME\.hl7 with NAME\.json"):
            read_all(paths, lines)


def test_a_half_without_its_other_is_never_passed_over(tmp_path: Path) -> None:
    written(tmp_path, '{"steps": [{"after": 1, "open": []}]}')
    for there, missing in (("b.hl7", "b.json"), ("c.json", "c.hl7")):
        (tmp_path / there).write_text("{}")
        for path in (tmp_path, tmp_path / there):
            with pytest.raises(ConfigError, match=rf"/{there} has no {missing} beside it: a conversation is NAME\.hl7"):
                read_all([path], lines)
        (tmp_path / there).unlink()


def test_findings_of_the_compared_rules_must_be_exactly_those() -> None:
    there = [Found("V1", "R01", "absent", "open"), Found("V1", "R99", "", "open"), Found("V1", "R02", "", "resolved")]
    assert differ(step(open=["V1 R01"]), *there) == []
    assert differ(step(open=["V1 R01 absent"], not_open=["V1 R02"]), *there) == []
    assert differ(step(open=["V1 R01 late"]), *there) == ["V1 R01 late was expected, its state is absent"]
    assert differ(step(open=["V1 R01", "V2 R01"]), *there) == ["V2 R01 was expected and is not open"]
    assert differ(step(open=["V1 R01", "V1 R01"]), *there) == ["V1 R01 was expected and is not open"]


def test_what_nobody_expected_is_shown_with_state_time_and_documents() -> None:
    found = Found("V1", "R02", "late", "open", datetime(2026, 3, 2, 8, tzinfo=UTC), ("D1", "D2"))
    (line,) = differ(step(), found)
    assert line == "V1 R02 is open and was not expected (late, due 2026-03-02T08:00+00:00, documents D1, D2)"


def test_what_should_have_closed_must_have_been_found_and_be_closed() -> None:
    expected = step(open=["V1 R02"], not_open=["V1 R02", "V1 R01"])
    assert differ(expected, Found("V1", "R02", "", "open")) == [
        "V1 R02 should have closed, and is open",
        "V1 R01 should have closed, and was never found",
    ]


def test_every_message_must_be_taken_unless_the_conversation_says_otherwise() -> None:
    assert list(acks_differ(step(), 1, ["AA", "CA", ""])) == []
    assert list(acks_differ(step(), 5, ["AA", "AR"])) == ["message 6 was answered AR, expected AA or CA"]
    assert list(acks_differ(step(acks=["AA", "AR"]), 1, ["AA", "AR"])) == []
    assert list(acks_differ(step(acks=["AE"]), 1, ["AA"])) == ["message 1 was answered AA, expected AE"]
    assert list(acks_differ(step(acks=["AE"]), 1, ["AE", "AA"])) == ["1 acks are expected for 2 messages"]


def test_facts_are_compared_where_they_are_given_and_a_name_is_never_shown() -> None:
    there = {"status": "admitted", "patient": "P1", "name": "Duan Yu", "ward": "W3", "documents": 2}
    assert list(facts_differ(Facts(status="admitted", documents=2), there)) == []
    lines = list(facts_differ(Facts(ward="W5", name="Xu Zhu", documents=1), there))
    assert lines == [
        "chart of V1: name is another",
        "chart of V1: ward is W3, expected W5",
        "chart of V1: documents is 2, expected 1",
    ]
    assert list(facts_differ(Facts(visit="V7"), {})) == ["there is no chart of V7"]
