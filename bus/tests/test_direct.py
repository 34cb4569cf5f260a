"""The database as a command asks it: what the page's connections keep to holds for these as well."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from hisbus.errors import RetryLater
from hisbus_bus.kernel import people, tables
from hisbus_bus.kernel.database import Database

LEFT = datetime(2026, 1, 5, 12, 30, 0, 250, tzinfo=UTC)
ROW = {"authority": "HIS", "number": "D1", "name": "n", "department": "", "title": "", "head": False, "left": LEFT}


@pytest.fixture
async def direct(database: Database, database_url: str) -> AsyncIterator[Database]:
    """A command's, beside the page's ``database`` with its tables."""
    made = Database(database_url, direct=True)
    yield made
    await made.close()


async def test_what_a_command_writes_is_what_the_page_reads(direct: Database, database: Database) -> None:
    async with direct.write() as connection:
        await connection.execute(tables.staff.insert(), [ROW])
    async with database.read() as connection:
        (row,) = (await connection.execute(select(tables.staff))).all()
    assert row._asdict() == ROW
    async with direct.read() as connection:
        assert (await connection.execute(select(tables.staff))).one() == row
        assert list(await connection.scalars(select(tables.staff.c.left))) == [LEFT]
        assert await connection.run_sync(lambda own: own.scalar(select(func.count()).select_from(tables.staff))) == 1


async def test_a_block_that_raises_writes_nothing(direct: Database, database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with direct.write() as connection:
            await connection.execute(tables.staff.insert(), [ROW])
            raise ZeroDivisionError
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(tables.staff)) == 0


async def test_a_snapshot_does_not_see_what_is_written_meanwhile(direct: Database, database: Database) -> None:
    counted = select(func.count()).select_from(tables.staff)
    async with direct.read() as connection:
        assert await connection.scalar(counted) == 0
        async with database.write() as other:
            await other.execute(tables.staff.insert(), [ROW])
        assert await connection.scalar(counted) == 0
    async with direct.read() as connection:
        assert await connection.scalar(counted) == 1


async def test_a_mistake_of_ours_is_no_outage(direct: Database) -> None:
    with pytest.raises(DBAPIError):
        async with direct.write() as connection:
            await connection.execute(text("SELECT name FROM nothing_of_ours"))


async def test_a_database_that_somebody_else_holds_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisbus_bus.kernel.database.SQLITE_PRAGMAS", ("busy_timeout=0",))
    url = f"sqlite:///{tmp_path}/hisbus.db"
    holder, direct = Database(url), Database(url, direct=True)
    async with holder.write():
        with pytest.raises(RetryLater):
            async with direct.write():
                pass
    async with direct.write():
        pass
    await asyncio.gather(holder.close(), direct.close())


async def test_a_user_whom_a_command_added_is_known_to_the_page(direct: Database, database: Database) -> None:
    made = await people.add(direct, "ann", by="command:root")
    assert made is not None
    (known,) = await people.listed(database)
    assert (known.name, known.role) == ("ann", people.DEFAULT)
    async with database.read() as connection:
        (row,) = (await connection.execute(select(tables.audit))).all()
    assert (row.actor, row.action, row.object) == ("command:root", "user.added", "ann")
