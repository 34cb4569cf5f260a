"""The sending side: the same bytes until they are stored, in the order of time."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_simulator import ward_week
from hisbus_simulator.sender import Sender, SendError, feed

WEEK = ward_week(1, patients=3)


def acknowledge(code, control_id):
    return encode(f"MSH|^~\\&|HISBUS|QC|EMR|HOSP|||ACK|A1|P|2.5\rMSA|{code}|{control_id}\r".encode())


@asynccontextmanager
async def bus(script=()):
    """Take messages in; the script says for the first ones: a code, ``silence`` or ``close``; then AA."""
    script, bodies = list(script), []

    async def attend(reader, writer):
        decoder = Decoder(1_000_000)
        while data := await reader.read(65536):
            for frame in decoder.feed(data):
                bodies.append(frame.body)
                answer = script.pop(0) if script else "AA"
                if answer == "close":
                    writer.close()
                    return
                if answer != "silence":
                    writer.write(acknowledge(answer, frame.body.split(b"|")[9].decode()))
        writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], bodies
    finally:
        server.close()


async def test_a_week_arrives_in_the_order_of_time():
    async with bus() as (port, bodies):
        await feed(WEEK.messages, [Sender("127.0.0.1", port)])
    assert bodies == [message.body for message in WEEK.messages]


@pytest.mark.parametrize("answers", [["AE"], ["CE", "CE"], ["silence"], ["close"], ["AE", "silence", "close"]])
async def test_what_was_not_stored_is_sent_again_with_the_same_bytes(answers):
    first, second = WEEK.messages[:2]
    async with bus(answers) as (port, bodies):
        sender = Sender("127.0.0.1", port, answer_s=0.1)
        await feed([first, second], [sender])
    assert bodies == [first.body] * (len(answers) + 1) + [second.body]
    assert sender.resent == len(answers)


async def test_a_refused_message_ends_the_feed():
    async with bus(["AA", "AR"]) as (port, bodies):
        with pytest.raises(SendError, match="refused with AR"):
            await feed(WEEK.messages, [Sender("127.0.0.1", port)])
    assert len(bodies) == 2


async def test_where_nobody_listens_it_gives_up_with_a_sentence():
    async with bus() as (port, _):
        pass
    with pytest.raises(SendError, match="Nobody at"):
        await feed(WEEK.messages[:1], [Sender("127.0.0.1", port, give_up_s=0.3)])


async def test_several_connections_keep_the_order_of_each_stay():
    async with bus() as (port, bodies):
        await feed(WEEK.messages, [Sender("127.0.0.1", port) for _ in range(3)])
    visit_of = {message.body: message.visit for message in WEEK.messages}
    for visit in Counter(visit_of.values()):
        assert [body for body in bodies if visit_of[body] == visit] == [
            message.body for message in WEEK.messages if message.visit == visit
        ]


async def test_a_pace_is_kept():
    loop = asyncio.get_running_loop()
    async with bus() as (port, _):
        begun = loop.time()
        await feed(WEEK.messages[:6], [Sender("127.0.0.1", port)], pace=25)
    assert loop.time() - begun >= 0.19
