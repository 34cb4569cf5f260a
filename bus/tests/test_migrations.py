import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from hisbus import migrations, tables
from hisbus.database import Database
from hisbus.errors import ConfigError


async def test_the_migrations_lead_to_the_tables_as_they_are_declared(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/hisbus.db")
    await migrations.upgrade(database)
    async with database.write() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
        has = await connection.run_sync(migrations.current)
    await database.close()
    assert differences == []
    assert has == migrations.REVISIONS[-1]


async def test_a_second_upgrade_finds_nothing_to_do(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/hisbus.db")
    await migrations.upgrade(database)
    await migrations.upgrade(database)
    await database.close()


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
