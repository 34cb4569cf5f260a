"""Taking messages in over real sockets, from peers that behave and peers that do not."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hisbus import Arrival, ConfigError, RetryLater, Verdict
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.mllp import HEAD_BYTES, Decoder, encode
from hisbus_mapping.testing import Cursor, Store

PATIENCE = 20


def message(control: str = "A-1", accept: str = "", more: str = "") -> bytes:
    return (
        f"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|{control}|P|2.5|||{accept}\r"
        f"PID|1||P1^^^HOSP^MR\rPV1|1|I{more}\r"
    ).encode()


class Peer:
    """A sender."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = Decoder(100_000)
        self._answers: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> str:
        """Return MSA-1 and MSA-2 (and the code) of the next answer; empty: closed."""
        async with asyncio.timeout(PATIENCE):
            while not self._answers:
                data = await self.reader.read(1000)
                if not data:
                    return ""
                self._answers += [frame.body for frame in self._decoder.feed(data)]
        return Message.read(self._answers.pop(0), "utf-8").all("MSA")[0].text.removeprefix("MSA|")

    async def taken(self, control: str) -> str:
        """Send a message and return its answer; empty where there is none."""
        try:
            await self.send(encode(message(control)))
            return await self.answer()
        except ConnectionError:
            return ""

    async def closed(self) -> bool:
        try:
            return await self.answer() == ""
        except ConnectionError:
            return True


class Site:
    """A connector that listens, with a store that can be told to fail."""

    def __init__(self, **table: Any) -> None:
        self.connector = Hl7v2Connector({"name": "his", "listen": "127.0.0.1:0", "retry_s": 0, **table})
        self._store = Store(self.connector)
        self.failures = 0
        self.before: Callable[[], Awaitable[None]] | None = None
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def stored(self) -> list[Arrival]:
        return [one.arrival for one in self._store.stored]

    @property
    def verdicts(self) -> list[str]:
        return [one.verdict.code for one in self._store.stored]

    @property
    def acknowledgements(self) -> list[str]:
        """All but the time that they say."""
        return [re.sub(r"\|\d{14}[+-]\d{4}\|", "||", one.verdict.acknowledgement) for one in self._store.stored]

    async def sink(self, arrival: Arrival) -> Verdict:
        if self.before:
            await self.before()
        if self.failures:
            self.failures -= 1
            raise RetryLater
        return await self._store(arrival)

    async def peer(self) -> Peer:
        assert self.connector.address
        reader, writer = await asyncio.open_connection(*self.connector.address)
        self._writers.append(writer)
        return Peer(reader, writer)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def running(**table: Any) -> AsyncIterator[Site]:
    site = Site(**table)
    listening = asyncio.create_task(site.connector.listen(site.sink, Cursor()))
    async with asyncio.timeout(PATIENCE):
        await site.connector.listening.wait()
    try:
        yield site
    finally:
        await site.stop()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_an_answer_leaves_only_after_the_store_has_confirmed() -> None:
    entered, confirmed = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        entered.set()
        await confirmed.wait()

    async with running() as site:
        site.before = store
        peer, other = await site.peer(), await site.peer()
        await peer.send(encode(message()))
        await entered.wait()
        waiting = asyncio.create_task(peer.answer())
        site.before = None
        assert await other.taken("B-1") == "AA|B-1"  # in that time an answer that does not wait had come
        assert not waiting.done()
        confirmed.set()
        assert await waiting == "AA|A-1"
        assert site.stored[-1].body == message()


async def test_several_messages_in_one_piece_are_stored_and_answered_in_order() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(b"".join(encode(message(f"A-{number}")) for number in range(20)))
        assert [await peer.answer() for _ in range(20)] == [f"AA|A-{number}" for number in range(20)]
        assert [arrival.control_id for arrival in site.stored] == [f"A-{number}" for number in range(20)]


async def test_a_message_that_comes_byte_by_byte_is_one_message() -> None:
    async with running() as site:
        peer = await site.peer()
        for byte in encode(message()):
            await peer.send(bytes([byte]))
        assert await peer.answer() == "AA|A-1"
        assert len(site.stored) == 1


async def test_a_large_message_is_taken_whole() -> None:
    body = message(more="\rOBX|1|ED|||" + "QUJD" * 1_000_000)
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(body))
        assert await peer.answer() == "AA|A-1"
        assert site.stored[0].body == body


async def test_a_message_over_the_cap_is_refused_parked_by_its_head_and_the_connection_closed() -> None:
    async with running(max_mb=1) as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + message(more="|" + "x" * 1_200_000))
        assert await peer.answer() == "AE|A-1|too_large"
        peer.writer.write_eof()
        assert await peer.closed()
        assert site.verdicts == ["too_large"] and [len(arrival.body) for arrival in site.stored] == [HEAD_BYTES]


