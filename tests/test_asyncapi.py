"""The contract of the topics is reviewed: the committed file is what the program says of itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from hisbus.frames import Call, Hello, Reply
from hisbus_bus.desk import asyncapi
from hisbus_bus.kernel.topics import AGENT_TOPICS, TOPICS

KEPT = Path(__file__).parents[1] / "schemas/asyncapi.json"


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return document


def refs(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(refs, part.values()))
    return set().union(*map(refs, part)) if isinstance(part, list) else set()


def test_the_topics_change_only_when_their_document_was_reviewed() -> None:
    said = "write it again: python -m hisbus_bus.desk.asyncapi schemas/asyncapi.json"
    assert KEPT.read_text(encoding="utf-8") == asyncapi.text(), said


def test_every_topic_is_in_it_under_its_full_name(kept: dict[str, Any]) -> None:
    assert kept["asyncapi"] == "3.0.0"
    addresses = {name: channel["address"] for name, channel in kept["channels"].items()}
    flow = {name: f"{{site}}.{name}.v1" for name in TOPICS}
    assert addresses == flow | {side: f"{{site}}.agent.{{agent}}.{side}.v1" for side in AGENT_TOPICS}
    assert {name: set(channel["parameters"]) for name, channel in kept["channels"].items()} == {
        name: {"site", "agent"} if name in AGENT_TOPICS else {"site"} for name in addresses
    }


def test_the_bus_sends_cases_and_receives_answers(kept: dict[str, Any]) -> None:
    received = {name for name, operation in kept["operations"].items() if operation["action"] == "receive"}
    assert received == {"answers"}
    payload = kept["components"]["messages"]["cases:Message"]["payload"]
    assert payload == {"$ref": "#/components/schemas/Call"}
    assert {Call.__name__, Reply.__name__, Hello.__name__} <= kept["components"]["schemas"].keys()


def test_every_reference_leads_somewhere(kept: dict[str, Any]) -> None:
    for ref in refs(kept):
        part = kept
        for name in ref.removeprefix("#/").split("/"):
            part = part[name]


def test_every_message_says_its_headers(kept: dict[str, Any]) -> None:
    for message in kept["components"]["messages"].values():
        assert message["headers"] == {"$ref": "#/components/schemas/Headers"}
