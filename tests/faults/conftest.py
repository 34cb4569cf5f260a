"""Servers that a test may kill."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

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
async def own_postgres(postgres: str) -> AsyncIterator[Postgres]:
    """A server of the test's own.

    It does not lie in pytest's folder: each session that begins shuts that to all other users, and the server is one.
    """
    with TemporaryDirectory(prefix="hisbus-postgres-") as folder:
        Path(folder).chmod(0o711)  # the server's own user walks through
        server = Postgres(Path(folder) / "server")
        (Path(folder) / "server").chmod(0o711)
        await asyncio.to_thread(server.start)
        yield server
        await asyncio.to_thread(server.stop)
