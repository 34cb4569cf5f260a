"""The embedded log: one SQLite file, one process, no server to install.

Each topic has one partition, 0, with consecutive offsets from 0. Appends are durable when they return (WAL,
``synchronous=FULL``); offsets that groups commit ride along with the next append, or follow on their own a moment
later: one that is lost to a crash only means that its records are delivered again.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from typing import IO, TypeVar

from pydantic_core import to_json

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log import Assigned, NewRecord, Record, Revoked, refuse_oversize
from hisbus_bus.kernel.log.sqlite_member import Member
from hisbus_bus.kernel.log.sqlite_records import (
    EPOCH,
    committed_offset,
    first_offset,
    next_offset,
    read_records,
    time_of,
)
from hisbus_bus.kernel.log.writer import Writer
from hisbus_bus.kernel.paths import unmade
from hisbus_bus.kernel.telemetry import logger
from hisbus_bus.kernel.topics import MIB, TOPICS, Name

P = TypeVar("P")
T = TypeVar("T")
LOG = logger()

VERSION = 1
PAGE = 4096
CHECKPOINT_BYTES = 32 * MIB
"""What is appended goes into the WAL and later into the file: the later, the fewer pages are written twice."""
ROWS = 64
"""Most rows of one statement; with all their columns fewer values than any SQLite allows."""
EXPIRY_CHUNK = 500
"""Records deleted in one transaction, so that appends do not wait for the broom."""
EXPIRY_S = 3600.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, time INTEGER NOT NULL, -- microseconds since 1970, UTC
    key TEXT NOT NULL, headers TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (topic, offset)
);
CREATE TABLE IF NOT EXISTS ends (topic TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    topic TEXT NOT NULL, "group" TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, "group")
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS probe (body BLOB NOT NULL);
"""


