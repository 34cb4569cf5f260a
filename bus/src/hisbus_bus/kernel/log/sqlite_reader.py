"""The embedded log as a command sees it: another process may hold the file, so it is read and never written."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import quote

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.log.sqlite_records import committed_offset, first_offset, next_offset, read_records
from hisbus_bus.kernel.topics import Name

T = TypeVar("T")


class SqliteReader:
    """Reads the file that ``SqliteLog`` writes. What would write is refused."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ConfigError: there is none.
        """
        if not path.exists():
            raise ConfigError(f"There is no log at {path}: nothing was stored yet. Check log.url.")
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._alone = asyncio.Lock()

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Refuse: commands write to the outbox."""
        _refuse()

    async def subscribe(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: a member of a group commits."""
        _refuse()

    async def place(self, topic: Name, group: str, offsets: Mapping[int, int]) -> None:
        """Refuse: positions are the steps' own."""
        _refuse()

    async def read(self, topic: Name, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        """Return up to ``limit`` records from an offset on; empty where there are none."""
        if partition != 0:
            return []
        return await self._query(lambda reader: read_records(reader, topic, offset, limit))

    async def ends(self, topic: Name) -> Mapping[int, int]:
        """Return the offset after the last record."""
        return {0: await self._query(lambda reader: next_offset(reader, topic))}

    async def begins(self, topic: Name) -> Mapping[int, int]:
        """Return the offset of the first record still kept."""
        return {0: await self._query(lambda reader: first_offset(reader, topic))}

    async def committed(self, topic: Name, group: str) -> Mapping[int, int]:
        """Return a group's committed offset; nothing where there is none."""
        return await self._query(lambda reader: committed_offset(reader, topic, group))

    async def check(self) -> list[str]:
        """Try to read. Return what is wrong, one sentence each."""
        try:
            await self.ends("raw")
        except RetryLater as error:
            return [str(error)]
        return []

    async def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._alone:
            return await asyncio.to_thread(self._asked, work)

    def _asked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                name = f"file:{quote(str(self._path))}?mode=ro"
                self._connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)
            return work(self._connection)
        except sqlite3.Error as error:
            raise RetryLater("The log cannot be read. Check its disk, and who may read it.", code="log") from error


def _refuse() -> NoReturn:
    raise ConfigError("The log was opened to be read. Only `hisbus up` and `hisbus run` write to it.")
