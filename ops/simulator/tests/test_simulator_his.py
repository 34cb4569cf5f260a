"""The receiving side: how it misbehaves, over real sockets."""

import asyncio

import pytest

from hisbus_hl7v2.client import Connection
from hisbus_simulator.his import MANNERS, Behaviour, His, read

TEXT = (
    "MSH|^~\\&|HISBUS|QC|his||20260303||MDM^T02^MDM_T02|{id}|P|2.5||||||{charset}\r"
    "EVN||20260303\r"
    "PID|1||800001^^^HOSP^MR||亊倈\r"
    "PV1|1|I|W3^301^2||||||||||||||||ZY1^^^HOSP\r"
    "TXA|1|QC|TX|20260303||||||||{id}|||||PA||UN\r"
    "OBX|1|TX|QC||R01 入院记录缺失 10\\S\\9||||||P\r"
    "OBX|2|TX|QC||reviewer||||||P\r"
)


def body(id="W1", charset="UNICODE UTF-8"):
    return TEXT.format(id=id, charset=charset).encode("gb18030" if charset.startswith("GB") else "utf-8")


async def exchange(his, id="W1", timeout=5.0):
    connection = await Connection.open(*his.address, 5)
    try:
        return await connection.exchange(body(id), id, timeout)
    finally:
        await connection.close()


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "GB 18030-2000"])
def test_a_document_is_read_in_the_character_set_that_it_names(charset):
    document = read(body(charset=charset))
    assert (document.number, document.control_id, document.patient, document.visit) == ("W1", "W1", "800001", "ZY1")
    assert (document.type, document.completion, document.availability) == ("QC", "PA", "UN")
    assert document.lines == ("R01 入院记录缺失 10^9", "reviewer")


async def test_a_document_is_filed_and_acknowledged():
    async with His() as his:
        assert (await exchange(his)).outcome == "applied"
        assert his.documents["W1"].visit == "ZY1"
        assert his.effects == {"W1": 1} == his.effects_by_control_id == his.acknowledged


async def test_a_second_copy_takes_effect_twice_and_is_seen():
    async with His() as his:
        await exchange(his)
        await exchange(his)
        assert his.effects == {"W1": 2}


@pytest.mark.parametrize(
    ("manner", "outcome", "code", "effects"),
    [
        ("nak", "temporary", "AE", 0),
        ("refuse", "rejected", "AR", 0),
        ("silent", "unknown", "silence", 0),
        ("half_close", "unknown", "closed", 0),
        ("apply_silent", "unknown", "silence", 1),
        ("apply_close", "unknown", "closed", 1),
        ("wrong_msa2", "unknown", "wrong_msa2", 1),
    ],
)
async def test_how_it_misbehaves(manner, outcome, code, effects):
    async with His(behaviours=[Behaviour(manner)]) as his:
        answer = await exchange(his, timeout=0.3)
        assert (answer.outcome, answer.code) == (outcome, code)
        assert his.effects.total() == effects
        assert his.acknowledged.total() == 0
        assert his.received == ["W1"]


async def test_a_slow_answer_comes_in_the_end():
    async with His(behaviours=[Behaviour("slow", 0.2)]) as his:
        assert (await exchange(his, timeout=0.05)).outcome == "unknown"
        assert (await exchange(his, "W2")).outcome == "applied"
        async with asyncio.timeout(5):
            await his.until(lambda: his.effects == {"W1": 1, "W2": 1})


async def test_after_a_half_close_it_still_reads():
    async with His(behaviours=[Behaviour("half_close")]) as his:
        connection = await Connection.open(*his.address, 5)
        await connection.exchange(body("W1"), "W1", 1)
        await connection.exchange(body("W2"), "W2", 0.2)
        await connection.close()
        async with asyncio.timeout(5):
            await his.until(lambda: his.received == ["W1", "W2"])


async def test_what_cannot_be_read_is_refused_and_counted():
    async with His() as his:
        connection = await Connection.open(*his.address, 5)
        answer = await connection.exchange(b"not HL7", "", 5)
        await connection.close()
        assert (answer.code, his.unreadable, his.received) == ("AR", 1, [])


async def test_the_script_is_followed_message_by_message_and_then_all_is_accepted():
    async with His(behaviours=[Behaviour("nak"), Behaviour("refuse")]) as his:
        answers = [(await exchange(his, f"W{n}")).code for n in range(4)]
        assert answers == ["AE", "AR", "AA", "AA"]
        assert his.effects == {"W2": 1, "W3": 1}


def test_behaviours_can_be_written():
    assert [Behaviour.parse(manner).manner for manner in MANNERS] == list(MANNERS)
    assert Behaviour.parse("slow:0.5") == Behaviour("slow", 0.5)
    with pytest.raises(ValueError, match="choose among"):
        Behaviour.parse("rude")