class SqliteLog:
    """The log of one process, in one file. Open it with ``open``."""

    def __init__(
        self, path: Path, lock: IO[str], max_mb: int, append_deadline_s: float, retention_days: Mapping[Name, int]
    ) -> None:
        self._path = path
        self._retention_days = retention_days
        self._lock = lock
        self._max_mb = max_mb
        self._deadline_s = append_deadline_s
        self._writer = Writer(self._connect)
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-reader")
        self._reader: sqlite3.Connection | None = None
        self._ends: dict[str, int] = {}
        self._members: dict[tuple[str, str], list[Member]] = {}
        self._broom: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        max_mb: int = 0,
        append_deadline_s: float = 10.0,
        retention_days: Mapping[Name, int] | None = None,
    ) -> "SqliteLog":
        """Open the log, and make it at the first start.

        Args:
            path: the file; beside it lie ``-wal``, ``-shm`` and ``.lock``.
            max_mb: largest size of the file, MiB; 0: as large as the disk.
            append_deadline_s: seconds after which an append is given up.
            retention_days: how long topics keep records, where other than in ``topics.py``.

        Raises:
            ConfigError: another process has it open, or it cannot be made.
            RetryLater: its disk cannot be written now.
        """
        log = cls(path, _locked(path), max_mb, append_deadline_s, retention_days or {})
        try:
            await log._writer.submit(_each(_prepare), None, then=log._ends.update)
        except BaseException:
            await log.close()
            raise
        log._broom = asyncio.create_task(log._sweep())
        return log

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Store records durably, all or none, in the order given.

        Raises:
            RetryLater: ``log_full``, or ``log`` for any other trouble; append again.
            BadMessage: a record is larger than its topic allows.
        """
        if not records:
            return
        for record in records:
            refuse_oversize(record)
        size = sum(len(record.value) for record in records)
        stored = self._writer.submit(_append, records, then=self._appended, size=size)
        try:
            async with asyncio.timeout(self._deadline_s):
                await stored
        except TimeoutError as error:
            raise RetryLater("The log takes too long to write. Check its disk.", code="log") from error

    async def subscribe(
        self, topic: Name, group: str, *, assigned: Assigned, revoked: Revoked, start: str = "begin"
    ) -> Member:
        """Join a group. Its first member has the partition, the next one gets it when that one closes.

        ``revoked`` is never called: nobody else can take the partition of a member that lives.
        """
        member = Member(self, topic, group, assigned, start)
        self._members.setdefault((topic, group), []).append(member)
        try:
            await member.join()
        except BaseException:
            await member.close()
            raise
        return member

    async def read(self, topic: Name, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        """Return up to ``limit`` records from an offset on, outside of any group; empty where there are none."""
        if partition != 0:
            return []
        return await self.query(lambda reader: read_records(reader, topic, offset, limit))

    async def ends(self, topic: Name) -> Mapping[int, int]:
        """Return the offset after the last record."""
        return {0: self._ends.get(topic, 0)}

    async def begins(self, topic: Name) -> Mapping[int, int]:
        """Return the offset of the first record still kept."""
        return {0: await self.query(lambda reader: first_offset(reader, topic))}

    async def committed(self, topic: Name, group: str) -> Mapping[int, int]:
        """Return a group's committed offset; nothing where there is none."""
        return await self.query(lambda reader: committed_offset(reader, topic, group))

    async def place(self, topic: Name, group: str, offsets: Mapping[int, int]) -> None:
        """Give a group its first position."""
        await self.commit(topic, group, offsets[0], lazy=False)

    async def check(self) -> list[str]:
        """Write for a trial as much as a large message takes. Return what is wrong, one sentence each."""
        try:
            await self._writer.submit(_each(_probe), None)
        except RetryLater as error:
            return [str(error)]
        return []

    async def expire(self, now: datetime | None = None) -> int:
        """Delete what is older than its topic keeps and every known group has done. Return how many records."""
        deleted = 0
        for name, topic in TOPICS.items():
            days = self._retention_days.get(name, topic.retention_days)
            cutoff = (now or datetime.now(UTC)) - timedelta(days=days)
            while count := await self._writer.submit(_each(_expire), (name, cutoff)):
                deleted += count
        return deleted

    async def close(self) -> None:
        """Write what waits, and let the file go."""
        if self._closed:
            return
        self._closed = True
        if self._broom is not None:
            self._broom.cancel()
            await asyncio.wait([self._broom])
        for member in [member for members in self._members.values() for member in members]:
            await member.close()
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        if self._reader is not None:
            self._reader.close()
        self._lock.close()

    # --- for the members ---

    def end(self, topic: Name) -> int:
        """Return the offset after the last record, without asking the file."""
        return self._ends.get(topic, 0)

    def commit(self, topic: Name, group: str, next: int, *, lazy: bool) -> asyncio.Future[None]:
        """Store a group's offset; a lower one than the stored changes nothing."""
        return self._writer.submit(_each(_commit), (topic, group, next), lazy=lazy)

    def members(self, topic: Name, group: str) -> "list[Member]":
        """Return a group's members, the owner of the partition first."""
        return self._members.get((topic, group), [])

    async def query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read from the file, off the event loop.

        Raises:
            RetryLater: it cannot be read.
        """
        if self._closed:
            raise RetryLater("The log is closed.", code="log")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._query, work)

    def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._reader is None:
                self._reader = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._reader.execute("PRAGMA query_only = 1")
            return work(self._reader)
        except sqlite3.Error as error:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
            raise RetryLater("The log cannot be read. Check its disk.", code="log") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE}")
            connection.execute(f"PRAGMA journal_size_limit = {2 * CHECKPOINT_BYTES}")
            if self._max_mb:
                connection.execute(f"PRAGMA max_page_count = {self._max_mb * MIB // PAGE}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _appended(self, records: Sequence[Record]) -> None:
        """Offer what is durable to the members that read its topics."""
        for record in records:
            self._ends[record.topic] = max(record.offset + 1, self._ends.get(record.topic, 0))
        topics = {record.topic for record in records}
        for (topic, _group), members in self._members.items():
            if topic in topics:
                for member in members:
                    member.offer([record for record in records if record.topic == topic])

    async def _sweep(self) -> None:
        while True:
            try:
                await self.expire()
            except RetryLater as error:
                LOG.warning("expiry_failed", code=error.code)
            await asyncio.sleep(EXPIRY_S)


def _locked(path: Path) -> IO[str]:
    """Lock the log for this process, and write its pid beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        lock = path.with_name(f"{path.name}.lock").open("a+")
    except OSError as error:
        raise ConfigError(f"log.url: {path} cannot be opened. {unmade(error)}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise ConfigError(
            f"The log {path} is in use by process {holder}. Stop that one first.", code="log_held"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _prepare(writer: sqlite3.Connection, _given: None) -> Mapping[str, int]:
    version = writer.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ConfigError("The log was written by a newer hisbus. Upgrade this one.")
    for statement in SCHEMA.split(";"):
        writer.execute(statement)
    writer.execute(f"PRAGMA user_version = {VERSION}")
    return dict(writer.execute("SELECT topic, next FROM ends"))


@cache
def _each(work: Callable[[sqlite3.Connection, P], T]) -> Callable[[sqlite3.Connection, list[P]], list[T]]:
    """Return work that does its jobs one by one."""
    return lambda writer, given: [work(writer, one) for one in given]


def _probe(writer: sqlite3.Connection, _given: None) -> None:
    writer.execute("DELETE FROM probe")
    writer.execute("INSERT INTO probe VALUES (zeroblob(65536))")


def _append(writer: sqlite3.Connection, appends: list[Sequence[NewRecord]]) -> list[list[Record]]:
    """Insert what several appends brought; return the records of each of them as they are stored."""
    now = time.time_ns() // 1000
    ends: dict[str, int] = {}
    rows: list[tuple[object, ...]] = []
    stored: list[list[Record]] = []
    for append in appends:
        stored.append([])
        for new in append:
            if new.topic not in ends:
                ends[new.topic] = next_offset(writer, new.topic)
            headers = to_json(dict(new.headers)).decode()
            rows.append((new.topic, ends[new.topic], now, new.key, headers, new.value))
            stored[-1].append(new.stored(0, ends[new.topic], time_of(now)))
            ends[new.topic] += 1
    # Each step lets go of Python's lock and waits to get it back, so many rows go in one.
    at = 0
    while at < len(rows):
        count = min(ROWS, 1 << (len(rows) - at).bit_length() - 1)  # few statements, for each is prepared once
        values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * count)
        writer.execute(f"INSERT INTO records VALUES {values}", list(chain.from_iterable(rows[at : at + count])))  # noqa: S608 - question marks
        at += count
    writer.executemany("INSERT OR REPLACE INTO ends VALUES (?, ?)", ends.items())
    return stored


def _commit(writer: sqlite3.Connection, position: tuple[str, str, int]) -> None:
    writer.execute(
        "INSERT INTO commits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = max(next, excluded.next)", position
    )


def _expire(writer: sqlite3.Connection, older: tuple[str, datetime]) -> int:
    """Delete up to a chunk of a topic's oldest records, without a gap."""
    topic, cutoff = older
    begin = first_offset(writer, topic)
    floor = writer.execute("SELECT min(next) FROM commits WHERE topic = ?", (topic,)).fetchone()[0]
    end = min(begin + EXPIRY_CHUNK, next_offset(writer, topic) if floor is None else floor)
    young = writer.execute(
        "SELECT min(offset) FROM records WHERE topic = ? AND offset >= ? AND offset < ? AND time >= ?",
        (topic, begin, end, (cutoff - EPOCH) // timedelta(microseconds=1)),
    ).fetchone()[0]
    return writer.execute(
        "DELETE FROM records WHERE topic = ? AND offset < ?", (topic, end if young is None else young)
    ).rowcount
