"""Several statements with one round trip to PostgreSQL, on the driver's own connection of a transaction.

As with any statement that the driver is given, the first of a transaction begins it.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from sqlalchemy.exc import DBAPIError

from hisbus_bus.kernel.hot import Asked

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult
    from sqlalchemy.ext.asyncio import AsyncConnection

PREPARED = "hisbus_prepared"
"""Key in a connection's ``info``: the names of the statements that its session has prepared."""

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


async def ask(connection: "AsyncConnection", asked: Sequence[Asked], *, last: bool = False) -> list[list[Any]]:
    """Run statements and return the rows of each; see ``hot.ask``."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    prepared: set[bytes] = connection.info.setdefault(PREPARED, set())
    try:
        results = iter(await driver.wait(_sent(driver, asked, prepared, last=last)))
        reader: Any = Transformer(driver)
        return [[row for _ in one.values for row in _rows(reader, one, next(results))] for one in asked]
    except psycopg.Error as error:
        if isinstance(error, InvalidSqlStatementName):
            driver.pgconn.finish()  # the session has lost what it had prepared: an outage that another one mends
        told = {"connection_invalidated": driver.closed, "dialect": connection.dialect, "hide_parameters": True}
        raise DBAPIError.instance(None, None, error, psycopg.Error, **told) from error
    finally:
        if driver.closed:  # the pool shall not give it to the next
            await connection.invalidate()


def _rows(reader: Any, one: Asked, result: "PGresult") -> list[Any]:
    if not result.ntuples:
        return []
    reader.set_pgresult(result, format=Format.BINARY)
    return one.hot.prepared.rows(reader.load_rows(0, result.ntuples, tuple))


def _sent(
    driver: Any, asked: Sequence[Asked], prepared: set[bytes], *, last: bool
) -> Generator[Any, Any, list["PGresult"]]:
    """Send all, then take all answers; return those to what was asked."""
    server: PGconn = driver.pgconn
    if server.status != ConnStatus.OK:
        raise psycopg.OperationalError("the connection is closed")
    begun = driver.autocommit or server.transaction_status != TransactionStatus.IDLE
    answers: list[PGresult] = []
    server.enter_pipeline_mode()
    try:
        takes = _send(server, "" if begun else _begin(driver), asked, prepared, answers.append, last=last)
        server.pipeline_sync()
        yield from generators.send(server)
        failed = yield from _answered(server, takes)
        yield from generators.fetch_many(server)
        server.exit_pipeline_mode()
    except BaseException:
        server.finish()  # interrupted with answers under way: nobody could tell whose the next one is
        raise
    if failed is not None:
        raise error_from_result(failed)
    return answers


_Take = Callable[["PGresult"], object]


def _send(
    server: "PGconn", begin: str, asked: Sequence[Asked], prepared: set[bytes], answer: _Take, *, last: bool
) -> list[_Take]:
    """Queue all. Return who takes the answers."""
    takes: list[_Take] = []
    if begin:
        server.send_query_params(begin.encode(), None)
        takes.append(_nobody)
    for statement in {one.hot.prepared.name: one.hot.prepared for one in asked}.values():
        if statement.name not in prepared:
            server.send_prepare(statement.name, statement.text)
            takes.append(lambda _, name=statement.name: prepared.add(name))  # type: ignore[misc]
    for one in asked:
        for given in one.values:
            values = one.hot.prepared.values(given)
            formats = [Format.BINARY if isinstance(value, str | bytes) else Format.TEXT for value in values]
            server.send_query_prepared(one.hot.prepared.name, list(map(_dumped, values)), formats, Format.BINARY)
            takes.append(answer)
    if last:
        server.send_query_params(b"COMMIT", None)
        takes.append(_nobody)
    return takes


def _answered(server: "PGconn", takes: Sequence[_Take]) -> Generator[Any, Any, "PGresult | None"]:
    """Hand answers to who takes them. Return the first that says what went wrong: behind it none was tried."""
    failed: PGresult | None = None
    for take in takes:
        found = yield from generators.fetch_many(server)
        if not found:
            raise psycopg.OperationalError("the connection was lost")
        if found[0].status in _DONE:
            take(found[0])
        elif failed is None:
            failed = found[0]
    return failed


def _nobody(_: "PGresult") -> None:
    """Nothing is to be learnt from it."""


def _begin(driver: Any) -> str:
    level = f" ISOLATION LEVEL {driver.isolation_level.name.replace('_', ' ')}" if driver.isolation_level else ""
    return f"BEGIN{level}{' READ ONLY' if driver.read_only else ''}"


def _dumped(value: Any) -> bytes | None:
    match value:
        case None | bytes():
            return value
        case str():
            return value.encode()
        case bool():
            return b"true" if value else b"false"
        case int() | float():
            return str(value).encode()
        case datetime():
            return value.isoformat().encode()
    raise TypeError(f"no parameter can be of the type {type(value).__name__}")