async def test_what_is_refused_is_stored_too_and_the_connection_goes_on() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(b"hello") + encode(b"MSH|^^\\&|a|b|c|d|1||ADT^A01|A-2|P|2.5") + encode(message("A-3")))
        assert [await peer.answer() for _ in range(3)] == ["AR||not_hl7", "AR|A-2|bad_delimiters", "AA|A-3"]
        assert site.verdicts == ["not_hl7", "bad_delimiters", ""]
        assert site.stored[0].body == b"hello"


@pytest.mark.parametrize(("accept", "expected"), [("", "AE"), ("AL", "CE")])
async def test_a_store_that_is_away_makes_an_error_and_the_resend_succeeds(accept: str, expected: str) -> None:
    async with running() as site:
        site.failures = 1
        peer = await site.peer()
        await peer.send(encode(message(accept=accept)))
        assert await peer.answer() == f"{expected}|A-1|retry_later"
        await peer.send(encode(message(accept=accept)))
        assert (await peer.answer())[:2] in ("AA", "CA")
        assert len(site.stored) == 1


async def test_reading_stops_while_the_store_is_away() -> None:
    async with running(retry_s=3600) as site:
        site.failures = 1
        peer = await site.peer()
        await peer.send(encode(message("A-1")) + encode(message("A-2")))
        assert await peer.answer() == "AE|A-1|retry_later"
        other = await site.peer()
        await other.send(encode(message("B-1")))
        assert await other.answer() == "AA|B-1"
        assert [arrival.control_id for arrival in site.stored] == ["B-1"]


async def test_a_lost_end_is_answered_and_the_next_message_taken() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + message("A-1") + encode(message("A-2")))
        assert [await peer.answer() for _ in range(2)] == ["AE|A-1|lost_end", "AA|A-2"]
        assert [arrival.control_id for arrival in site.stored] == ["A-2"]


async def test_a_lost_end_without_a_number_to_name_is_not_answered() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(b"\x0bMSH|^~" + encode(message("A-2")))
        assert await peer.answer() == "AA|A-2"


async def test_a_message_cut_off_by_the_end_of_the_connection_is_never_stored() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + message())
        peer.writer.write_eof()
        assert await peer.closed()
        assert site.stored == []


async def test_a_message_that_does_not_end_in_time_is_answered_and_the_connection_closed() -> None:
    async with running(frame_s=0.05) as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + message())
        assert await peer.answer() == "AE|A-1|frame_timeout"
        assert await peer.closed()
        assert site.stored == []


async def test_who_is_still_sending_when_the_time_is_over_gets_the_answer_all_the_same() -> None:
    async with running(frame_s=1) as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + message())
        first = await peer.reader.readexactly(1)
        await peer.send(b"|" + b"x" * 20_000_000)
        peer.writer.write_eof()
        assert (first + await peer.reader.read()).count(b"\rMSA|AE|A-1") == 1
        assert site.stored == []


async def test_a_connection_without_messages_is_closed_even_if_bytes_trickle_in() -> None:
    async with running(idle_s=0.05) as site:
        peer = await site.peer()
        await peer.send(b"\n")
        assert await peer.closed()


@pytest.mark.parametrize("bound", ["max_connections_per_peer", "max_connections"])
async def test_there_are_only_so_many_connections_that_have_begun_something(bound: str) -> None:
    entered, confirmed = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        entered.set()
        await confirmed.wait()

    async with running(**{bound: 2}) as site:
        site.before = store
        first, second = await site.peer(), await site.peer()
        await first.send(encode(message("A-1")))  # one is being answered
        await entered.wait()
        half = encode(message("A-2"))
        await second.send(half[:-9])  # the other has begun a frame
        begun = site.connector._server._held
        async with asyncio.timeout(PATIENCE):
            while any(held.conversation.idle_since is not None for held in begun.values()):
                await asyncio.sleep(0)
        assert await (await site.peer()).closed()
        confirmed.set()
        await second.send(half[-9:])
        assert [await first.answer(), await second.answer()] == ["AA|A-1", "AA|A-2"]
        third = await site.peer()
        assert await third.taken("A-3") == "AA|A-3", "now one of them is idle"


