"""One MLLP connection: bytes come in by callbacks; one task stores and answers the frames, one after the other."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Literal, NamedTuple, cast

from hisbus.observe import counter, logger
from hisbus_hl7v2.mllp import Decoder, Fault, Frame, encode
from hisbus_hl7v2.tls import certificate_names

LARGE = 1024 * 1024
"""A frame this long waits for one of a few places, which bounds the memory of all connections together."""
CLOSE_S = 5.0

_FRAMES = counter("hisbus_mllp_frames_total", "Frames by outcome.", ["connector", "code"])
_DISCARDED = counter("hisbus_mllp_discarded_bytes_total", "Bytes that belonged to no message.", ["connector"])


Then = Literal["go_on", "pause", "close"]


class Reply(NamedTuple):
    """What is sent back for a frame, and how the connection goes on."""

    body: bytes | None
    """None: nothing is sent."""
    code: str = ""
    """Why the frame was not taken; empty: it was."""
    message: str = ""
    then: Then = "go_on"


Receive = Callable[[Frame, frozenset[str]], Awaitable[Reply]]
"""Stores a frame; given with it are the names in the certificate of its sender, none without TLS."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every connection."""

    max_bytes: int
    end_of_frame: Literal["FS CR", "FS"]
    idle_s: float
    frame_s: float
    pause_s: float
    connections: int
    connections_per_peer: int


class Conversation(asyncio.Protocol):
    """One connection, from ``connection_made`` on; ``run`` is its task.

    What a peer sends while a frame is being stored is read once (a chunk), and then not before the answer has left:
    so nothing is read while the log is away.
    """

    def __init__(self, name: str, limits: Limits, receive: Receive, large: asyncio.Semaphore) -> None:
        self._limits = limits
        self._receive = receive
        self._large = large
        self._holds_place = False
        self._name = name
        self._log = logger(connector=name)
        self._stored = _FRAMES.labels(name, "stored")
        self._decoder = Decoder(limits.max_bytes, limits.end_of_frame)
        self._frames: deque[Frame] = deque()
        self._open = True
        self._reading = True
        self._ending: Fault = ""
        """Why no more frames come."""
        self._loop = asyncio.get_running_loop()
        self._idle_since = monotonic()
        self.heard = False
        """Whether a frame has come."""
        self._answering = False
        self._waiter: asyncio.Future[None] | None = None
        """Set while the task has nothing to do."""
        self._drained: asyncio.Future[None] | None = None
        """Set while the peer reads too slowly."""
        self._lost = asyncio.Event()
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._transport: asyncio.Transport

    async def run(self) -> None:
        """Answer frames until the connection ends, and close it."""
        certificate = certificate_names(self._transport)
        try:
            while self._open:
                if self._frames:
                    self._answering = True
                    await self._answer(self._frames.popleft(), certificate)
                    self._answering = False
                elif not self._ending:
                    await self._read_on()
                else:
                    rest = self._decoder.finish(self._ending)
                    if rest is not None:
                        await self._answer(rest, certificate)
                    self._open = False
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._release()
            await self._close()

    @property
    def idle_since(self) -> float | None:
        """When it last had nothing to do, as ``monotonic`` counts; None while a frame has begun or is answered."""
        busy = self._answering or self._frames or self._decoder.inside or self._ending
        return None if busy else self._idle_since

    def make_room(self) -> bool:
        """End an idle connection for another; what comes before it is closed is answered all the same.

        Returns:
            False where it has not begun yet, since nobody has shaken hands.
        """
        self._end("truncated")
        return self._begun

    async def _answer(self, frame: Frame, certificate: frozenset[str]) -> None:
        self.heard = True
        if frame.keeps_alive:
            _FRAMES.labels(self._name, "keep_alive").inc()
            return
        reply = await self._receive(frame, certificate)
        if reply.code:
            _FRAMES.labels(self._name, reply.code).inc()
            self._log.warning("mllp.refused", code=reply.code, bytes=len(frame.body), offset=frame.position)
        else:
            self._stored.inc()
        if reply.body is not None and not await self._send(encode(reply.body)):
            # Stored all the same: when it comes again it is a duplicate and gets the same answer.
            self._log.warning("mllp.answer_undelivered", message=reply.message)
            self._open = False
        elif reply.then == "pause":
            self._pause()
            await asyncio.sleep(self._limits.pause_s)
        elif reply.then == "close":
            await self._linger()

    async def _send(self, data: bytes) -> bool:
        """Write, and wait for a peer that reads slowly. Tell whether it could be done."""
        if self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._drained is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.frame_s):
                    await self._drained
            if self._drained is not None:
                self._transport.abort()
                return False
        return True

    async def _linger(self) -> None:
        """Read on without keeping anything: closing over unread bytes would destroy our answer on its way."""
        self._open = False
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._ending == "frame_timeout":
            self._ending = ""  # its sender is still there, and may be sending
        self._expire_in(self._limits.frame_s)
        if not self._ending:
            await self._read_on()

    async def _read_on(self) -> None:
        """Let bytes in until there is something to do: a frame, the end of the stream, the end of the time."""
        if self._deadline is None:
            self._expire_in(self._limits.frame_s if self._decoder.inside else self._limits.idle_s)
        if self._decoder.size < LARGE:
            self._release()
        elif not self._holds_place and not await self._take_place():
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._idle_since = monotonic()
        self._waiter = self._loop.create_future()
        await self._waiter

    async def _take_place(self) -> bool:
        """Wait for a place among the large frames; tell whether nothing else came up meanwhile."""
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._large.acquire()
            self._holds_place = True
        except TimeoutError:
            self._end("frame_timeout")
        return not self._ending

    def _release(self) -> None:
        if self._holds_place:
            self._holds_place = False
            self._large.release()

    async def _close(self) -> None:
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; under TLS the handshake is done."""
        self._begun = True
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and wake the task if it has something to do."""
        decoder = self._decoder
        inside, discarded = decoder.inside, decoder.discarded
        frames = decoder.feed(data)
        if decoder.discarded > discarded:
            _DISCARDED.labels(self._name).inc(decoder.discarded - discarded)
        self._frames += frames
        needs_place = decoder.size >= LARGE and not self._holds_place
        idle = self._waiter is not None
        if not idle or len(frames) > 1 or needs_place:
            self._pause()
        # Bytes between frames do not prolong an idle connection, nor those within a frame its deadline.
        if frames:
            self._deadline = None
        elif idle and decoder.inside and not inside:
            self._expire_in(self._limits.frame_s)
        if frames or needs_place:
            self._wake()

    def eof_received(self) -> bool:
        """Note that the peer has said everything; without TLS it still hears us."""
        self._end("truncated")
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, error: Exception | None) -> None:
        """Note that nobody hears us any more."""
        if error is not None:
            self._log.info("mllp.connection_lost")
        self._lost.set()
        self.resume_writing()
        self._end("truncated")

    def pause_writing(self) -> None:
        """Note that the peer reads too slowly."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _end(self, why: Fault) -> None:
        self._ending = self._ending or why
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _expire_in(self, seconds: float) -> None:
        """Set the deadline. A timer that is due before it only looks again, so a message moves no timer."""
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return  # a frame is being stored
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._end("frame_timeout")


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the system find out about peers that are gone; send without delay."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
