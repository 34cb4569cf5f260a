"""What a hospital's interfaces really send, and what each of it gets."""

import asyncio
import resource
from typing import Any

import pytest

HEAD = rb"MSH|^~\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|%s|P|2.5||||||UNICODE UTF-8"
ADMISSION = HEAD + b"\rEVN||20260302083000+0800\rPID|1||P1^^^HOSP^MR||Wang^X\rPV1|1|I|W3||||||||||||||||V1^^^HOSP\r"


async def the_only(bus: Any) -> dict[str, Any]:
    await bus.idle()
    (listed,) = await bus.everything("messages")
    message: dict[str, Any] = await bus.get(f"messages/{listed['id']}")
    return message


@pytest.mark.parametrize(
    "body, code",
    [
        (b"hello, is this HL7?", b"AR"),
        (ADMISSION.replace(b"UNICODE UTF-8", b"UNICODE UTF-8", 1).replace(b"Wang", b"\xff\xfe") % b"7", b"AE"),
        ((ADMISSION % b"7").replace(rb"|^~\&|", rb"|||||", 1), b"AR"),
        ((ADMISSION % b"7").replace(rb"|^~\&|", rb"|^^\&|", 1), b"AR"),
        ((ADMISSION % b"7").replace(rb"|^~\&|", rb"|a~\&|", 1), b"AR"),
    ],
    ids=["not HL7", "undecodable", "no delimiters", "a delimiter twice", "a letter as delimiter"],
)
async def test_what_cannot_be_read_is_refused_with_a_code_and_parked_with_its_bytes(
    hospital: Any, body: bytes, code: bytes
) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([body])
        message = await the_only(bus)
        (parked,) = await bus.everything("parked")
        (again,) = await bus.send([ADMISSION % b"8"])
    assert ack.split(b"\r")[1].split(ack[3:4])[1] in {b"AR", b"AE"}
    assert ack.split(b"\r")[1].split(ack[3:4])[1] == code
    assert b"Traceback" not in ack and b"Error" not in ack
    assert (message["status"], message["reason"]) == ("parked", parked["reason"])
    assert b"MSA|AA|8" in again, "the feed goes on"


async def test_other_delimiters_are_taken_and_used_in_the_answer(hospital: Any) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([(ADMISSION % b"7").replace(b"|", b"#").replace(b"^", b"!")])
        message = await the_only(bus)
    assert ack.startswith(b"MSH#!~\\&#") and b"MSA#AA#7" in ack
    assert message["status"] == "mapped"


@pytest.mark.parametrize(
    "body, flag",
    [
        ((ADMISSION % b"7").replace(b"\r", b"\n"), "lf_segments"),
        ((ADMISSION % b"7").replace(b"\r", b"\r\n"), "crlf_segments"),
        (b"\xef\xbb\xbf" + ADMISSION % b"7", "byte_order_mark"),
        ((ADMISSION % b"7").replace(b"2026", b"2226"), "future_time"),
    ],
    ids=["LF", "CRLF", "byte-order mark", "future"],
)
async def test_what_is_merely_odd_is_taken_and_flagged(hospital: Any, body: bytes, flag: str) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([body])
        message = await the_only(bus)
    assert b"MSA|AA|7" in ack
    assert message["status"] == "mapped"
    assert flag in message["flags"]


async def test_a_message_without_mapping_is_acknowledged_stored_and_visible(hospital: Any) -> None:
    async with hospital() as bus:
        (ack,) = await bus.send([(ADMISSION % b"7").replace(b"ADT^A01^ADT_A01", b"SIU^S12^SIU_S12")])
        message = await the_only(bus)
    assert b"MSA|AA|7" in ack
    assert (message["status"], message["type"], message["events"]) == ("unmapped", "SIU^S12", [])
    assert message["raw"].startswith("MSH|")


async def test_the_same_message_again_gets_the_same_answer_and_makes_no_event(hospital: Any) -> None:
    async with hospital() as bus:
        first, second = await bus.send([ADMISSION % b"7", ADMISSION % b"7"])
        await bus.idle()
        statuses = sorted(message["status"] for message in await bus.everything("messages"))
    assert first.split(b"\r")[1] == second.split(b"\r")[1]
    assert statuses == ["duplicate", "mapped"]


async def test_the_same_control_id_with_other_content_is_a_new_message(hospital: Any) -> None:
    async with hospital() as bus:
        await bus.send([ADMISSION % b"7", (ADMISSION % b"7").replace(b"Wang", b"Zhang")])
        await bus.idle()
        messages = await bus.everything("messages")
    assert [message["status"] for message in messages] == ["mapped", "mapped"]
    assert sorted("control_id_reused" in message["flags"] for message in messages) == [False, True]


async def test_over_the_size_cap_is_refused_and_what_came_is_kept(hospital: Any) -> None:
    async with hospital(max_mb=0.1) as bus:
        (ack,) = await bus.send([(ADMISSION % b"7") + b"ZZZ|" + b"x" * 200_000 + b"\r"])
        message = await the_only(bus)
        (next_ack,) = await bus.send([ADMISSION % b"8"])
    assert b"MSA|AR|7" in ack or b"MSA|AE|7" in ack
    assert (message["status"], message["reason"]) == ("parked", "too_large")
    assert b"MSA|AA|8" in next_ack


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_while_the_log_has_no_room_nothing_is_acknowledged_and_it_recovers_alone(hospital: Any) -> None:
    """RLIMIT_FSIZE stands in for a full disk: no file may grow any more."""
    async with hospital(retry_s=0.1) as bus:
        await bus.send([ADMISSION % b"7"])
        await bus.idle()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            (refused,) = await bus.send([ADMISSION % b"8"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        async with asyncio.timeout(30):
            while b"MSA|AA|8" not in (await bus.send([ADMISSION % b"8"]))[0]:
                await asyncio.sleep(0.1)
        await bus.idle()
        firsts = [message for message in await bus.everything("messages") if message["status"] != "duplicate"]
    assert b"MSA|AE|8" in refused
    assert sorted(message["control_id"] for message in firsts) == ["7", "8"]