@pytest.mark.parametrize("bound", ["max_connections_per_peer", "max_connections"])
async def test_who_has_been_idle_the_longest_makes_room(bound: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(**{bound: 2}) as site:
        first, second = await site.peer(), await site.peer()
        assert await first.taken("A-1") == "AA|A-1"
        assert await second.taken("A-2") == "AA|A-2"
        assert await first.taken("A-3") == "AA|A-3"
        third = await site.peer()
        assert await second.closed()
        assert await third.taken("A-4") == "AA|A-4"
        assert await first.taken("A-5") == "AA|A-5"
        assert [arrival.control_id for arrival in site.stored] == ["A-1", "A-2", "A-3", "A-4", "A-5"]
    assert "mllp.made_room" in caplog.text


async def test_who_has_said_nothing_yet_makes_room_before_who_works() -> None:
    async with running(max_connections=2) as site:
        works, mute = await site.peer(), None
        assert await works.taken("A-0") == "AA|A-0"
        for _ in range(20):
            before, mute = mute, await site.peer()
            if before is not None:
                assert await before.closed()
        assert await works.taken("A-1") == "AA|A-1"
        assert await mute.taken("A-2") == "AA|A-2"


async def test_an_empty_frame_is_neither_answered_nor_stored_and_keeps_the_connection() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(b"") + encode(b"\r\n") + encode(message()))
        assert await peer.answer() == "AA|A-1"
        assert await peer.taken("A-2") == "AA|A-2"
        assert [arrival.control_id for arrival in site.stored] == ["A-1", "A-2"]


async def test_an_acknowledgement_is_stored_and_not_answered() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(message("A-1").replace(b"ADT^A01^ADT_A01", b"ACK^A01")) + encode(message("A-2")))
        assert await peer.answer() == "AA|A-2"
        assert ([arrival.type for arrival in site.stored], site.acknowledgements[0]) == (["ACK^A01", "ADT^A01"], "")


@pytest.mark.parametrize("tail", [b"", b"\r"])
async def test_a_sender_that_leaves_the_cr_out_and_waits_is_answered_where_the_site_says_so(tail: bytes) -> None:
    async with running(end_of_frame="FS") as site:
        peer = await site.peer()
        for control in ("A-1", "A-2"):
            await peer.send(encode(message(control))[:-1] + tail)
            assert await peer.answer() == f"AA|{control}"
        assert [arrival.flags for arrival in site.stored] == [(), ()]


async def whole(peer: Peer, text: bytes) -> list[str]:
    """Send a frame, and return the segments of the frame that answers."""
    await peer.send(encode(text))
    async with asyncio.timeout(PATIENCE):
        answer = await peer.reader.readuntil(b"\x1c\r")
    return answer[1:-2].decode().split("\r")


HEAD = b"|^~\\&|EMR|HOSP|HISBUS|QC|20260302||%s||B-1\r"


