"""Real messages of many senders and versions, through MLLP and the API."""

import re
from pathlib import Path
from typing import Any

import pytest

UNMAPPED = {
    *(f"ADT^{trigger}" for trigger in ("A09", "A10", "A15", "A16", "A25", "A26", "A27")),
    *("ADT^A29", "ADT^A41"),
    "BAR^P02",
    *("MDM^T01", "MDM^T05", "MDM^T09"),
    "PPR^PC1",
    *("RDE^O25", "RDS^O13"),
    *("REF^I12", "REF^I14"),
    *(f"SIU^{trigger}" for trigger in ("S12", "S13", "S14", "S15", "S16", "S17", "S26")),
    "VXU^V04",
}
"""Every type of message of the corpus that makes no event; connectors/README.md says why."""


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """What a mapping reads out of messages has nothing to do with the log."""
    return embedded


@pytest.mark.corpora
async def test_every_message_of_the_corpus_is_stored_and_none_is_parked_or_a_duplicate(
    corpora: Path, hospital: Any
) -> None:
    files = sorted((corpora / "hl7v2").glob("*.hl7"))
    assert len(files) == 62
    async with hospital() as bus:
        acks = await bus.send([path.read_bytes() for path in files])
        await bus.idle()
        messages = await bus.everything("messages")
        parked = await bus.everything("parked")
    assert [ack for ack in acks if b"MSA" not in ack or ack.split(b"MSA|")[1][:2] not in {b"AA", b"CA"}] == []
    assert len(messages) == 62
    assert {message["status"] for message in messages} == {"mapped", "unmapped"}
    assert {message["type"] for message in messages if message["status"] == "unmapped"} == UNMAPPED
    assert {message["type"] for message in messages if message["status"] == "mapped"}.isdisjoint(UNMAPPED)
    assert parked == []


def test_the_reason_of_every_unmapped_message_is_written_down() -> None:
    readme = (Path(__file__).parents[2] / "connectors" / "README.md").read_text("utf-8")
    table = readme.partition("| message | why it makes no event |")[2]
    listed = set()
    for row in re.findall(r"^\| ([A-Z]{3}) ([^|]+) \| \S", table, re.MULTILINE):
        listed |= {f"{row[0]}^{trigger}" for trigger in row[1].split(", ")}
    assert listed == UNMAPPED


@pytest.mark.corpora
async def test_files_that_share_a_control_id_are_messages_of_their_own_and_flagged(
    corpora: Path, hospital: Any
) -> None:
    files = [corpora / "hl7v2" / name for name in ("MDM-T02-01.hl7", "MDM-T06-01.hl7", "MDM-T10-01.hl7")]
    async with hospital() as bus:
        await bus.send([path.read_bytes() for path in files])
        await bus.idle()
        messages = sorted(await bus.everything("messages"), key=lambda message: message["type"])
    assert len({message["control_id"] for message in messages}) == 1
    assert ["control_id_reused" in message["flags"] for message in messages] == [False, True, True]
