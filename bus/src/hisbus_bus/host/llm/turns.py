"""Whose turn it is at the server: a bounded number of questions, the more urgent first, then the earlier."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import count

from hisbus.errors import RetryLater

MOST_WAITING = 2000
"""More are sent back: they wait in the log, where a restart does not lose them."""


class Priority(IntEnum):
    """How urgent a question is: also the number that the server is given, where less comes first."""

    INTERACTIVE = 0
    """A person waits for it."""
    LIVE = 10
    """Something has just happened to the patient."""
    BACKFILL = 20
    """A replay, a new agent's first look, an evaluation."""


class Turns:
    """Gives turns. What is less urgent never takes the last place, so that what is more urgent need not wait long."""

    def __init__(self, places: int) -> None:
        self.taken = 0
        self._places = places
        self._order = count()
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not turn.done() for _, _, turn in self._waiting)

    def places(self, priority: Priority) -> int:
        """Return how many questions may be under way when one of this priority begins, itself counted."""
        return max(1, self._places - priority // 10)

    @asynccontextmanager
    async def turn(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            RetryLater: too many wait already.
        """
        await self._take(priority)
        try:
            yield
        finally:
            self._leave()

    async def _take(self, priority: Priority) -> None:
        if self.waiting >= MOST_WAITING:
            raise RetryLater(code="llm_busy")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        self._call()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the moment in which it gave up
                self._leave()
            raise

    def _leave(self) -> None:
        self.taken -= 1
        self._call()

    def _call(self) -> None:
        """Give turns as long as there are places. The first waiting has the most places: if it has none, nobody has."""
        while self._waiting and self.taken < self.places(self._waiting[0][0]):
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self.taken += 1
                turn.set_result(None)
