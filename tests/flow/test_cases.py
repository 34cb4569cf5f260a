"""The hand-written cases, through MLLP and the API, as the outside world sees them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hisbus_bus.lab.conversations import COUNTED, Found, acks_differ, facts_differ, findings_differ, read
from hisbus_hl7v2 import Hl7v2Connector

CASES = Path(__file__).parents[1] / "cases"


async def findings(bus: Any) -> list[Found]:
    return [
        Found(item["visit"], item["rule"], item["state"] or "", item["status"], item["due"] and _time(item["due"]))
        for item in await bus.everything("proposals")
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def facts(bus: Any, visit: str) -> dict[str, str | int]:
    (listed,) = (await bus.post("charts/search", {"visit": visit})).json()["items"]
    chart = await bus.get(f"charts/{listed['id']}")
    return {
        "status": chart["status"],
        "patient": chart["patient"]["id"],
        "name": chart["patient"]["name"],
        "ward": chart["location"]["ward"],
        "documents": sum(document["status"] in COUNTED for document in chart["documents"]),
    }


SPLIT = Hl7v2Connector({"name": "his", "type": "hl7v2"}).split


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_case_ends_as_it_was_written(path: Path, hospital: Any) -> None:
    case = read(path, SPLIT)
    sent = 0
    async with hospital() as bus:
        for step in case.steps:
            acks = await bus.send(case.messages[sent : step.after])
            assert not [*acks_differ(step, sent + 1, [ack.split(b"\rMSA|")[1][:2].decode() for ack in acks])]
            sent = step.after
            await bus.idle()
            assert not [*findings_differ(case, step, await findings(bus))]
            if step.duplicates is not None:
                assert len(await bus.everything("messages", status="duplicate")) == step.duplicates
            if step.chart is not None:
                assert not [*facts_differ(step.chart, await facts(bus, step.chart.visit))]
