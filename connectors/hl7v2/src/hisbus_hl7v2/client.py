"""The MLLP client: one connection for one message and its answer."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import Self

from hisbus import RetryLater
from hisbus_hl7v2.conversation import CLOSE_S, keep_alive
from hisbus_hl7v2.message import beginning, read_header
from hisbus_hl7v2.mllp import Decoder, encode
from hisbus_schemas import Outcome

_ANSWER_BYTES = 1024 * 1024
_REFUSAL_S = 0.1
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
    """What came back: the outcome, MSA-1 or what went wrong, and MSA-3 with the texts of ERR as written."""

    outcome: Outcome
    code: str
    said: str = field(default="", repr=False)


class Connection:
    """One connection to the HIS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, host: str, port: int, timeout: float, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> Self:
        """Connect, under TLS where a context is given; ``server_name`` must be in the certificate, else the host.

        Raises:
            RetryLater: ``no_connection``: nobody answers there; ``certificate_not_trusted`` or ``tls``: not the HIS;
                ``certificate_refused``: it does not trust us.
        """
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=tls, server_hostname=(server_name or host) if tls else None
                )
        except ssl.SSLCertVerificationError as error:
            raise RetryLater("The certificate there is not one of the HIS.", code="certificate_not_trusted") from error
        except ssl.SSLError as error:
            raise RetryLater("There is no TLS with the HIS.", code="tls") from error
        except (OSError, TimeoutError) as error:
            raise RetryLater("The HIS does not take connections now.", code="no_connection") from error
        keep_alive(writer.transport)
        connection = cls(reader, writer)
        if tls is not None:
            await connection._be_trusted()
        return connection

    async def _be_trusted(self) -> None:
        """Wait a moment: a server that refuses our certificate says so only after the handshake (TLS 1.3)."""
        await asyncio.sleep(_REFUSAL_S)
        if self._reader.exception() is not None or self._reader.at_eof():
            await self.close()
            raise RetryLater("The HIS does not take our certificate.", code="certificate_refused")

    async def exchange(self, body: bytes, control_id: str, timeout: float, codec: str = "utf-8") -> Answer:
        """Send one message and wait for its answer. What is not surely an answer to it is ``unknown``.

        Args:
            body: of the message.
            control_id: its MSH-10.
            timeout: seconds for both.
            codec: of the answer's words, where its MSH-18 names none.
        """
        frame = encode(body)
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(frame)
                await self._writer.drain()
                return await self._answer(control_id.encode(), codec)
        except TimeoutError:
            return Answer("unknown", "silence")
        except OSError:
            return Answer("unknown", "closed")

    async def _answer(self, control_id: bytes, codec: str) -> Answer:
        decoder = Decoder(_ANSWER_BYTES, "FS")  # some leave the CR out, and send nothing more
        while True:
            data = await self._reader.read(64 * 1024)
            if not data:
                answered = decoder.discarded or decoder.finish()
                return Answer("unknown", "unreadable_answer" if answered else "closed")
            for frame in decoder.feed(data):
                if frame.fault:
                    return Answer("unknown", "unreadable_answer")
                return read_answer(frame.body, control_id, codec)

    async def close(self) -> None:
        """Close the connection; one whose peer no longer reads is cut."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            return  # lost before it was closed


def read_answer(body: bytes, control_id: bytes, codec: str = "utf-8") -> Answer:
    """Return what an acknowledgement says about the message with this MSH-10; ``codec`` as ``exchange`` has it."""
    match = re.search(rb"(?:^|[\r\n])MSA(.)([^\r\n]*)", body)
    if not body.startswith(b"MSH", beginning(body)) or match is None:
        return Answer("unknown", "unreadable_answer")
    fields = [field.strip() for field in match[2].split(match[1])]
    outcome = _OUTCOMES.get(fields[0].decode("latin-1"))
    if outcome is None:
        return Answer("unknown", "unreadable_answer")
    said = _said(body, fields[2:3], codec)
    if fields[1:2] != [control_id]:
        return Answer("unknown", "wrong_msa2", said)
    return Answer(outcome, fields[0].decode("ascii"), said)


def _said(body: bytes, words: list[bytes], default: str) -> str:
    """Return MSA-3 and every ERR as the HIS wrote them."""
    codec = read_header(body, default).body_encoding or default
    parts = [*words, *re.findall(rb"[\r\n]ERR.([^\r\n]*)", body)]
    return "\n".join(filter(None, (part.decode(codec, "replace").strip() for part in parts)))
