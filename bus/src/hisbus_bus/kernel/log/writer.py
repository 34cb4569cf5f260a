"""The embedded log's one writer: a thread that runs everything that waits in one transaction.

A disk makes a few hundred durable commits a second, so what queues up while the last one ran shares the next.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

from hisbus.errors import RetryLater

P = TypeVar("P")
T = TypeVar("T")
Work = Callable[[sqlite3.Connection, list[P]], Sequence[T]]
"""Does neighbouring jobs of one kind together: takes what each was given, returns what came of each."""

GROUP_BYTES = 32 * 1024 * 1024
"""A transaction takes no further job once it holds this much, so that one commit stays short."""
LINGER_S = 0.05
"""How long a lazy job waits for company before it gets a transaction of its own, seconds."""


@dataclass(slots=True)
class _Job:
    work: Work[Any, Any]
    given: Any
    then: Callable[[Any], None] | None
    done: asyncio.Future[Any]
    size: int
    lazy: bool
    since: float = field(default_factory=time.monotonic)


class Writer:
    """Runs jobs in the order given, each whole or not at all; a job is done once its transaction is durable."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Work[P, T], given: P, *, then: Callable[[T], None] | None = None, size: int = 0, lazy: bool = False
    ) -> asyncio.Future[T]:
        """Queue a job.

        Args:
            work: called in the thread, inside a transaction; called again if the group it was in failed.
            given: what this job adds to it.
            then: called in the event loop once the result is durable, also if nobody awaits it any more.
            size: bytes it will write.
            lazy: it may wait a moment (``LINGER_S``) for a transaction that is made anyway.

        Raises:
            RetryLater: from the future, or at once after ``close``; nothing of this job was written.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            if self._closing:
                raise RetryLater("The log is closed.", code="log")
            self._waiting.append(_Job(work, given, then, done, size, lazy))
            self._changed.notify()
        return done

    async def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._next_group():
            self._write(group)
        self._disconnect()

    def _next_group(self) -> list[_Job]:
        """Wait for work and take it; empty once closed and all is done."""
        with self._changed:
            while not self._closing and all(job.lazy for job in self._waiting):
                patience = self._waiting[0].since + LINGER_S - time.monotonic() if self._waiting else None
                if patience is not None and patience <= 0:
                    break
                self._changed.wait(patience)
            group: list[_Job] = []
            size = 0
            while self._waiting and size < GROUP_BYTES:
                group.append(self._waiting.popleft())
                size += group[-1].size
            return group

    def _write(self, group: list[_Job]) -> None:
        # Whoever gave up waiting appends again; writing the first copy as well would only cost room.
        group = [job for job in group if not job.done.cancelled()]
        if not group:
            return
        try:
            results = self._transaction(group)
        except Exception as error:  # noqa: BLE001 - handed to who waits for it
            if len(group) == 1:
                self._report(_fail, group[0], _sorted(error))
                return
            for job in group:  # one that cannot be written must not fail the others
                self._write([job])
        else:
            self._report(_succeed, group, results)

    def _transaction(self, group: list[_Job]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("BEGIN IMMEDIATE")
            results = [
                result
                for work, jobs in groupby(group, key=attrgetter("work"))
                for result in work(self._connection, [job.given for job in jobs])
            ]
            self._connection.execute("COMMIT")
        except BaseException:
            # A connection that met an I/O error may hold on to it; a new one sees the file as it is now.
            self._disconnect()
            raise
        return results

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _report(self, tell: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(tell, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise  # else the program ended without waiting for the answer


def _succeed(group: list[_Job], results: list[Any]) -> None:
    for job, result in zip(group, results, strict=True):
        if job.then is not None:
            job.then(result)
    for job, result in zip(group, results, strict=True):
        if not job.done.done():
            job.done.set_result(result)


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)


def _sorted(error: Exception) -> Exception:
    """Tell an outage, which is waited for, from a mistake of ours, which must be seen."""
    if not isinstance(error, sqlite3.Error):
        return error
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        outage = RetryLater("The log is full. Make room on its disk, or raise log.max_mb.", code="log_full")
    else:
        outage = RetryLater("The log cannot be written. Check its disk.", code="log")
    outage.__cause__ = error
    return outage
