"""Servers that a test may kill."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from hisbus_servers.kafka import Kafka
from hisbus_servers.postgres import Postgres


@pytest.fixture
async def three_brokers(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """Three brokers of the test's own, that replicate everything; where brokers are given at all."""
    cluster = Kafka(tmp_path_factory.mktemp("kafka"), 3)
    await asyncio.to_thread(cluster.start)
    yield cluster
    await asyncio.to_thread(cluster.stop)


@pytest.fixture
async def own_postgres(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """A server of the test's own."""
    folder = tmp_path_factory.mktemp("postgres")
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and place.stat().st_mode & 0o011 != 0o011:
            place.chmod(place.stat().st_mode | 0o011)  # the server's own user walks through
    server = Postgres(folder)
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)