async def test_a_batch_is_taken_message_by_message_and_answered_with_a_batch() -> None:
    bad, none = message("A-2").replace(b"P1", b"\xff"), message("A-3").replace(b"ADT^A01^ADT_A01", b"ACK")
    body = b"FHS" + HEAD % b"F" + b"BHS" + HEAD % b"B" + message("A-1") + bad + none + b"BTS|3\r"
    body += b"BHS" + HEAD % b"B2" + message("A-4") + b"BTS|1\rFTS|2\r"
    async with running() as site:
        peer = await site.peer()
        lines = await whole(peer, body)
        assert [line[:3] for line in lines] == [
            *("FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "ERR", "BTS", "BHS", "MSH", "MSA", "BTS", "FTS", ""),
        ]
        for number in (0, 1, 8):
            sent, its = lines[number].split("|"), lines[number][:3]
            assert [*sent[2:6], *sent[7:]] == ["HISBUS", "QC", "EMR", "HOSP", "", "", "", "", "B-1"], its
        assert [line for line in lines if line[:3] in ("MSA", "BTS", "FTS")] == [
            *("MSA|AA|A-1", "MSA|AE|A-2|undecodable", "BTS|2", "MSA|AA|A-4", "BTS|1", "FTS|2"),
        ]
        assert [(arrival.control_id, arrival.flags) for arrival in site.stored] == [
            (f"A-{number}", ("in_batch",)) for number in range(1, 5)
        ]
        assert site.stored[0].body == message("A-1")
        assert site.stored[0].id == (await by_itself(site, peer)).id, "alone it is the same message"


async def by_itself(site: Site, peer: Peer) -> Arrival:
    assert await peer.taken("A-1") == "AA|A-1"
    return site.stored[-1]


async def test_what_of_a_batch_could_not_be_stored_is_told_and_the_rest_not_tried() -> None:
    async with running() as site:
        stored = 0

        async def second() -> None:
            nonlocal stored
            stored += 1
            site.failures = int(stored > 1)

        site.before = second
        peer = await site.peer()
        batch = b"BHS" + HEAD % b"B" + message("A-1") + message("A-2") + message("A-3") + b"BTS|3\r"
        lines = await whole(peer, batch)
        told = [line for line in lines if line[:3] == "MSA"]
        assert told == ["MSA|AA|A-1", "MSA|AE|A-2|retry_later", "MSA|AE|A-3|retry_later"]
        assert (stored, [arrival.control_id for arrival in site.stored]) == (2, ["A-1"])
        site.before, site.failures = None, 0
        again = await whole(peer, batch)
        assert [line for line in again if line[:3] == "MSA"] == ["MSA|AA|A-1", "MSA|AA|A-2", "MSA|AA|A-3"]


async def test_a_batch_without_messages_is_answered_with_none_and_one_of_acknowledgements_with_nothing() -> None:
    async with running() as site:
        peer = await site.peer()
        assert [line[:3] for line in await whole(peer, b"\nBHS" + HEAD % b"B" + b"BTS|0\r")] == ["BHS", "BTS", ""]
        await peer.send(encode(b"BHS" + HEAD % b"B" + message().replace(b"ADT^A01^ADT_A01", b"ACK") + b"BTS|1\r"))
        assert await peer.taken("A-2") == "AA|A-2"
        assert [arrival.control_id for arrival in site.stored] == ["A-1", "A-2"]


async def test_what_only_begins_like_a_batch_is_refused_whole() -> None:
    async with running() as site:
        peer = await site.peer()
        for body in (b"FHS", b"BHS hello", b"FHSA|" + message()):
            await peer.send(encode(body))
            assert await peer.answer() == "AR||not_hl7"
        assert [arrival.body for arrival in site.stored] == [b"FHS", b"BHS hello", b"FHSA|" + message()]


async def test_a_peer_that_leaves_before_its_answer_has_its_message_stored_and_gets_the_same_answer_later() -> None:
    entered, gone = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        entered.set()
        await gone.wait()

    async with running() as site:
        site.before = store
        peer = await site.peer()
        await peer.send(encode(message()))
        await entered.wait()
        peer.writer.transport.abort()
        gone.set()
        again = await site.peer()
        await again.send(encode(message()))
        assert await again.answer() == "AA|A-1"
        assert len(site.stored) == 2
        assert site.stored[0].id == site.stored[1].id
        assert site.acknowledgements[0] == site.acknowledgements[1] != ""


async def test_a_bug_in_the_store_closes_that_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async with running() as site:
        site.before = fail
        peer, other = await site.peer(), await site.peer()
        await peer.send(encode(message()))
        assert await peer.closed()
        site.before = None
        await other.send(encode(message("B-1")))
        assert await other.answer() == "AA|B-1"


async def test_strict_never_gets_no_answer() -> None:
    async with running(accept_ack_never="silent") as site:
        peer = await site.peer()
        await peer.send(encode(message("A-1", "NE")) + encode(message("A-2", "AL")))
        assert await peer.answer() == "CA|A-2"
        assert site.acknowledgements[0] == ""


async def test_stopping_closes_every_connection() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(message()))
        assert await peer.answer() == "AA|A-1"
    assert site.connector.address is None
    assert await peer.closed()


async def test_a_taken_address_is_said_before_and_at_the_start() -> None:
    async with running() as site:
        assert await site.connector.check() == []
        assert site.connector.address
        port = site.connector.address[1]
        other = Hl7v2Connector({"name": "lab", "listen": f"127.0.0.1:{port}"})
        assert await other.check() == [
            f"lab: listen: 127.0.0.1:{port} is taken by another process. Stop that one, or choose another port."
        ]
        with pytest.raises(ConfigError, match=rf"^connector 'lab': listen: 127\.0\.0\.1:{port} is taken by another"):
            await other.listen(site.sink, Cursor())


async def test_one_thousand_connections_leave_room_for_others(caplog: pytest.LogCaptureFixture) -> None:
    async with running(max_connections_per_peer=3, max_connections=4) as site:
        good = await site.peer()
        await good.send(encode(message("A-1")))
        assert await good.answer() == "AA|A-1"
        for _ in range(1000):
            (await site.peer()).writer.transport.abort()
        await good.send(encode(message("A-2")))
        assert await good.answer() == "AA|A-2"
        async with asyncio.timeout(PATIENCE):
            while await (await site.peer()).taken("A-3") != "AA|A-3":
                await asyncio.sleep(0)


