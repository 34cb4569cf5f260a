"""The hand-written cases, through MLLP and the API. They know neither the simulator nor the product."""

import json
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parents[1] / "cases"
RULES = {"R01", "R02", "R10", "R13", "R27", "R45", "R48"}


def messages_of(path: Path) -> list[bytes]:
    blocks = path.read_bytes().replace(b"\r\n", b"\n").split(b"\n\n")
    return [block.strip(b"\n").replace(b"\n", b"\r") + b"\r" for block in blocks if block.strip()]


async def findings(bus: Any) -> list[dict[str, Any]]:
    return [item for item in await bus.everything("proposals") if item["rule"] in RULES]


def named(proposal: dict[str, Any], like: str) -> str:
    words = [proposal["visit"], proposal["rule"], proposal["state"] or ""]
    return " ".join(words[: len(like.split())])


async def expect_findings(bus: Any, step: dict[str, Any]) -> None:
    found = await findings(bus)
    still_open = [item for item in found if item["status"] == "open"]
    assert sorted(f"{item['visit']} {item['rule']}" for item in still_open) == sorted(
        " ".join(wanted.split()[:2]) for wanted in step["open"]
    )
    for wanted in step["open"]:
        assert wanted in {named(item, wanted) for item in still_open}
    for wanted in step.get("not_open", ()):
        assert [item["status"] for item in found if named(item, wanted) == wanted], "it was never found"
        assert wanted not in {named(item, wanted) for item in still_open}


async def expect_chart(bus: Any, facts: dict[str, Any]) -> None:
    (listed,) = (await bus.post("charts/search", {"visit": "V1"})).json()["items"]
    chart = await bus.get(f"charts/{listed['id']}")
    counting = [document for document in chart["documents"] if document["status"] in {"draft", "signed"}]
    seen = {
        "status": chart["status"],
        "patient": chart["patient"]["id"],
        "name": chart["patient"]["name"],
        "ward": chart["location"]["ward"],
        "documents": len(counting),
    }
    assert {name: seen[name] for name in facts} == facts


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_case_ends_as_it_was_written(path: Path, hospital: Any) -> None:
    messages = messages_of(path.with_suffix(".hl7"))
    sent = 0
    async with hospital() as bus:
        for step in json.loads(path.read_text(encoding="utf-8"))["steps"]:
            for ack in await bus.send(messages[sent : step["after"]]):
                assert b"\rMSA|AA|" in ack
            sent = step["after"]
            await bus.idle()
            await expect_findings(bus, step)
            if "duplicates" in step:
                assert len(await bus.everything("messages", status="duplicate")) == step["duplicates"]
            if "chart" in step:
                await expect_chart(bus, step["chart"])
