"""The connections: durable, and made anew where the server has closed them."""

from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hisbus_bus.kernel.database import Database


@pytest.mark.postgres
async def test_a_restarted_server_is_connected_again_without_an_error(postgres_url: str) -> None:
    database = Database(postgres_url)
    async with database.write() as connection:
        before = await connection.scalar(text("SELECT pg_backend_pid()"))
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(%s, 5000)", (before,))
    async with database.write() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) != before
    await database.close()


async def test_a_mistake_in_a_statement_is_no_outage_that_would_be_waited_for(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.write() as connection:
            await connection.execute(text("SELECT name FROM nothing_of_ours"))


async def test_a_commit_is_forced_to_the_disk(tmp_path: Path) -> None:
    """As the connection that writes tells it: in WAL mode only ``synchronous=FULL`` syncs with every commit."""
    database = Database(f"sqlite:///{tmp_path}/hisbus.db")
    async with database.write() as connection:
        modes = [await connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]
    await database.close()
