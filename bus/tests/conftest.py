"""A site on the embedded database, with a log that only remembers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hisbus import tables
from hisbus.database import Database
from hisbus.log import NewRecord, Record
from hisbus.settings import Settings
from hisbus.site import Site
from hisbus.topics import Keys


class RememberingLog:
    """Keeps what is appended; enough for a step that is called directly."""

    def __init__(self) -> None:
        self.appended: list[NewRecord] = []

    async def append(self, records: Sequence[NewRecord]) -> None:
        self.appended.extend(records)

    async def subscribe(self, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError

    async def read(self, topic: str, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        return []

    async def ends(self, topic: str) -> Mapping[int, int]:
        return {0: sum(1 for record in self.appended if record.topic == topic)}

    async def begins(self, topic: str) -> Mapping[int, int]:
        return {0: 0}

    async def committed(self, topic: str, group: str) -> Mapping[int, int]:
        return {}

    async def check(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/hisbus.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


@pytest.fixture
def site(database: Database, log: RememberingLog) -> Site:
    return Site(Settings(site="test"), Keys(b"test-secret"), log, database)
