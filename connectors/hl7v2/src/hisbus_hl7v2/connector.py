"""The hl7v2 connector: HL7 v2 over MLLP, in and out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hisbus import Arrival, BusError, ConfigError, Format, Place, Raw, Reads, RetryLater, Sink
from hisbus.addresses import address, unbound
from hisbus.connector import Scrubbed
from hisbus.disguise import Disguise
from hisbus_hl7v2 import captured
from hisbus_hl7v2.arrival import Examiner
from hisbus_hl7v2.batch import read_batch
from hisbus_hl7v2.client import Answer, Connection
from hisbus_hl7v2.conformance import NonconformantError
from hisbus_hl7v2.conversation import Limits, Reply, Then
from hisbus_hl7v2.groups import grammar, grammar_hash
from hisbus_hl7v2.message import Header, Message, read_header
from hisbus_hl7v2.mllp import Decoder, Frame
from hisbus_hl7v2.scrub import scrub
from hisbus_hl7v2.senders import authority_of, refusal
from hisbus_hl7v2.server import Server, bind
from hisbus_hl7v2.settings import read_settings
from hisbus_hl7v2.source import FORMAT, Hl7Source, segments
from hisbus_hl7v2.tls import Context as TlsContext
from hisbus_hl7v2.tls import make
from hisbus_hl7v2.writeback import CharsetError, document, escaped
from hisbus_schemas import Effect, Receipt, WriteBack

_CLOSES: dict[str, Then] = {"too_large": "close", "frame_timeout": "close"}
"""Verdicts after which it is not known where the next message begins."""

_NOT_SHOWN = frozenset({"sender_not_allowed", "type_not_allowed"})
"""Verdicts on who sent a message, whose certificate nobody has kept."""

_UNREACHABLE = {
    "no_connection": "nobody takes connections at {}.",
    "certificate_not_trusted": "the certificate at {} is not of send_tls_ca_file, or names another server.",
    "certificate_refused": "{} does not take our certificate; see send_certificate_file.",
    "tls": "{} does not speak TLS with us.",
    "tls_files": "the files for TLS with {} cannot be used.",
}
"""What is wrong with ``send``, by the code of the error."""


class Hl7v2Connector:
    """Takes HL7 v2 messages in over MLLP, reads them, and sends documents back."""

    profile = Path(__file__).with_name("profile.toml")
    format: Format | None = FORMAT
    polls = False

    def __init__(self, table: dict[str, Any]) -> None:
        self._settings = settings = read_settings(table)
        self._zone, self._codec = ZoneInfo(settings.timezone), settings.codec
        self._examiner = Examiner(
            settings.name, settings.codec, settings.charset_wins, settings.accept_ack_never, self._zone
        )
        self.name = settings.name
        self.timezone = settings.timezone
        self.clock = settings.clock
        self.backfill = settings.backfill
        self.writes = settings.send is not None
        self.his_drops_duplicates = settings.his_drops_duplicates
        self.authority = settings.authority
        self.over = settings.profile
        self._processing_ids = frozenset(settings.processing_ids)
        self.meaning: Mapping[str, str] = {
            "charset": settings.codec,
            "charset_wins": str(settings.charset_wins),
            "grammar": grammar_hash(),
            "processing_ids": ",".join(sorted(self._processing_ids)),
            "authority_by_sender": json.dumps(settings.authority_by_sender, sort_keys=True),
        }
        self.plaintext: Sequence[str] = settings.plaintext
        """The keys, ``listen`` and ``send``, for which the operator has waived encryption."""
        self._sink: Sink | None = None
        self._met: tuple[bytes, Header] | None = None
        """The message that came last, with its header: it is judged before another comes."""
        self._send_tls = TlsContext(settings.name, settings.send_files) if settings.send_files else None
        self._listen_tls = TlsContext(settings.name, settings.listen_files) if settings.listen_files else None
        self._server = Server(
            settings.name,
            Limits(
                max_bytes=settings.max_bytes,
                end_of_frame=settings.end_of_frame,
                idle_s=settings.idle_s,
                frame_s=settings.frame_s,
                pause_s=settings.retry_s,
                connections=settings.max_connections,
                connections_per_peer=settings.max_connections_per_peer,
            ),
            self._receive,
            self._listen_tls,
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port it listens at; None: it does not listen now."""
        return self._server.address

    @property
    def listening(self) -> asyncio.Event:
        """Set while it listens."""
        return self._server.listening

    async def check(self) -> list[str]:
        """Try the files for TLS, bind the address of ``listen`` and connect to that of ``send``."""
        wrong = []
        settings = self._settings
        for files in (settings.listen_files, settings.send_files):
            try:
                if files is not None:
                    make(files)
            except ConfigError as error:
                wrong.append(f"{self.name}: {error}")
        if settings.listen and self.address is None:
            try:
                bind(*address(settings.listen)).close()
            except OSError as error:
                wrong.append(f"{self.name}: listen: {unbound(error, settings.listen)}")
        if settings.send and not wrong:
            try:
                await (await self._connect(settings.send)).close()
            except RetryLater as error:
                wrong.append(f"{self.name}: send: {_UNREACHABLE[error.code].format(settings.send)}")
        return wrong

    async def _connect(self, where: str) -> Connection:
        """Connect to the HIS. Raises RetryLater as ``Connection.open``, or ``tls_files``."""
        settings = self._settings
        try:
            tls = self._send_tls.current() if self._send_tls else None
        except ConfigError as error:
            raise RetryLater("The files for TLS with the HIS cannot be used.", code="tls_files") from error
        return await Connection.open(*address(where), settings.connect_s, tls, settings.send_server_name)

    async def listen(self, sink: Sink, place: Place) -> None:
        """Take messages in until cancelled; senders keep their own place.

        Raises:
            ConfigError: the address cannot be bound, or the files for TLS cannot be used.
        """
        if self._settings.listen is None:
            await asyncio.Event().wait()
            return
        self._sink = sink
        try:
            await self._server.serve(*address(self._settings.listen))
        except OSError as error:
            raise ConfigError(f"connector {self.name!r}: listen: {unbound(error, self._settings.listen)}") from error
        except ConfigError as error:
            raise ConfigError(f"connector {self.name!r}: {error}") from error

    async def _receive(self, frame: Frame, certificate: frozenset[str]) -> Reply:
        """Store what a frame holds and answer it; the answer leaves after the store has confirmed."""
        batch = read_batch(frame, self._settings.codec)
        if batch is None:
            return await self._receive_one(frame, certificate)
        replies: list[Reply] = []
        for one in batch.frames:
            if replies and replies[-1].code == "retry_later":
                replies.append(self._told(one, "retry_later"))
            else:
                replies.append(await self._receive_one(one, certificate))
        return batch.reply(replies, self._examiner.now())

    def _told(self, frame: Frame, code: str) -> Reply:
        """Answer a frame that is not handed on."""
        header = self._examiner.header(frame)
        id = self._examiner.message_id(frame, header)
        return Reply(self._examiner.reply(header, id, code), code, id, "pause")

    async def _receive_one(self, frame: Frame, certificate: frozenset[str]) -> Reply:
        examiner, sink = self._examiner, self._sink
        header = examiner.header(frame)
        self._met = (frame.body, header)
        id = examiner.message_id(frame, header)
        if frame.fault and frame.fault != "too_large":
            # Only a part of a message, so it is never handed on. Who can be told is told, and sends it again.
            told = frame.fault != "truncated" and header.get(10)
            then = _CLOSES.get(frame.fault, "go_on")
            return Reply(examiner.reply(header, id, frame.fault) if told else None, frame.fault, id, then)
        if sink is None:
            raise BusError("A frame came before anybody listened.")
        clients = self._settings.clients
        refused = refusal(clients, certificate, header) if clients else ""
        arrival = examiner.arrival(frame, header, id, datetime.now(UTC), refused)
        try:
            verdict = await sink(arrival)
        except RetryLater:
            code = "retry_later"
            then = "close" if arrival.refusal in _CLOSES else "pause"
            return Reply(examiner.reply(header, id, code), code, id, then)
        ack = verdict.acknowledgement
        return Reply(ack.encode(header.encoding) if ack else None, verdict.code, id, _CLOSES.get(verdict.code, "go_on"))

    async def take(self, body: bytes, sink: Sink) -> str:
        """Take one message as if it had come over the wire, whoever may send it. Return MSA-1; empty: no answer."""
        code = ""
        for frame in Decoder(self._settings.max_bytes).feed(b"\x0b" + body + b"\x1c\r"):
            if frame.keeps_alive:
                continue
            header = self._examiner.header(frame)
            id = self._examiner.message_id(frame, header)
            verdict = await sink(self._examiner.arrival(frame, header, id, datetime.now(UTC)))
            ack = self._examiner.answer(header, id, verdict.code)
            code = ack.code if ack else ""
        return code

    def read(self, raw: Raw, reads: Reads | None = None) -> Hl7Source:
        """Read a message. Pure.

        Raises:
            BadMessage: it cannot be read.
        """
        settings = self._settings
        (met, header), self._met = self._met or (None, None), None
        if met is not raw.body or header is None:
            header = read_header(raw.body, self._codec, wins=settings.charset_wins)
        # In a type with groups, what a segment belongs to is told by those before it.
        only = segments(reads) if reads is not None and header.type not in grammar() else None
        message = Message.behind(header, raw.body, only)
        by_sender = settings.authority_by_sender
        authority = authority_of(by_sender, header) if by_sender else ""
        return Hl7Source(message, raw, authority, self._processing_ids)

    def examine(self, raw: Raw, refusal: str) -> Arrival:
        """Return a message that was refused, as it would arrive today. Pure."""
        frame = Frame(raw.body, 0, "too_large" if refusal == "too_large" else "", raw.flags)
        stays = refusal if refusal in _NOT_SHOWN else ""
        return self._examiner.arrival(frame, self._examiner.header(frame), raw.id, raw.recorded, stays)

    def split(self, file: bytes) -> list[bytes]:
        """Return the messages of a file: MLLP frames as captured, or messages with an empty line between them."""
        return captured.split(file)

    def scrub(self, file: bytes, disguise: Disguise, *, keep: Collection[str], keep_text: bool) -> Scrubbed:
        """Return a captured file in which nothing names anybody, as ``identifying.toml`` says.

        Raises:
            ConfigError: it is in UTF-16 or UTF-32.
        """
        return scrub(file, disguise, self._settings.codec, keep=keep, keep_text=keep_text)

    async def write(self, writeback: WriteBack, begin: Callable[[], Awaitable[None]]) -> Receipt:
        """Send one write-back as MDM^T02 on a connection of its own, so no late answer to another can be taken for it.

        Raises:
            RetryLater: no connection could be made; nothing was sent and ``begin`` was not awaited.
            ConfigError: nothing is configured to send to.
        """
        settings = self._settings
        if settings.send is None:
            raise ConfigError(f"Connector {self.name}: send is not set, so nothing can be written back through it.")
        try:
            # In a thread, for it is checked, which takes milliseconds; intake goes on meanwhile.
            body = await asyncio.to_thread(document, writeback, self.name, settings.codec, self._zone)
        except (CharsetError, NonconformantError) as error:
            return self._receipt(writeback, Answer("rejected", error.code))
        connection = await self._connect(settings.send)
        try:
            await begin()
            answer = await connection.exchange(body, escaped(writeback.id), settings.answer_s, settings.codec)
        finally:
            await connection.close()
        return self._receipt(writeback, answer)

    def _receipt(self, writeback: WriteBack, answer: Answer) -> Receipt:
        return Receipt(
            writeback=writeback.id,
            outcome=answer.outcome,
            code=answer.code,
            said=answer.said,
            received=datetime.now(UTC),
        )

    async def find(self, writeback: WriteBack) -> Effect:
        """Answer ``unknown``: MLLP has no way to ask."""
        return "unknown"
