"""The connections: what the server has closed is made anew before it is used."""

import psycopg
import pytest
from sqlalchemy import text

from hisbus.database import Database


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
