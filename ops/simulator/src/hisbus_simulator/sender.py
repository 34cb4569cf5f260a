"""The hospital's sending side: one message after the other, again with the same bytes until it is stored."""

import asyncio
from collections.abc import Callable, Sequence

from hisbus import RetryLater
from hisbus_hl7v2.client import Connection
from hisbus_simulator.week import Message

_CONNECT_S = 5.0
_LONGEST_WAIT_S = 5.0


class SendError(Exception):
    """A message could not be handed over."""


class Sender:
    """Hands messages to one MLLP address over one connection."""

    def __init__(self, host: str, port: int, *, answer_s: float = 20.0, give_up_s: float = 120.0) -> None:
        """Take the address.

        Args:
            answer_s: seconds to wait for an acknowledgement before the message is sent again.
            give_up_s: seconds after which one message is given up.
        """
        self._host, self._port = host, port
        self._answer_s, self._give_up_s = answer_s, give_up_s
        self._connection: Connection | None = None
        self.resent = 0
        """How many times a message was sent again."""

    async def send(self, body: bytes, control_id: str) -> None:
        """Hand one message over; returns once it is acknowledged as stored.

        Raises:
            SendError: it was refused for good, or nobody stored it in time.
        """
        wait = 0.2
        try:
            async with asyncio.timeout(self._give_up_s):
                while not await self._attempt(body, control_id):
                    self.resent += 1
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _LONGEST_WAIT_S)
        except TimeoutError:
            raise SendError(f"Nobody at {self._host}:{self._port} stored message {control_id}.") from None

    async def _attempt(self, body: bytes, control_id: str) -> bool:
        if self._connection is None:
            try:
                self._connection = await Connection.open(self._host, self._port, _CONNECT_S)
            except RetryLater:
                return False
        answer = await self._connection.exchange(body, control_id, self._answer_s)
        if answer.outcome == "rejected":
            raise SendError(f"Message {control_id} was refused with {answer.code}.")
        if answer.outcome == "unknown":  # what comes later on this connection could be taken for another answer
            await self.close()
        return answer.outcome == "applied"

    async def close(self) -> None:
        """Close the connection; the next message opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def feed(
    messages: Sequence[Message],
    senders: Sequence[Sender],
    *,
    pace: float = 0,
    sent: Callable[[Message], None] = lambda message: None,
) -> None:
    """Send messages in the order of time; with several senders that order holds within each stay.

    Args:
        pace: messages a second over all senders, 0: as fast as they are acknowledged.
        sent: called after each acknowledgement.

    Raises:
        SendError: see ``Sender.send``; the rest is not sent.
    """
    begun = asyncio.get_running_loop().time()
    lanes: list[list[tuple[int, Message]]] = [[] for _ in senders]
    stays: dict[str, int] = {}
    for n, message in enumerate(messages):
        lanes[stays.setdefault(message.visit, len(stays)) % len(lanes)].append((n, message))

    async def lane(sender: Sender, mine: list[tuple[int, Message]]) -> None:
        for n, message in mine:
            if pace:
                await asyncio.sleep(begun + n / pace - asyncio.get_running_loop().time())
            await sender.send(message.body, message.control_id)
            sent(message)

    try:
        async with asyncio.TaskGroup() as group:
            for sender, mine in zip(senders, lanes, strict=True):
                group.create_task(lane(sender, mine))
    except* SendError as failed:
        raise SendError(str(failed.exceptions[0])) from None
    finally:
        for sender in senders:
            await sender.close()
