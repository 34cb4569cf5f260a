"""A site beside the site: a log and a database of its own for as long as something is tried, and then nothing of it.

It has a name that nobody else has, and all that is made and taken away bears that name: the site's own topics and
tables are never touched. Its database is one of its own, for locks and notifications are a whole database's.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel.settings import CoverageSettings, DatabaseSettings, LLMSettings, LogSettings, Settings
from hisbus_bus.kernel.site import SECRET_BYTES, open_database
from hisbus_bus.kernel.topics import TOPICS, topic_name

NOT_ALLOWED = "42501"
"""PostgreSQL's code for a right that the user lacks."""


@asynccontextmanager
async def scratch(settings: Settings, folder: Path, *, embedded: bool = False) -> AsyncIterator[Settings]:
    """Make an empty site, and take it away when the block ends.

    Args:
        settings: the site's own: its plugins and agents are called as there, without a model and remote agents.
        folder: for the secret, and for what the embedded log and database store.
        embedded: on these, whatever is configured.

    Raises:
        ConfigError: the servers do not allow it.
        RetryLater: they are away.
    """
    name = f"bench-{secrets.token_hex(6)}"
    secret = _secret(folder)
    own: dict[str, Any] = {
        "site": name,
        "secret_file": secret,
        "anchor_file": None,
        "connectors": [],
        "coverage": CoverageSettings(),  # an empty site has seen nothing
        "llm": LLMSettings(),
        "remote": {},
    }
    async with AsyncExitStack() as stack:
        if embedded or settings.log.url.startswith("sqlite:"):
            own["log"] = LogSettings(url=f"sqlite:///{folder}/log.db")
        else:
            await stack.enter_async_context(_topics(settings.log, name))
        if embedded or settings.database.url.startswith("sqlite:"):
            own["database"] = DatabaseSettings(url=f"sqlite:///{folder}/hisbus.db")
        else:
            own["database"] = await stack.enter_async_context(_database(settings, name))
        yield settings.model_copy(update=own)


def _secret(folder: Path) -> Path:
    folder.mkdir()
    secret = folder / "site.secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(SECRET_BYTES), "ascii")
    return secret


@asynccontextmanager
async def _topics(log: LogSettings, site: str) -> AsyncIterator[None]:
    from aiokafka.admin import AIOKafkaAdminClient  # a client for a server that most trials do not have
    from aiokafka.errors import KafkaError

    from hisbus_bus.kernel.log.kafka_cluster import Cluster, connection, sorted_error

    try:
        await Cluster(log, site).apply()
        yield
    finally:
        admin = AIOKafkaAdminClient(**connection(log))
        try:
            await admin.start()
            await admin.delete_topics([topic_name(site, topic) for topic in TOPICS])
        except (KafkaError, OSError) as error:
            raise sorted_error(error) from error
        finally:
            await admin.close()


@asynccontextmanager
async def _database(settings: Settings, site: str) -> AsyncIterator[DatabaseSettings]:
    name = site.replace("-", "_")
    await _say(settings, f'CREATE DATABASE "{name}"')
    try:
        url = urlsplit(settings.database.url)._replace(path=f"/{name}").geturl()
        yield settings.database.model_copy(update={"url": url})
    finally:
        await _say(settings, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _say(settings: Settings, statement: str) -> None:
    database = open_database(settings)
    try:
        async with database.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(statement))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == NOT_ALLOWED:
            raise ConfigError(
                "database.url: its user may not make a database. Allow it for the while (ALTER ROLE ... CREATEDB), or"
                " measure with --embedded."
            ) from error
        raise RetryLater("The database is away. Check its server.", code="database") from error
    finally:
        await database.close()
