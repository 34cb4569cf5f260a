"""The load generator: what it counts, the order it keeps, the rate that it holds."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

from typer.testing import CliRunner

from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_simulator import ward_week
from hisbus_simulator.cli import app
from hisbus_simulator.load import Shot, fire, hospital, lanes

WEEK = ward_week(1)


@asynccontextmanager
async def bus(answer=lambda body: b"AA"):
    """Take messages in and answer each; no answer closes the connection."""
    bodies = []

    async def attend(reader, writer):
        decoder = Decoder(1_000_000)
        while data := await reader.read(65536):
            for frame in decoder.feed(data):
                bodies.append(frame.body)
                if not (code := answer(frame.body)):
                    writer.close()
                    return
                writer.write(encode(b"MSH|^~\\&|HISBUS\rMSA|" + code + b"|1\r"))
        writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], bodies
    finally:
        server.close()


def shots(count, due=0.0):
    return iter([Shot(f"C{n}", b"\x0bMSH|C%d\x1c\r" % n, n * due) for n in range(count)])


def test_the_hospital_has_as_many_stays_as_the_load_needs():
    week = hospital(2000)
    assert 2000 <= len(week.messages) < 2000 + len(WEEK.messages)
    assert len(week.messages) >= 30 * len({message.visit for message in week.messages if message.visit[0] == "Z"})


async def test_everything_is_sent_and_every_stay_stays_in_order():
    async with bus() as (port, bodies):
        fired = await fire("127.0.0.1", port, lanes(WEEK.messages, connections=4, rate=100_000))
    assert (fired.stored, fired.refused) == (len(WEEK.messages), 0)
    assert set(fired.sent) == {message.control_id for message in WEEK.messages}
    visit_of = {message.body: message.visit for message in WEEK.messages}
    for visit in set(visit_of.values()):
        told = [message.body for message in WEEK.messages if message.visit == visit]
        assert [body for body in bodies if visit_of[body] == visit] == told


async def test_a_message_does_not_leave_before_it_is_due():
    async with bus() as (port, _):
        begun = time.time()
        fired = await fire("127.0.0.1", port, [shots(5, due=0.02)])
    for number, sent in enumerate(fired.sent.values()):
        assert sent - begun >= 0.02 * number - 0.001


async def test_a_receiver_that_does_not_keep_up_is_seen():
    async with bus() as (port, _):
        fired = await fire("127.0.0.1", port, [shots(200, due=1e-6)])
    assert fired.behind_s > 0


async def test_without_end_it_stops_when_the_time_is_over():
    endless = iter(lambda: Shot("C", b"\x0bMSH\x1c\r"), None)
    async with bus() as (port, bodies):
        fired = await fire("127.0.0.1", port, [endless] * 3, seconds=0.1)
    assert fired.stored == len(bodies) > 3


async def test_refused_and_lost_messages_are_counted():
    codes = {b"MSH|C0": b"AA", b"MSH|C1": b"AE", b"MSH|C2": b""}
    async with bus(codes.get) as (port, _):
        fired = await fire("127.0.0.1", port, [shots(4)])
    assert (fired.stored, fired.refused) == (1, 2)


async def test_the_command_reports_what_left_when(tmp_path):
    report = tmp_path / "report.json"
    async with bus() as (port, bodies):
        said = ["load", "--to", f"127.0.0.1:{port}", "--rate", "20000", "--seconds", "1", "--report", str(report)]
        done = await asyncio.to_thread(CliRunner().invoke, app, said)
    assert done.exit_code == 0, done.output
    fired = json.loads(report.read_text())
    assert fired["stored"] == len(fired["sent"]) == len(bodies) >= 20000
