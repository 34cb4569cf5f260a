"""What is asked past SQLAlchemy is answered as SQLAlchemy would, and fails as it would."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, bindparam, func, literal, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, StatementError

from hisbus.errors import RetryLater
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.hot import Hot, ask, inserted

MODULES = (
    "flow.chart.counting", "flow.chart.store", "flow.review.apply", "flow.review.step", "flow.timers",
    "flow.translate", "kernel.live", "kernel.outbox",
)  # fmt: skip
EAST = datetime(2026, 3, 1, 20, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
PLAIN: dict[type, Any] = {str: "100%_:x 值", int: 7, float: 1.5, bytes: b"\x00\\x41", bool: True, object: EAST}
TOLD = {
    ("proposals", "status"): "open", ("decisions", "state"): "stands", ("releases", "kind"): "profile",
    ("releases", "state"): "live", ("entries", "part"): "procedures", ("wakes", "clock"): "wall",
    ("wakes", "fired"): False,
}  # fmt: skip
"""What statements look for by a word of their own."""
FINDS_NONE = {"FREE", "_CALLED", "_CALLED_IN"}
"""What rows that name one another do not have: no visit; something needed and not seen."""


NUMBERS: dict[str, Any] = {"now": EAST + timedelta(days=1), "most": 10, "bytes": 1000}


def reads() -> Iterator[Any]:
    """Every statement of the modules that finds rows."""
    for module in MODULES:
        for name, hot in vars(import_module(f"hisbus_bus.{module}")).items():
            if isinstance(hot, Hot) and list(getattr(hot.statement, "exported_columns", ())):
                yield pytest.param(name, hot, id=f"{module}.{name}")


def row(table: Table) -> dict[str, Any]:
    """A row whose texts are all alike, so that whoever looks anything up finds it."""
    return {each.name: TOLD.get((table.name, each.name), PLAIN[each.type.python_type]) for each in table.c}


def wanted(hot: Hot) -> dict[str, Any]:
    """Values of the parameters with which the rows are found."""
    known = hot.statement.compile(dialect=sqlite.dialect()).params
    return {name: NUMBERS.get(name, [PLAIN[str]]) for name, value in known.items() if value is None}


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.write() as connection:
        for table in tables.metadata.sorted_tables:
            await connection.execute(table.insert(), row(table))
    return database


@pytest.mark.parametrize(("name", "hot"), list(reads()))
async def test_the_rows_are_those_of_sqlalchemy(filled: Database, name: str, hot: Hot) -> None:
    values = wanted(hot)
    async with filled.write() as connection:
        [found] = await ask(connection, hot(**values))
        expected = (await connection.execute(hot.statement, values)).all()
    assert [tuple(each) for each in found] == [tuple(each) for each in expected]
    assert [list(map(type, each)) for each in found] == [list(map(type, each)) for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        named = [field for field in ours._fields if not field.startswith("_")]
        assert [getattr(ours, field) for field in named] == [getattr(theirs, field) for field in named]
    assert bool(found) != (name in FINDS_NONE)


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda table: table.name)
async def test_what_is_inserted_is_read_by_sqlalchemy_as_it_was(database: Database, table: Table) -> None:
    given = row(table)
    async with database.write() as connection:
        await ask(connection, inserted(table, [given]))
        [found] = (await connection.execute(select(table))).all()
    assert found._asdict() == given


async def test_statements_run_one_after_the_other_each_seeing_what_was_written_before(database: Database) -> None:
    numbers = Hot(select(tables.clock.c.id).order_by(tables.clock.c.id))
    times = [{"id": number, "time": EAST} for number in (1, 2, 3)]
    async with database.write() as connection:
        before, _, after = await ask(connection, numbers(), inserted(tables.clock, times), numbers())
    assert (before, after) == ([], [(1,), (2,), (3,)])


async def test_a_mistake_undoes_what_came_before_it_and_is_no_outage(database: Database) -> None:
    clock = Rows(tables.clock, [{"id": 1, "time": EAST}], "refuse")
    with pytest.raises(DBAPIError):
        async with database.write() as connection:
            await write(connection, clock)
            await write(connection, clock, last=True)
    async with database.write() as connection:
        assert not (await connection.execute(select(tables.clock))).all()
        await write(connection, clock)  # the session's statements are there, whatever the last one lost


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    at = Hot(select(literal(1)).where(bindparam("at", type_=tables.clock.c.time.type) == tables.clock.c.time))
    with pytest.raises((TypeError, StatementError)):
        async with database.write() as connection:
            await at.rows(connection, at=EAST.replace(tzinfo=None))


@pytest.mark.postgres
async def test_a_text_with_a_nul_is_refused_and_not_cut(served: tuple[Database, str]) -> None:
    database, _ = served
    whole = Hot(select(bindparam("text", type_=tables.messages.c.id.type)))
    with pytest.raises(DBAPIError):
        async with database.write() as connection:
            await whole.rows(connection, text="a\0b")


@pytest.fixture
async def served(postgres_url: str) -> Any:
    database = Database(postgres_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    yield database, postgres_url
    await database.close()


PID = Hot(select(func.pg_backend_pid()))


@pytest.mark.postgres
async def test_the_last_is_committed_with_the_others(served: tuple[Database, str]) -> None:
    database, url = served
    async with database.write() as connection:
        await write(connection, Rows(tables.clock, [{"id": 1, "time": EAST}]), last=True)
        with psycopg.connect(url) as other:
            assert other.execute("SELECT id, time FROM clock").fetchall() == [(1, EAST)]


@pytest.mark.postgres
async def test_a_snapshot_stays_one(served: tuple[Database, str]) -> None:
    database, url = served
    count = Hot(select(func.count()).select_from(tables.clock))
    async with database.read() as connection:
        before = await count.rows(connection)
        with psycopg.connect(url) as other:
            other.execute("INSERT INTO clock (id, time) VALUES (1, now())")
        assert await count.rows(connection) == before
        with pytest.raises(DBAPIError):
            await ask(connection, inserted(tables.clock, [{"id": 2, "time": EAST}]))


@pytest.mark.postgres
async def test_a_session_that_the_server_ends_is_an_outage_and_not_met_again(served: tuple[Database, str]) -> None:
    database, url = served
    with pytest.raises(RetryLater):
        async with database.write() as connection:
            [(pid,)] = await PID.rows(connection)
            with psycopg.connect(url, autocommit=True) as server:
                server.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            await PID.rows(connection)
    async with database.write() as connection:
        assert await PID.rows(connection) != [(pid,)]


@pytest.mark.postgres
async def test_a_deadlock_is_waited_for_and_tried_again(served: tuple[Database, str]) -> None:
    database, _ = served
    async with database.write() as connection:
        await write(connection, Rows(tables.clock, [{"id": number, "time": EAST} for number in (1, 2)]))
    lock = Hot(select(tables.clock).where(tables.clock.c.id == bindparam("id")).with_for_update())
    both = asyncio.Barrier(2)

    async def one(first: int, second: int) -> None:
        async with database.write() as connection:
            await lock.rows(connection, id=first)
            await both.wait()
            await lock.rows(connection, id=second)

    ends = await asyncio.gather(one(1, 2), one(2, 1), return_exceptions=True)
    assert sorted(type(end) for end in ends if end is not None) == [RetryLater]


@pytest.mark.postgres
async def test_who_is_cancelled_while_it_waits_for_a_lock_leaves_nothing_behind(served: tuple[Database, str]) -> None:
    database, url = served
    locking = Hot(select(func.pg_advisory_xact_lock(bindparam("number", type_=tables.offsets.c.partition.type))))

    async def waiting() -> None:
        async with database.write() as connection:
            await ask(connection, inserted(tables.clock, [{"id": 1, "time": EAST}]), locking(number=1), last=True)

    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(1)")
        task = asyncio.create_task(waiting())
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other.execute("SELECT pg_advisory_unlock(1)")
        assert not other.execute("SELECT * FROM clock").fetchall()
    async with database.write() as connection:
        await locking.rows(connection, number=1)


@pytest.mark.postgres
async def test_after_a_rollback_everything_is_prepared_anew(served: tuple[Database, str]) -> None:
    """The driver drops what its session has prepared when it rolls back."""
    database, _ = served
    for turn in range(3):
        with pytest.raises(ZeroDivisionError):
            async with database.write() as connection:
                for _ in range(10):  # the driver prepares what it has seen a few times
                    await connection.execute(text("SELECT 1"))
                await PID.rows(connection)
                raise ZeroDivisionError(turn)


@pytest.mark.postgres
async def test_a_session_that_has_lost_what_it_had_prepared_is_an_outage_that_another_mends(
    served: tuple[Database, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool goes by the wall clock when it replaces one: it does not where that was set back meanwhile."""
    database, _ = served
    async with database.write() as connection:
        for _ in range(10):
            await connection.execute(text("SELECT 1"))
        before = await PID.rows(connection)
    with monkeypatch.context() as clock, pytest.raises(ZeroDivisionError):
        clock.setattr("sqlalchemy.pool.base.time", SimpleNamespace(time=lambda: 1.0))
        async with database.write() as connection:
            await PID.rows(connection)
            raise ZeroDivisionError
    with pytest.raises(RetryLater):
        async with database.write() as connection:
            await PID.rows(connection)
    async with database.write() as connection:
        assert await PID.rows(connection) != before


@pytest.mark.postgres
@pytest.mark.parametrize("past", [True, False], ids=["past SQLAlchemy", "by SQLAlchemy"])
async def test_a_database_that_takes_no_writes_is_an_outage_for_who_may_write(
    served: tuple[Database, str], past: bool
) -> None:
    database, _ = served
    rows = [{"id": 1, "time": EAST}]

    async def written(connection: Any) -> None:
        if past:
            await ask(connection, inserted(tables.clock, rows))
        else:
            await connection.execute(tables.clock.insert(), rows)

    with pytest.raises(RetryLater):
        async with database.write() as connection:
            await connection.execute(text("SET TRANSACTION READ ONLY"))  # as a replica has it
            await written(connection)
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await written(connection)