async def test_many_large_messages_at_a_time_wait_for_a_place_and_all_come_through() -> None:
    body = message(more="\rOBX|1|ED|||" + "QUJD" * 500_000)
    async with running() as site:
        peers = [await site.peer() for _ in range(7)]
        halves = [asyncio.create_task(peer.send(b"\x0b" + body[:1_500_000])) for peer in peers]
        small = await site.peer()
        assert await small.taken("S-1") == "AA|S-1", "who sends little waits for nobody"
        rest = [asyncio.create_task(peer.send(body[1_500_000:] + b"\x1c\r")) for peer in peers]
        assert [await peer.answer() for peer in peers] == ["AA|A-1"] * 7
        await asyncio.gather(*halves, *rest)
        assert [len(arrival.body) for arrival in site.stored[1:]] == [len(body)] * 7


async def test_a_large_message_that_gets_no_place_in_time_is_answered() -> None:
    body = message(more="\rOBX|1|ED|||" + "QUJD" * 500_000)
    async with running(frame_s=0.2) as site:
        peers = [await site.peer() for _ in range(5)]
        for peer in peers:
            peer.writer.write(b"\x0b" + body)
        assert [await peer.answer() for peer in peers] == ["AE|A-1|frame_timeout"] * 5
        assert site.stored == []


async def test_one_byte_a_second_does_not_prolong_a_message(caplog: pytest.LogCaptureFixture) -> None:
    async with running(frame_s=0.2) as site:
        peer, other = await site.peer(), await site.peer()

        async def trickle() -> None:
            for byte in b"\x0b" + message() * 100:
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        assert await other.taken("B-1") == "AA|B-1"
        assert await peer.closed()
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        assert [arrival.control_id for arrival in site.stored] == ["B-1"]


async def test_while_a_message_is_being_stored_its_connection_is_read_only_a_little_further() -> None:
    entered, confirmed = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        entered.set()
        await confirmed.wait()

    async with running() as site:
        site.before = store
        peer = await site.peer()
        await peer.send(encode(message("A-0")))
        await entered.wait()
        flood = encode(message("A-1", more="|" + "x" * 100_000))
        sending = asyncio.create_task(peer.send(flood * 300))
        other = await site.peer()
        site.before = None
        assert await other.taken("B-1") == "AA|B-1"
        assert not sending.done(), "30 MB do not fit into the buffers of the connection"
        confirmed.set()
        assert await peer.answer() == "AA|A-0"
        assert [await peer.answer() for _ in range(300)] == ["AA|A-1"] * 300
        await sending


async def test_a_peer_that_never_reads_its_answers_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    long = "X" * 60_000
    async with running(frame_s=0.2) as site:
        peer = await site.peer()
        peer.writer.transport.pause_reading()
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await peer.send(encode(message(long)))
        assert await (await site.peer()).taken("B-1") == "AA|B-1"
    assert "mllp.answer_undelivered" in caplog.text


async def test_a_peer_that_has_said_everything_still_gets_its_answers() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(message("A-1")) + encode(message("A-2")))
        peer.writer.write_eof()
        assert [await peer.answer() for _ in range(3)] == ["AA|A-1", "AA|A-2", ""]


async def test_two_messages_in_one_frame_are_refused_with_a_reason_and_kept() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(message("A-1") + message("A-2")))
        assert await peer.answer() == "AE|A-1|several_messages"
        assert await peer.taken("A-3") == "AA|A-3"
        assert site.verdicts == ["several_messages", ""]


async def test_a_missing_cr_behind_fs_is_forgiven_and_noted() -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(encode(message("A-1"))[:-1] + encode(message("A-2")))
        assert [await peer.answer() for _ in range(2)] == ["AA|A-1", "AA|A-2"]
        assert [arrival.flags for arrival in site.stored] == [("missing_cr",), ()]


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (message().decode().encode("utf-16"), "wide_charset"),
        (message().replace(b"|2.5|", b"|2.5||||||UTF-16|"), "wide_charset"),
        (message(more="|王建国").replace(b"|2.5|", b"|2.5||||||GBK|").replace(b"\xe5\xbb\xba", b"\xff"), "undecodable"),
        (message(more="|王").decode().encode("gb18030"), "undecodable"),
    ],
    ids=["UTF-16 bytes", "UTF-16 in MSH-18", "no GBK", "GBK that does not say so"],
)
async def test_a_character_set_that_does_not_fit_is_refused_and_the_bytes_kept(body: bytes, verdict: str) -> None:
    async with running() as site:
        peer = await site.peer()
        await peer.send(b"\x0b" + body + b"\x1c\r")
        assert (await peer.answer()).endswith(verdict)
        assert await peer.taken("A-3") == "AA|A-3"
        assert (site.verdicts[0], site.stored[0].body) == (verdict, body)
