"""Sending write-backs over real sockets, to HIS that behave and HIS that do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hisbus import ConfigError, RetryLater
from hisbus.connector import Connector
from hisbus_hl7v2 import Hl7v2Connector, register_connectors
from hisbus_hl7v2.client import read_answer
from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_mapping import Mapping
from hisbus_mapping.testing import Cursor, Store, make_writeback

PATIENCE = 20
MSH = b"MSH|^~\\&|HIS|HOSP|HISBUS|QC|20260303090000||ACK^T02^ACK|77|P|2.5\r"
MEANING = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2"}))
WRITEBACK = MEANING.leaving(make_writeback("his", patient_name="王建国"))

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def his(behave: Behaviour, **table: Any) -> AsyncIterator[Hl7v2Connector]:
    tasks: list[asyncio.Task[None]] = []

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(
        lambda reader, writer: tasks.append(asyncio.create_task(attend(reader, writer))), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    try:
        yield Hl7v2Connector({"name": "his", "send": f"127.0.0.1:{port}", **table})
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> bytes:
    decoder = Decoder(100_000)
    while True:
        for frame in decoder.feed(await reader.read(1000)):
            return frame.body


def replying(*parts: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
        await reader.read()

    return behave


async def outcome(behave: Behaviour, **table: Any) -> tuple[str, str]:
    begun: list[bool] = []

    async def begin() -> None:
        begun.append(True)

    async with his(behave, **table) as connector, asyncio.timeout(PATIENCE):
        receipt = await connector.write(WRITEBACK, begin)
    assert begun == [True]
    assert receipt.writeback == WRITEBACK.id
    return receipt.outcome, receipt.code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AA", "applied"),
        ("CA", "applied"),
        ("AE", "temporary"),
        ("CE", "temporary"),
        ("AR", "rejected"),
        ("CR", "rejected"),
    ],
)
async def test_each_acknowledgement_has_its_outcome(code: str, expected: str) -> None:
    answer = MSH + f"MSA|{code}|{WRITEBACK.id}\r".encode()
    assert await outcome(replying(encode(answer))) == (expected, code)
    assert await outcome(replying(*(bytes([byte]) for byte in encode(answer)))) == (expected, code)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (MSH + b"MSA|AA|another\r", "wrong_msa2"),
        (MSH + b"MSA|AA\r", "wrong_msa2"),
        (MSH + b"MSA|AA|0123456789ABCDEF\r", "wrong_msa2"),
        (b"", "unreadable_answer"),
        (b"OK", "unreadable_answer"),
        (MSH, "unreadable_answer"),
        (MSH + b"MSA||0123456789abcdef\r", "unreadable_answer"),
        (MSH + b"MSA|XX|0123456789abcdef\r", "unreadable_answer"),
        (b"MSA|AA|0123456789abcdef\r", "unreadable_answer"),
    ],
)
async def test_what_is_not_surely_an_answer_to_it_is_unknown(answer: bytes, code: str) -> None:
    assert await outcome(replying(encode(answer))) == ("unknown", code)


async def test_what_the_his_says_is_for_the_operator_and_in_no_text_of_ours() -> None:
    async def begin() -> None:
        pass

    answer = (
        MSH[:-1]
        + "||||||UNICODE UTF-8\rMSA|AR|0123456789abcdef|王建国 不存在\rERR|||204^Unknown key^HL70357|E||||P1\r".encode()
    )
    async with his(replying(encode(answer))) as connector, asyncio.timeout(PATIENCE):
        receipt = await connector.write(WRITEBACK, begin)
    assert (receipt.code, receipt.said) == ("AR", "王建国 不存在\n||204^Unknown key^HL70357|E||||P1")
    assert "王建国" not in repr(receipt) + receipt.model_dump_json()


async def test_what_the_his_says_is_read_in_the_connectors_character_set_where_it_names_none() -> None:
    async def begin() -> None:
        pass

    answer = MSH + "MSA|AR|0123456789abcdef|王建国 不存在\r".encode("gb18030")
    async with his(replying(encode(answer)), charset="GB18030") as connector, asyncio.timeout(PATIENCE):
        receipt = await connector.write(WRITEBACK, begin)
    assert (receipt.code, receipt.said) == ("AR", "王建国 不存在")


@pytest.mark.parametrize(
    "frame",
    [
        encode(b"\r\n" + MSH + b"MSA|AA|0123456789abcdef\r"),
        encode(MSH + b"MSA|AA|0123456789abcdef\r")[:-1],
    ],
    ids=["line end before MSH", "no CR behind FS"],
)
async def test_an_answer_that_is_merely_odd_is_one(frame: bytes) -> None:
    assert await outcome(replying(frame)) == ("applied", "AA")


async def test_silence_is_unknown() -> None:
    assert await outcome(replying(), answer_s=0.05) == ("unknown", "silence")


async def test_an_answer_that_never_ends_is_silence() -> None:
    assert await outcome(replying(b"\x0b" + MSH), answer_s=0.05) == ("unknown", "silence")


async def test_a_connection_closed_without_answer_is_unknown() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)

    assert await outcome(hang_up) == ("unknown", "closed")


async def test_half_an_answer_is_unknown() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"\x0b" + MSH + b"MSA|AA|0123456789abcdef\r")
        writer.write_eof()
        await reader.read()

    assert await outcome(half) == ("unknown", "unreadable_answer")


async def test_a_late_answer_to_an_earlier_message_does_not_complete_this_one() -> None:
    late = encode(MSH + b"MSA|AA|the-one-before\r")
    assert await outcome(replying(late + encode(MSH + b"MSA|AA|0123456789abcdef\r"))) == ("unknown", "wrong_msa2")


async def test_nothing_begins_where_nobody_takes_connections() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    connector = Hl7v2Connector({"name": "his", "send": f"127.0.0.1:{port}"})

    async def begin() -> None:
        pytest.fail("nothing was connected")

    with pytest.raises(RetryLater):
        await connector.write(WRITEBACK, begin)
    assert await connector.check() == [f"his: send: nobody takes connections at 127.0.0.1:{port}."]


async def test_the_first_byte_leaves_after_begin() -> None:
    seen = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        seen.set()
        await reader.read()

    async def begin() -> None:
        await asyncio.sleep(0)
        assert not seen.is_set()

    async with his(watch, answer_s=0.05) as connector:
        assert (await connector.write(WRITEBACK, begin)).code == "silence"
        assert seen.is_set()


async def test_a_failing_begin_sends_nothing() -> None:
    received: list[bytes] = []
    done = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        done.set()

    async def begin() -> None:
        raise RetryLater

    async with his(watch) as connector, asyncio.timeout(PATIENCE):
        with pytest.raises(RetryLater):
            await connector.write(WRITEBACK, begin)
        await done.wait()
    assert received == [b""]


async def test_a_text_that_cannot_be_written_is_rejected_before_anything_begins() -> None:
    async def begin() -> None:
        pytest.fail("nothing can be sent")

    connector = Hl7v2Connector({"name": "his", "send": "127.0.0.1:9", "charset": "8859/1"})
    receipt = await connector.write(WRITEBACK, begin)
    assert (receipt.outcome, receipt.code) == ("rejected", "charset")


async def test_a_document_that_does_not_conform_is_rejected_before_anything_begins() -> None:
    async def begin() -> None:
        pytest.fail("nothing can be sent")

    connector = Hl7v2Connector({"name": "his", "send": "127.0.0.1:9"})
    receipt = await connector.write(WRITEBACK.model_copy(update={"note": "王" * 66_000}), begin)
    assert (receipt.outcome, receipt.code) == ("rejected", "nonconformant")


async def test_our_client_and_our_server_understand_each_other() -> None:
    async def begin() -> None:
        pass

    server = Hl7v2Connector({"name": "other", "listen": "127.0.0.1:0"})
    store = Store(server)
    listening = asyncio.create_task(server.listen(store, Cursor()))
    await server.listening.wait()
    assert server.address
    client = Hl7v2Connector({"name": "his", "send": f"127.0.0.1:{server.address[1]}", "charset": "GB18030"})
    assert await client.check() == []
    receipt = await client.write(WRITEBACK, begin)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert (receipt.outcome, receipt.code) == ("applied", "AA")
    stored = [one.arrival for one in store.stored]
    assert [(arrival.control_id, arrival.type) for arrival in stored] == [(WRITEBACK.id, "MDM^T02")]
    assert "缺入院记录" in stored[0].body.decode("gb18030")


async def test_an_earlier_attempt_cannot_be_looked_up() -> None:
    assert await Hl7v2Connector({"name": "his"}).find(WRITEBACK) == "unknown"


async def test_nothing_is_written_back_where_nothing_is_configured() -> None:
    connector = Hl7v2Connector({"name": "his"})
    assert not connector.writes
    with pytest.raises(ConfigError, match="send is not set"):
        await connector.write(WRITEBACK, lambda: asyncio.sleep(0))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "his", "timezone": "Asia/Nowhere"}, "timezone: there is no IANA zone 'Asia/Nowhere'."),
        ({"name": "his", "timezone": "CST"}, "timezone: 'CST' may mean several zones."),
        ({"name": "his", "charset": "KLINGON"}, "charset: a name of HL7 table 0211"),
        ({"name": "his", "listen": "2575"}, "listen: '2575' is no address. Write \"HOST:PORT\""),
        ({"name": "his", "send": "host:99999"}, "send: host:99999: there is no port 99999"),
        ({"name": "his", "clock": "sun"}, "clock:"),
        ({"name": "his", "port": 2575}, "port: no key of this connector"),
        ({"name": "his", "max_mb": 33}, "max_mb: largest message"),
        ({}, "name: give the connector a name"),
    ],
)
def test_a_wrong_configuration_names_the_key_and_what_belongs_there(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Hl7v2Connector(table)
    assert words in str(caught.value)


def test_it_registers_as_hl7v2() -> None:
    registered: dict[str, Any] = {}
    register_connectors(registered.__setitem__)
    connector = registered["hl7v2"]({"name": "his", "type": "hl7v2", "clock": "feed"})
    assert isinstance(connector, Connector)
    assert (connector.name, connector.clock, connector.timezone) == ("his", "feed", "UTC")


def test_an_answer_is_read_whatever_its_delimiters_and_line_ends() -> None:
    answer = b"MSH#!*%$#HIS\nMSA#AA# A-1 #\n"
    assert read_answer(answer, b"A-1").outcome == "applied"
