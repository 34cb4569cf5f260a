"""What senders do in their own way, through MLLP and the API, and what the site's settings make of it."""

from pathlib import Path
from typing import Any

import pytest

from hisbus_bus.command.replay import replay_messages

FIELD = Path(__file__).parents[2] / "connectors" / "hl7v2" / "tests" / "field"
HEAD = rb"MSH|^~\&|HIS|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|%s|P|2.5||||||UNICODE UTF-8"
STAY = b"\rPID|1||P20^^^HOSP^MR\rPV1|1|I|W1||||||||||||||||V20^^^HOSP\r"


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """How a sender writes has nothing to do with the log."""
    return embedded


def sent(number: int) -> bytes:
    (path,) = FIELD.glob(f"{number}-*.hl7")
    return path.read_bytes()


async def stays(bus: Any, visit: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bus.post("charts/search", {"visit": visit})).json()["items"]
    return found


async def the_only(bus: Any) -> dict[str, Any]:
    await bus.idle()
    (message,) = await bus.everything("messages")
    return message


async def test_a_training_message_is_stored_and_says_nothing_until_the_site_takes_it(hospital: Any) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([sent(13)])
        message = await the_only(bus)
        assert b"MSA|AA|M13" in ack
        assert (message["status"], message["reason"]) == ("not_production", "")
        assert len(await bus.everything("messages", status="not_production")) == 1
        assert await stays(bus, "V13") == []
        assert await bus.everything("parked") == []
    async with hospital(user="second", processing_ids=["P", "T"]) as bus:
        await replay_messages(bus.app.settings, "his", "2026-01-01", "", dry_run=False)
        message = await the_only(bus)
        assert message["status"] == "mapped"
        assert [stay["visit"] for stay in await stays(bus, "V13")] == ["V13"]
    async with hospital(user="third") as bus:
        await replay_messages(bus.app.settings, "his", "2026-01-01", "", dry_run=False)
        assert (await the_only(bus))["status"] == "not_production"


async def test_a_laboratory_that_names_no_authority_reaches_the_stay_where_the_site_says_whose_its_numbers_are(
    hospital: Any,
) -> None:
    async with hospital(authority_by_sender={"LIS^HOSP": "HOSP"}) as bus:
        await bus.send([HEAD % b"1" + STAY, sent(20)])
        await bus.idle()
        (stay,) = await stays(bus, "V20")
        chart = await bus.get(f"charts/{stay['id']}")
    assert (stay["patient"]["id"], len(chart["results"])) == ("P20", 1)


@pytest.mark.parametrize(("number", "flags"), [(17, []), (28, ["line_ends_before_msh"]), (30, ["type_with_blanks"])])
async def test_what_is_merely_odd_is_taken_mapped_and_flagged(number: int, flags: list[str], hospital: Any) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([sent(number)])
        message = await the_only(bus)
        assert [stay["visit"] for stay in await stays(bus, f"V{number}")] == [f"V{number}"]
    assert ack.split(b"\rMSA|")[1][:2] == b"AA"
    assert (message["status"], message["flags"], message["type"]) == ("mapped", flags, "ADT^A01")


async def test_a_batch_is_taken_message_by_message(hospital: Any) -> None:
    batch = rb"BHS|^~\&|HIS|HOSP" + b"\r" + HEAD % b"1" + STAY + HEAD % b"2" + STAY + b"BTS|2\r"
    async with hospital() as bus:
        (answer,) = await bus.send([batch])
        await bus.idle()
        messages = await bus.everything("messages")
    assert [line[:8] for line in answer.split(b"\r") if line[:3] in (b"BHS", b"MSA", b"BTS")] == [
        *(b"BHS|^~\\&", b"MSA|AA|1", b"MSA|AA|2", b"BTS|2"),
    ]
    assert {(one["control_id"], one["status"], *one["flags"]) for one in messages} == {
        ("1", "mapped", "in_batch"), ("2", "mapped", "in_batch"),
    }  # fmt: skip


async def test_the_acknowledgement_that_is_kept_is_the_one_that_was_sent(hospital: Any) -> None:
    async with hospital() as bus:
        acks = await bus.send([HEAD % b"1" + STAY] * 2)
        await bus.idle()
        kept = {(await bus.get(f"messages/{one['id']}"))["ack"].encode() for one in await bus.everything("messages")}
    assert kept == set(acks)
    assert {ack.split(b"|", 7)[-1] for ack in acks} == {acks[0].split(b"|", 7)[-1]}, "all but the time is the same"
    assert all(ack.split(b"|")[6].endswith(b"+0800") and ack.split(b"|")[6] != b"20260302083000+0800" for ack in acks)
