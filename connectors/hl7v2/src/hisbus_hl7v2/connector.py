"""The hl7v2 connector: HL7 v2 over MLLP, in and out."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hisbus import BusError, ConfigError, Raw, RetryLater, Translation
from hisbus.connector import Sink
from hisbus_hl7v2.arrival import Examiner
from hisbus_hl7v2.client import Answer, Connection
from hisbus_hl7v2.mapping import Profile, translate
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.mllp import Frame
from hisbus_hl7v2.server import Limits, Reply, Server, Then
from hisbus_hl7v2.settings import address, read_settings
from hisbus_hl7v2.writeback import CharsetError, document, escaped
from hisbus_schemas import Effect, Receipt, WriteBack

_CLOSES: dict[str, Then] = {"too_large": "close"}
"""Verdicts after which it is not known where the next message begins."""


class Hl7v2Connector:
    """Takes HL7 v2 messages in over MLLP, says what they mean, and sends documents back."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._settings = settings = read_settings(table)
        self._zone = ZoneInfo(settings.timezone)
        profile = Profile()
        self._examiner = Examiner(settings.name, settings.codec, self._zone, profile, settings.accept_ack_never)
        self.name = settings.name
        self.timezone = settings.timezone
        self.clock = settings.clock
        self.writes = settings.send is not None
        self.his_drops_duplicates = settings.his_drops_duplicates
        self.mapping = f"hl7v2-{profile.revision(settings.name, settings.codec, settings.timezone)}"
        self._sink: Sink | None = None
        self._server = Server(
            settings.name,
            Limits(
                max_bytes=settings.max_bytes,
                idle_s=settings.idle_s,
                frame_s=settings.frame_s,
                pause_s=settings.retry_s,
                connections=settings.max_connections,
                connections_per_peer=settings.max_connections_per_peer,
            ),
            self._receive,
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
        """Try to bind the address of ``listen`` and to connect to that of ``send``."""
        wrong = []
        if self._settings.listen and self.address is None:
            host, port = address(self._settings.listen)
            try:
                server = await asyncio.start_server(lambda _reader, writer: writer.close(), host, port)
                server.close()
                await server.wait_closed()
            except OSError:
                wrong.append(f"{self.name}: listen: the address {self._settings.listen} cannot be bound; is it taken?")
        if self._settings.send:
            try:
                connection = await Connection.open(*address(self._settings.send), self._settings.connect_s)
                await connection.close()
            except RetryLater:
                wrong.append(f"{self.name}: send: nobody takes connections at {self._settings.send}.")
        return wrong

    async def listen(self, sink: Sink) -> None:
        """Take messages in until cancelled.

        Raises:
            ConfigError: the address cannot be bound.
        """
        if self._settings.listen is None:
            await asyncio.Event().wait()
            return
        self._sink = sink
        try:
            await self._server.serve(*address(self._settings.listen))
        except OSError as error:
            raise ConfigError(f"Connector {self.name}: the address of listen cannot be bound.") from error

    async def _receive(self, frame: Frame) -> Reply:
        """Store a frame and answer it; the answer leaves after the store has confirmed."""
        examiner, sink = self._examiner, self._sink
        header = examiner.header(frame)
        id = examiner.message_id(frame, header)
        if frame.fault and frame.fault != "too_large":
            # Only a part of a message, so it is never handed on. Who can be told is told, and sends it again.
            told = frame.fault != "truncated" and header.get(10)
            return Reply(examiner.answer(header, id, frame.fault) if told else None, frame.fault, id)
        if sink is None:
            raise BusError("A frame came before anybody listened.")
        arrival = examiner.examine(frame, header, id, datetime.now(UTC))
        code, then = arrival.verdict, _CLOSES.get(arrival.verdict, "go_on")
        try:
            await sink(arrival)
        except RetryLater:
            code, then = "retry_later", "close" if then == "close" else "pause"
        return Reply(examiner.answer(header, id, code), code, id, then)

    def translate(self, raw: Raw) -> Translation:
        """Say what a message means. Pure.

        Raises:
            BadMessage: it cannot be read, or its type has a mapping and it cannot be understood.
        """
        message = Message.read(raw.body, self._settings.codec)
        return translate(self._examiner.source(message, raw))

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
            body = document(writeback, self.name, settings.codec, self._zone)
        except CharsetError:
            return self._receipt(writeback, Answer("rejected", CharsetError.code))
        connection = await Connection.open(*address(settings.send), settings.connect_s)
        try:
            await begin()
            answer = await connection.exchange(body, escaped(writeback.id), settings.answer_s)
        finally:
            await connection.close()
        return self._receipt(writeback, answer)

    def _receipt(self, writeback: WriteBack, answer: Answer) -> Receipt:
        return Receipt(writeback=writeback.id, outcome=answer.outcome, code=answer.code, received=datetime.now(UTC))

    async def find(self, writeback: WriteBack) -> Effect:
        """Answer ``unknown``: MLLP has no way to ask."""
        return "unknown"
