"""The database's schema, step by step. Expand first, contract in a later release: old and new processes overlap.

From 0.2 on migrations are only added: one that was released is never edited, for some site's database was made by it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from hisbus_bus.kernel.database import Database

if TYPE_CHECKING:  # it takes half a second to import, and is needed only when the schema changes
    from alembic.config import Config

HERE = Path(__file__).parent
REVISIONS = tuple(sorted(path.stem.split("_")[0] for path in (HERE / "versions").glob("[0-9]*.py")))
"""Every revision that this program knows; the last one is what it wants."""

_LOCK = 4711001
"""Of PostgreSQL: one process migrates, the others wait and find it done."""


async def upgrade(database: Database) -> None:
    """Bring the schema to the newest revision. Two processes at once are safe: the second finds nothing to do.

    Raises:
        RetryLater: the database is away.
    """
    async with database.read() as connection:
        if await connection.run_sync(current) == REVISIONS[-1]:
            return
    async with database.write() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


def current(connection: Connection) -> str | None:
    """Return the revision that the database has; None: it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def config(connection: Connection) -> "Config":
    """Return what Alembic needs to work on a connection."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(config(connection), "head")
