"""Real messages of many senders and versions, through MLLP and the API."""

from pathlib import Path
from typing import Any

import pytest

MAPPED = {
    *(f"ADT^{trigger}" for trigger in ("A01", "A02", "A03", "A04", "A08", "A11", "A13", "A40")),
    *(f"MDM^{trigger}" for trigger in ("T02", "T06", "T10")),
    "ORU^R01",
}


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
    mapped = {message["type"] for message in messages if message["status"] == "mapped"}
    assert mapped >= MAPPED
    assert [message for message in messages if message["type"] in MAPPED and message["status"] != "mapped"] == []
    assert parked == []


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
