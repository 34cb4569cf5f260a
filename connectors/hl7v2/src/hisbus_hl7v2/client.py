"""The MLLP client: one connection for one message and its answer."""

import asyncio
import re
from dataclasses import dataclass
from typing import Self

from hisbus import RetryLater
from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_hl7v2.server import close, keep_alive
from hisbus_schemas import Outcome

_ANSWER_BYTES = 1024 * 1024
_OUTCOMES: dict[str, Outcome] = {
    "AA": "applied",
    "CA": "applied",
    "AE": "temporary",
    "CE": "temporary",
    "AR": "rejected",
    "CR": "rejected",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the outcome, and MSA-1 or what went wrong."""

    outcome: Outcome
    code: str


class Connection:
    """One connection to the HIS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, timeout: float) -> Self:
        """Connect.

        Raises:
            RetryLater: nobody answers there.
        """
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise RetryLater("The HIS does not take connections now.", code="no_connection") from error
        keep_alive(writer)
        return cls(reader, writer)

    async def exchange(self, body: bytes, control_id: str, timeout: float) -> Answer:
        """Send one message and wait for its answer. What is not surely an answer to it is ``unknown``."""
        frame = encode(body)
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(frame)
                await self._writer.drain()
                return await self._answer(control_id.encode())
        except TimeoutError:
            return Answer("unknown", "silence")
        except OSError:
            return Answer("unknown", "closed")

    async def _answer(self, control_id: bytes) -> Answer:
        decoder = Decoder(_ANSWER_BYTES)
        while True:
            data = await self._reader.read(64 * 1024)
            if not data:
                answered = decoder.discarded or decoder.finish()
                return Answer("unknown", "unreadable_answer" if answered else "closed")
            for frame in decoder.feed(data):
                return Answer("unknown", "unreadable_answer") if frame.fault else read_answer(frame.body, control_id)

    async def close(self) -> None:
        """Close the connection."""
        await close(self._writer)


def read_answer(body: bytes, control_id: bytes) -> Answer:
    """Return what an acknowledgement says about the message with this MSH-10."""
    match = re.search(rb"(?:^|[\r\n])MSA(.)([^\r\n]*)", body)
    if not body.removeprefix(b"\xef\xbb\xbf").startswith(b"MSH") or match is None:
        return Answer("unknown", "unreadable_answer")
    fields = [field.strip() for field in match[2].split(match[1])]
    outcome = _OUTCOMES.get(fields[0].decode("latin-1"))
    if outcome is None:
        return Answer("unknown", "unreadable_answer")
    if fields[1:2] != [control_id]:
        return Answer("unknown", "wrong_msa2")
    return Answer(outcome, fields[0].decode("ascii"))
