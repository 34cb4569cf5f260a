import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from hisbus.errors import ConfigError
from hisbus_bus.kernel import migrations, tables
from hisbus_bus.kernel.database import Database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without tables."""
    sqlite = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/hisbus.db" if sqlite else request.getfixturevalue("postgres_url"))
    yield database
    await database.close()


async def test_the_migrations_lead_to_the_tables_as_they_are_declared(database: Database) -> None:
    await migrations.upgrade(database)
    async with database.write() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
        has = await connection.run_sync(migrations.current)
    assert differences == []
    assert has == migrations.REVISIONS[-1]


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
def test_a_partial_index_says_its_condition_to_both_databases(dialect: Dialect) -> None:
    made = {
        index.name: str(CreateIndex(index).compile(dialect=dialect))
        for table in (tables.signals, tables.decisions, tables.parked)
        for index in table.indexes
    }
    assert made["signals_lasting"] == (
        "CREATE UNIQUE INDEX signals_lasting ON signals (part, kind) WHERE ended IS NULL"
    )
    assert made["decisions_standing"].endswith("ON decisions (proposal) WHERE state = 'stands'")
    assert "WHERE" not in made["parked_open"]


async def test_a_second_upgrade_finds_nothing_to_do(database: Database) -> None:
    await migrations.upgrade(database)
    await migrations.upgrade(database)


async def test_of_two_upgrades_at_once_one_does_the_work(database: Database) -> None:
    await asyncio.gather(migrations.upgrade(database), migrations.upgrade(database))


async def test_nobody_but_its_owner_can_read_the_database(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/var/hisbus.db")
    await migrations.upgrade(database)
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").iterdir()}
    await database.close()
    assert rights == {"hisbus.db": 0o600, "hisbus.db-wal": 0o600, "hisbus.db-shm": 0o600}


async def test_a_database_that_cannot_be_made_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    with pytest.raises(ConfigError, match=r"database\.url"):
        Database(f"sqlite:///{tmp_path}/var/hisbus.db")
