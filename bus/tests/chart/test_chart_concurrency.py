"""Several chart steps at once, on a server that lets them."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest

from hisbus import tables
from hisbus.database import Database
from hisbus.errors import RetryLater
from hisbus.site import Site
from hisbus_schemas import Translated


@pytest.fixture
async def shared_ward(ward: Any) -> AsyncIterator[Any]:
    """A ward on a PostgreSQL database of its own."""
    url = os.environ.get("HISBUS_TEST_POSTGRES", "")
    if not url:
        pytest.skip("no PostgreSQL is given (HISBUS_TEST_POSTGRES=postgresql://USER@HOST/NAME)")
    name = f"chart_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    database = Database(f"{url.rsplit('/', 1)[0]}/{name}")
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    yield type(ward)(Site(ward.site.settings, ward.site.keys, ward.site.log, database))
    await database.close()
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name}")


def conversation(ward: Any) -> list[Translated]:
    """Three numbers of one patient, two stays, and what comes with and without a visit number."""
    return [
        ward.adt("admitted", 1, "P3", "V1", name="A"),
        ward.document(2, "D1", who="P3"),
        ward.document(3, "D2", who="P2", stay=None),
        ward.merge(4, "P3", "P2"),
        ward.document(5, "D3", "replace", "P2", parent="D1"),
        ward.adt("discharged", 6, "P2", "V1"),
        ward.merge(7, "P2", "P1"),
        ward.merge(8, "P1", "P3"),
        ward.adt("admitted", 9, "P1", "V2", name="B"),
        ward.document(10, "D4", who="P3", stay=None),
        ward.move(11, "V2", "P4", "P1"),
        ward.document(12, "D5", who="P4", stay="V2"),
        ward.adt("discharge_cancelled", 13, "P2", "V1"),
        ward.document(14, "D6", who="P5", stay="V1"),
        ward.adt("updated", 15, "P4", "V2", name="C"),
    ]


async def deliver(ward: Any, messages: Sequence[Translated]) -> None:
    for message in messages:
        while True:
            try:
                await ward.deliver(message)
            except RetryLater:  # a deadlock: the server chose this one to go again
                continue
            break


@pytest.mark.postgres
async def test_steps_that_work_at_once_make_the_same_charts(ward: Any, shared_ward: Any) -> None:
    messages = conversation(ward)
    for message in messages:
        await ward.deliver(message)
    shuffle = random.Random(7)
    written = [tables.metadata.tables[name] for name, writer in tables.WRITER.items() if writer == "chart"]
    expected = await ward.said(("V1", "V2"))
    for _ in range(4):
        shuffle.shuffle(messages)
        await asyncio.gather(*(deliver(shared_ward, messages[worker::4]) for worker in range(4)))
        assert await shared_ward.said(("V1", "V2")) == expected
        async with shared_ward.site.database.write() as connection:
            for table in written:
                await connection.execute(table.delete())
