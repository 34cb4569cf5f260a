"""The database for a command, which has nothing to do while it waits: asked directly, in the loop's own thread.

Connections look as those of SQLAlchemy's asynchronous engine, as far as commands use them, so what is done with a user
stands once for page and command. The real one takes a tenth of a second to import.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, ScalarResult

T = TypeVar("T")


class DirectConnection:
    """``AsyncConnection`` without its threads and greenlets."""

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection
        self.dialect = connection.dialect
        self.info = connection.info

    async def execution_options(self, **options: Any) -> "DirectConnection":
        """Set options of the connection."""
        self.sync_connection.execution_options(**options)
        return self

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        """Open a transaction that commits when the block ends and rolls back when it raises."""
        with self.sync_connection.begin():
            yield

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Execute a statement and return all that it found."""
        return self.sync_connection.execute(statement, parameters)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        """Return the first column of the first row."""
        return self.sync_connection.scalar(statement, parameters)

    async def scalars(self, statement: Any, parameters: Any = None) -> ScalarResult[Any]:
        """Return the first column of all rows."""
        return self.sync_connection.scalars(statement, parameters)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Return what some work on the connection returns."""
        return work(self.sync_connection)


class DirectEngine:
    """``AsyncEngine`` for such connections."""

    def __init__(self, engine: Engine) -> None:
        self.sync_engine = engine

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[DirectConnection]:
        """Open a connection for the block."""
        with self.sync_engine.connect() as connection:
            yield DirectConnection(connection)

    async def dispose(self) -> None:
        """Close every connection."""
        self.sync_engine.dispose()
