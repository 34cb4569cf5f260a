"""A site on either database, with a log that only remembers."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from sqlalchemy import event

from hisbus.testing import (
    NOW,
    make_administration,
    make_allergy,
    make_charge,
    make_diagnosis,
    make_document,
    make_move,
    make_operation,
    make_order,
    make_result,
    make_unknown,
    make_vital,
)
from hisbus_bus.kernel import pipeline, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.hot import Asked
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import Entry


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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without rows; whoever uses it makes the tables that lack."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hisbus.db"
    url: str = request.getfixturevalue("shared_postgres_url")
    with psycopg.connect(url) as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            connection.execute(f'DELETE FROM "{name}"')
        connection.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
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


Sent = list[tuple[str, int]]
"""The text of each statement, and how often it was run with values of its own."""


@pytest.fixture
def counted() -> Callable[[Database], AbstractContextManager[Sent]]:
    """Collect what a database is sent, through SQLAlchemy and past it: ``with counted(database) as sent``."""

    @contextmanager
    def counting(database: Database) -> Iterator[Sent]:
        sent: Sent = []

        def remember(_connection: Any, _cursor: Any, text: str, values: Any, _context: Any, many: bool) -> None:
            sent.append((text, len(values) if many else 1))

        asks = pipeline.ask

        async def asking(connection: Any, asked: Sequence[Asked], *, last: bool = False) -> list[list[Any]]:
            sent.extend((one.hot.prepared.text.decode(), len(one.values)) for one in asked)
            return await asks(connection, asked, last=last)

        engine = database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", remember)
        with patch.object(pipeline, "ask", asking):
            yield sent
        event.remove(engine, "before_cursor_execute", remember)

    return counting


@pytest.fixture
def parts() -> dict[str, Entry]:
    """One entry of every part of a chart, made as a vendor's test makes it; each is called after its part."""
    return {
        "documents": make_document("documents", "documents are read"),
        "diagnoses": make_diagnosis("A", "diagnoses"),
        "procedures": make_operation("op", start=NOW, text="procedures"),
        "orders": make_order("o", "orders"),
        "results": make_result("results", "4.1"),
        "vitals": make_vital("vitals", "37.2"),
        "charges": make_charge("c", "charges", amount="12.50"),
        "allergies": make_allergy("allergies", reactions=["皮疹"], severity="severe"),
        "administrations": make_administration("administrations", "2", unit="g"),
        "moves": make_move("moves", patient_class="inpatient"),
        "unknown": make_unknown("class", "unknown"),
    }
