"""The HTTP server: h11 says what the bytes mean, the rest is bounds. It knows neither FHIR nor the bus."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import h11

from hisbus.observe import logger

_CHUNK = 65536
_HEAD_BYTES = 32 * 1024
"""Most bytes of a request line with its headers."""
_LINGER_S = 2.0
"""Seconds for which what a sender still sends is thrown away, so that it can read the answer before the end."""


class Head(NamedTuple):
    """A request before its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""


class Answer(NamedTuple):
    """A response."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server."""

    max_bytes: int
    """Of a body."""
    idle_s: float
    request_s: float
    connections: int


class Handler(NamedTuple):
    """What is asked about each request."""

    admit: Callable[[Head], Answer | None]
    """Returns the refusal of a request whose body is not wanted."""
    take: Callable[[bytes, bool], Awaitable[Answer]]
    """Given a body, and whether it is only the first part of one that is too large."""
    malformed: Callable[[], Answer]
    """Returns the answer to what is no HTTP."""


class Server:
    """Listens, and hands every body to ``handler.take``."""

    def __init__(self, name: str, limits: Limits, handler: Handler) -> None:
        self._limits = limits
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = logger(connector=name)
        self.listening = asyncio.Event()
        self.address: tuple[str, int] | None = None
        """Where it listens, once it does."""

    async def serve(self, bound: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections at a socket until cancelled; it is closed then."""
        server = await asyncio.start_server(self._accept, sock=bound, ssl=tls)
        self.address = bound.getsockname()[:2]
        self.listening.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.listening.clear()
            self.address = None
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._limits.connections:
            self._log.warning("http.too_many_connections", count=len(self._tasks))
            writer.close()
            return
        task = asyncio.create_task(self._attend(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("http.failed", exc_info=error)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        try:
            while await self._exchange(connection):
                connection.next()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._log.info("http.connection_lost")
        finally:
            writer.close()

    async def _exchange(self, connection: "Connection") -> bool:
        """Take one request and answer it. Return whether another may follow."""
        try:
            async with asyncio.timeout(self._limits.idle_s):
                head = await connection.head()
            if head is None:
                return False
            refused = self._handler.admit(head)
            if refused is None:
                async with asyncio.timeout(self._limits.request_s):
                    body, whole = await connection.body(self._limits.max_bytes)
        except h11.RemoteProtocolError:
            return await connection.answer(self._handler.malformed())
        if refused is not None:
            return await connection.answer(refused)
        return await connection.answer(await self._handler.take(body, not whole))


class Connection:
    """One connection, request by request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    async def head(self) -> Head | None:
        """Return the next request; None: the sender has gone."""
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        path = event.target.decode("latin-1").partition("?")[0]
        return Head(event.method.decode(), path, headers)

    async def body(self, most: int) -> tuple[bytes, bool]:
        """Return the body, and whether it is whole; of one above ``most`` bytes only the beginning is read."""
        held = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            held += event.data
            if len(held) > most:
                return bytes(held[: min(most, _CHUNK)]), False
        return bytes(held), True

    async def answer(self, answer: Answer) -> bool:
        """Send a response. Return whether the connection may go on."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        body = answer.body.encode()
        headers = [("Content-Type", "application/fhir+json"), ("Content-Length", str(len(body))), *answer.headers]
        unread = self._http.their_state is not h11.DONE
        if unread:
            headers.append(("Connection", "close"))
        await self._send(h11.Response(status_code=answer.status, headers=headers))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())
        if unread:
            await self._linger()
        return not unread

    async def _linger(self) -> None:
        """Read on, for a while: what closes with bytes unread resets the connection, and the answer with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_CHUNK):
                    pass

    def next(self) -> None:
        """Begin with the next request."""
        self._http.start_next_cycle()

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()
