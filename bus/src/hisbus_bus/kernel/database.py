"""The database: one way to write, one way to read, on SQLite and PostgreSQL alike."""

import asyncio
import os
import select as select_module
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError, DisconnectionError

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.direct import DirectEngine
from hisbus_bus.kernel.hot import Hot
from hisbus_bus.kernel.paths import unmade

if TYPE_CHECKING:  # it takes a tenth of a second to import
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "temp_store=MEMORY")

CONNECTIONS = 16
"""PostgreSQL connections that a process keeps: one for each step at work, a few for the page. Ten more for a moment."""

SENT = "hisbus_sent"
"""Key in a connection's ``info``: its transaction put something into the outbox."""

READ_ONLY = "25006"
"""The SQLSTATE with which PostgreSQL refuses to write: as a replica, to which a proxy may have turned meanwhile."""

_NOW = Hot(select(func.clock_timestamp()))


class Database:
    """One engine. ``write`` is a transaction that may change tables, ``read`` one consistent snapshot."""

    def __init__(self, url: str, *, direct: bool = False) -> None:
        """Take ``sqlite:///PATH`` or ``postgresql://...``. Nothing is opened before the first use.

        ``direct`` is for a command that does one thing after the other: the loop stands still while it waits.
        """
        self.sqlite = url.startswith("sqlite:")
        self.sent = asyncio.Event()
        """Set after a transaction of this process that put something into the outbox."""
        self.losses = 0
        """Connections that were lost so far. Behind the next one may be another state: a backup's, a replica's."""
        if self.sqlite:
            path = url.removeprefix("sqlite:///")
            _make_file(Path(path))
            driver = "sqlite" if direct else "sqlite+aiosqlite"
            self._engine = _engine(f"{driver}:///{path}", direct)
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
            self._writers: asyncio.Lock | None = asyncio.Lock()
        elif url.startswith("postgresql://"):
            self._engine = _engine(
                url.replace("postgresql:", "postgresql+psycopg:", 1),
                direct,
                pool_size=CONNECTIONS,
                pool_use_lifo=True,  # the last used has the statements prepared
                connect_args={"client_encoding": "utf8"},
            )
            event.listen(self._engine.sync_engine, "connect", _prepare_postgresql)
            event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
            self._writers = None
        else:
            raise ConfigError('database.url must start with "sqlite:///" or "postgresql://".')
        event.listen(self._engine.sync_engine, "invalidate", self._lost)

    @property
    def engine(self) -> Any:
        """The asynchronous engine, for migrations."""
        return self._engine

    @asynccontextmanager
    async def write(self) -> AsyncIterator["AsyncConnection"]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Raises:
            RetryLater: the database is away, busy, read-only or full; nothing was committed.
        """
        # SQLite has one writer; waiting in line here is quicker than its own polling.
        async with self._writers or nullcontext():
            try:
                async with self._engine.connect() as connection:
                    if self.sqlite:
                        await connection.execution_options(hisbus_write=True)
                    async with self._begun(connection):
                        yield connection
                    if connection.info.pop(SENT, False):
                        self.sent.set()
            except DBAPIError as error:
                raise _sorted(error, writing=True) from error

    @asynccontextmanager
    async def alone(self, number: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Wait until no other process is in a block of that number, and keep others out as long as ours lasts.

        PostgreSQL holds an advisory lock with the session; SQLite serves one process anyway. What the block is given
        checks that the lock is still held.

        Raises:
            RetryLater: the database is away, and with it the lock.
        """
        if self.sqlite:
            yield _no_check
            return
        try:
            async with self._engine.connect() as connection:
                session = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await session.execute(select(func.pg_advisory_lock(number)))

                async def check() -> None:
                    await session.execute(select(1))

                try:
                    yield check
                finally:
                    await connection.invalidate()  # ends the session: a pooled one would keep the lock
        except DBAPIError as error:
            raise _sorted(error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator["AsyncConnection"]:
        """Open a snapshot: every query in the block sees the same state.

        Raises:
            RetryLater: the database is away or busy.
        """
        try:
            async with self._engine.connect() as connection:
                if not self.sqlite:
                    await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                async with self._begun(connection):
                    yield connection
        except DBAPIError as error:
            raise _sorted(error) from error

    def _lost(self, *_which: Any) -> None:
        self.losses += 1

    @asynccontextmanager
    async def _begun(self, connection: "AsyncConnection") -> AsyncIterator[None]:
        """Open a transaction. A session of PostgreSQL in which one was rolled back is not used again.

        With a rollback the driver drops all that the session has prepared, also what ``hot`` goes on to rely upon.
        """
        try:
            async with connection.begin():
                yield
        except BaseException:
            if not self.sqlite and connection.dialect.is_async and not connection.invalidated:
                (await connection.get_raw_connection()).invalidate(soft=True)
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def now(connection: "AsyncConnection") -> datetime:
    """Return the time by which all processes of a site go: the server's, or ours where we are the server."""
    if connection.dialect.name == "postgresql":
        [(time,)] = await _NOW.rows(connection)
        return cast("datetime", time)
    return datetime.now(UTC)


def _engine(url: str, direct: bool, **more: Any) -> "AsyncEngine":
    if direct:
        return cast("AsyncEngine", DirectEngine(create_engine(url, hide_parameters=True, **more)))
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url, hide_parameters=True, **more)


def _make_file(path: Path) -> None:
    """Make the file so that its owner alone can read it; what SQLite lays beside it gets the same rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigError(f"database.url: {path} cannot be opened. {unmade(error)}") from error


async def _no_check() -> None:
    """Nothing can take the lock of the only process."""


def _sorted(error: DBAPIError, *, writing: bool = False) -> Exception:
    """Tell an outage, which is waited for, from a mistake of ours, which must be seen."""
    away = error.connection_invalidated or type(error).__name__ in {"OperationalError", "InterfaceError"}
    away = away or (writing and getattr(error.orig, "sqlstate", "") == READ_ONLY)
    mistaken = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # as a table that is not there
    if away and not mistaken:
        return RetryLater("The database is not available. Check that it runs and has space.", code="database")
    return error


def _refuse_closed(_connection: Any, record: Any, _proxy: Any) -> None:
    """Have a connection made anew that the server has closed meanwhile, as when it was restarted.

    What is idle has nothing to hear but that. Unlike a ping this asks the server nothing.
    """
    poll = select_module.poll()
    poll.register(record.driver_connection.fileno(), select_module.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transactions begin too late (at the first write), so they are switched off and begun below.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # Everything is looked up by key. As PostgreSQL is shipped it would plan for a disk that turns, and keep reading
    # tables whole that were small when it planned.
    cursor = connection.cursor()
    cursor.execute("SET random_page_cost = 1.1")
    cursor.close()
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("hisbus_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
