from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from hisbus import migrations, tables
from hisbus.database import Database


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
