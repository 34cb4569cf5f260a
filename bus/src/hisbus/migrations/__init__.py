"""The database's schema, step by step. Expand first, contract in a later release: old and new processes overlap."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from hisbus.database import Database

HERE = Path(__file__).parent


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    return config


async def upgrade(database: Database) -> None:
    """Bring the schema to the newest revision. Two processes at once are safe: the second finds nothing to do.

    Raises:
        RetryLater: the database is away.
    """
    async with database.write() as connection:
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4711001)")
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))


def current(connection: Connection) -> tuple[str | None, str | None]:
    """Return the revision that the database has, and the one that this program wants."""
    has = MigrationContext.configure(connection).get_current_revision()
    return has, ScriptDirectory.from_config(_config()).get_current_head()


def known(revision: str) -> bool:
    """Tell whether this program knows a revision; one that it does not know is newer."""
    script = ScriptDirectory.from_config(_config())
    return revision in {step.revision for step in script.walk_revisions()}
