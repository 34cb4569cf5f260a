"""The MLLP server: one frame after the other on each connection, within bounds of time and memory."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import prometheus_client

from hisbus.telemetry import REGISTRY, logger
from hisbus_hl7v2.mllp import Decoder, Fault, Frame, encode

_CHUNK = 64 * 1024
_LARGE = 1024 * 1024
"""A frame this long waits for one of a few places, which bounds the memory of all connections together."""
_LARGE_PLACES = 4
_CLOSE_S = 5.0

_FRAMES = prometheus_client.Counter(
    "hisbus_mllp_frames_total", "Frames by outcome.", ["connector", "code"], registry=REGISTRY
)
_DISCARDED = prometheus_client.Counter(
    "hisbus_mllp_discarded_bytes_total", "Bytes that belonged to no message.", ["connector"], registry=REGISTRY
)
_CONNECTIONS = prometheus_client.Gauge("hisbus_mllp_connections", "Open connections.", ["connector"], registry=REGISTRY)


Then = Literal["go_on", "pause", "close"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back for a frame, and how the connection goes on."""

    body: bytes | None
    """None: nothing is sent."""
    code: str = ""
    """Why the frame was not taken; empty: it was."""
    message: str = ""
    then: Then = "go_on"


Receive = Callable[[Frame], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every connection."""

    max_bytes: int
    idle_s: float
    frame_s: float
    pause_s: float
    connections: int
    connections_per_peer: int


class Server:
    """Listens, and hands every frame to ``receive``."""

    def __init__(self, name: str, limits: Limits, receive: Receive) -> None:
        self._name = name
        self._limits = limits
        self._receive = receive
        self._peers: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = asyncio.Semaphore(_LARGE_PLACES)
        self._log = logger(connector=name)
        self.listening = asyncio.Event()
        self.address: tuple[str, int] | None = None
        """Where it listens, once it does."""

    async def serve(self, host: str, port: int) -> None:
        """Take connections until cancelled.

        Raises:
            OSError: the address cannot be bound.
        """
        server = await asyncio.start_server(self._accept, host, port, limit=_CHUNK)
        self.address = server.sockets[0].getsockname()[:2]
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.listening.clear()
            self.address = None
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        limits = self._limits
        if len(self._tasks) >= limits.connections or self._peers[peer] >= limits.connections_per_peer:
            self._log.warning("mllp.too_many_connections", peer=peer, count=len(self._tasks))
            writer.transport.abort()
            return
        self._peers[peer] += 1
        _CONNECTIONS.labels(self._name).set(len(self._tasks) + 1)
        task = asyncio.create_task(self._attend(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._gone(done, peer))

    def _gone(self, task: asyncio.Task[None], peer: str) -> None:
        self._tasks.discard(task)
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
        _CONNECTIONS.labels(self._name).set(len(self._tasks))
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ConnectionError):
            self._log.info("mllp.connection_lost", peer=peer)
        elif error is not None:
            self._log.error("mllp.failed", peer=peer, exc_info=error)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_alive(writer)
        conversation = _Conversation(reader, writer, self._limits, self._receive, self._large, self._name)
        try:
            await conversation.run()
        finally:
            conversation.release()
            await close(writer)


class _Conversation:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: Limits,
        receive: Receive,
        large: asyncio.Semaphore,
        name: str,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._receive = receive
        self._large = large
        self._holds_place = False
        self._name = name
        self._log = logger(connector=name)
        self._decoder = Decoder(limits.max_bytes)
        self._open = True

    async def run(self) -> None:
        decoder, limits = self._decoder, self._limits
        now = asyncio.get_running_loop().time
        deadline = now() + limits.idle_s
        while self._open:
            inside = decoder.inside
            try:
                async with asyncio.timeout_at(deadline):
                    await self._take_place()
                    data = await self._reader.read(_CHUNK)
            except TimeoutError:
                await self._give_up("frame_timeout")
                return
            if not data:
                await self._give_up("truncated")
                return
            before = decoder.discarded
            frames = decoder.feed(data)
            _DISCARDED.labels(self._name).inc(decoder.discarded - before)
            for frame in frames:
                await self._answer(frame)
            # Bytes between frames do not prolong an idle connection, nor those within a frame its deadline.
            if decoder.inside and (frames or not inside):
                deadline = now() + limits.frame_s
            elif frames:
                deadline = now() + limits.idle_s

    async def _take_place(self) -> None:
        if self._decoder.size < _LARGE:
            self.release()
        elif not self._holds_place:
            await self._large.acquire()
            self._holds_place = True

    def release(self) -> None:
        """Give up the place among the large frames."""
        if self._holds_place:
            self._holds_place = False
            self._large.release()

    async def _give_up(self, fault: Fault) -> None:
        frame = self._decoder.finish(fault)
        if frame is not None:
            await self._answer(frame)

    async def _answer(self, frame: Frame) -> None:
        if not self._open:
            return
        reply = await self._receive(frame)
        _FRAMES.labels(self._name, reply.code or "stored").inc()
        if reply.code:
            self._log.warning("mllp.refused", code=reply.code, bytes=len(frame.body), offset=frame.position)
        if reply.body is not None:
            try:
                self._writer.write(encode(reply.body))
                async with asyncio.timeout(self._limits.frame_s):
                    await self._writer.drain()
            except (ConnectionError, TimeoutError):
                # Stored all the same: when it comes again it is a duplicate and gets the same answer.
                self._log.warning("mllp.answer_undelivered", message=reply.message)
                self._open = False
                return
        if reply.then == "pause":
            await asyncio.sleep(self._limits.pause_s)
        elif reply.then == "close":
            self._open = False
            await self._linger()

    async def _linger(self) -> None:
        """Read on without keeping anything: closing over unread bytes would destroy our answer on its way."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            self._writer.write_eof()
            async with asyncio.timeout(self._limits.frame_s):
                while await self._reader.read(_CHUNK):
                    pass


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Let the system find out about peers that are gone; send without delay."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; one whose peer no longer reads is cut."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        return  # lost before it was closed
