"""Load for measuring: ready frames over many connections, at a fixed rate or as fast as they are answered.

The order of time holds on each connection, where a message leaves only after the answer to the one before it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import cast

from hisbus_hl7v2.mllp import encode
from hisbus_simulator.week import STAYS, Message, Week, ward_week

_END = b"\x1c\r"
_STORED = (b"\rMSA|AA|", b"\rMSA|CA|")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One message, ready to be sent."""

    control_id: str
    frame: bytes
    due: float = 0.0
    """Seconds after the beginning before which it does not leave."""


@dataclass(slots=True)
class Fired:
    """What became of a load."""

    stored: int = 0
    """Acknowledged with AA or CA."""
    refused: int = 0
    """Acknowledged with anything else, or lost with their connection."""
    seconds: float = 0.0
    """From the first message to the last answer."""
    behind_s: float = 0.0
    """How long after it was due a message left, at worst: the receiver did not keep up."""
    cpu_s: float = 0.0
    """What sending cost this process."""
    sent: dict[str, float] = field(default_factory=dict)
    """By control id: when its frame was handed to the socket, seconds since the epoch."""


def hospital(messages: int, seed: int = 1) -> Week:
    """Return a ward's week with as many stays as it takes to tell at least so many messages: about 31 each."""
    return ward_week(seed, STAYS * ceil(messages / len(ward_week(seed).messages)))


def lanes(messages: Sequence[Message], connections: int, rate: float) -> list[Iterator[Shot]]:
    """Deal messages out to connections at a fixed rate, all of one stay to the same; the frames are made now."""
    dealt: list[list[Shot]] = [[] for _ in range(connections)]
    stays: dict[str, int] = {}
    for n, message in enumerate(messages):
        lane = stays.setdefault(message.visit, len(stays)) % connections
        dealt[lane].append(Shot(message.control_id, encode(message.body), n / rate))
    return [iter(lane) for lane in dealt]


async def fire(host: str, port: int, lanes: Sequence[Iterator[Shot]], seconds: float | None = None) -> Fired:
    """Send every lane on a connection of its own until all are empty or the time is over, and wait for the answers.

    Raises:
        OSError: a connection could not be made.
        TimeoutError: answers stayed out for a minute.
    """
    loop = asyncio.get_running_loop()
    fired = Fired()
    begun, epoch, idle = loop.time(), time.time(), time.process_time()
    until = begun + seconds if seconds else float("inf")

    def sent(shot: Shot) -> None:
        late = loop.time() - begun
        fired.sent[shot.control_id] = epoch + late
        if shot.due:
            fired.behind_s = max(fired.behind_s, late - shot.due)

    def next_of(lane: Iterator[Shot]) -> Callable[[], Shot | None]:
        return lambda: next(lane, None) if loop.time() < until else None

    connections = [_Connection(next_of(lane), sent, begun, fired) for lane in lanes]
    for connection in connections:
        await loop.create_connection(lambda connection=connection: connection, host, port)  # type: ignore[misc]
    for connection in connections:
        connection.go_on()
    stored = -1
    pending = {connection.done for connection in connections}
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE_S)
        if pending and fired.stored == stored:
            raise TimeoutError("Nothing was acknowledged for a minute.")
        stored = fired.stored
    fired.seconds, fired.cpu_s = loop.time() - begun, time.process_time() - idle
    return fired


class _Connection(asyncio.Protocol):
    """One connection: sends, waits for the answer, sends the next."""

    def __init__(
        self, next: Callable[[], Shot | None], sent: Callable[[Shot], None], begun: float, fired: Fired
    ) -> None:
        self._next, self._sent, self._begun, self._fired = next, sent, begun, fired
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer = b""
        self._waits = False
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def go_on(self) -> None:
        """Send the next message, now or when it is due."""
        shot = self._next()
        if shot is None:
            self._transport.close()
        elif shot.due and (at := self._begun + shot.due) > self._loop.time():
            self._loop.call_at(at, self._send, shot)
        else:
            self._send(shot)

    def _send(self, shot: Shot) -> None:
        if self._transport.is_closing():
            self._fired.refused += 1
            return
        self._waits = True
        self._sent(shot)
        self._transport.write(shot.frame)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(_END):
            return
        if any(code in self._answer for code in _STORED):
            self._fired.stored += 1
        else:
            self._fired.refused += 1
        self._answer, self._waits = b"", False
        self.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._fired.refused += self._waits
        if not self.done.done():
            self.done.set_result(None)
