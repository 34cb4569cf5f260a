"""The live profiles: what each process of the site reads messages by, and how it takes up another while it runs.

The row in the database decides, so that all processes read alike, whatever their own files say. Translate looks with
each batch, the other steps every two seconds; while the database is away a process goes on with what it has.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.connector import Connector
from hisbus.errors import ConfigError, RetryLater
from hisbus_bus.kernel import profiles, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.hot import Hot
from hisbus_bus.kernel.telemetry import logger
from hisbus_mapping import Mapping as Meaning

EVERY_S = 2.0
"""How often a process looks, seconds."""
POLL_S = 0.5
"""Between two tries to write to a database that is away, seconds."""

_release = tables.releases.c
LIVE = Hot(select(_release.id, _release.name).where(_release.kind == "profile", _release.state == "live"))
"""Which release of each connector's profile is live."""
log = logger(step="profiles")


class Live(Mapping[str, Meaning]):
    """What the messages of each connector mean now, by its name."""

    def __init__(self, meanings: Iterable[Meaning]) -> None:
        """Take what the files of this machine say; it counts until the database is read."""
        self._filed = {one.connector.name: one for one in meanings}
        self._meanings = dict(self._filed)
        self._followed: dict[str, str] = {}

    def __getitem__(self, connector: str) -> Meaning:
        return self._meanings[connector]

    def __iter__(self) -> Iterator[str]:
        return iter(self._meanings)

    def __len__(self) -> int:
        return len(self._meanings)

    async def follow(self, connection: AsyncConnection) -> None:
        """Take up what is live by now.

        Raises:
            RetryLater: the connector as installed here cannot read it; this process goes on with what it had.
        """
        await self.take_up(connection, await LIVE.rows(connection))

    async def take_up(self, connection: AsyncConnection, live: Iterable[Any]) -> None:
        """Take up what was found to be live; see ``follow``."""
        for row in live:
            if row.name in self._meanings and self._followed.get(row.name) != row.id:
                await self._take_up(connection, row.name, row.id)

    async def _take_up(self, connection: AsyncConnection, name: str, release: str) -> None:
        before = self._meanings[name]
        content = (await connection.execute(select(_release.content).where(_release.id == release))).one()
        over = profiles.over_of(content)
        if over != before.over:
            try:
                after = await asyncio.to_thread(_compiled, before.connector, over)
            except ConfigError as error:
                log.error("profile refused", connector=name, reason=str(error))
                raise RetryLater(
                    f"The live profile of connector {name!r} does not compile with the connector that is installed"
                    " here. Install the same version on all machines, or put another in: hisbus profile use.",
                    code="profile_refused",
                ) from error
            log.info("profile", connector=name, version=after.name)
            self._meanings[name] = after
        self._followed[name] = release

    async def run(self, database: Database) -> None:
        """Follow until cancelled."""
        said = ""
        while True:
            try:
                async with database.read() as connection:
                    await self.follow(connection)
                said = ""
            except (RetryLater, SQLAlchemyError) as error:  # beside intake the tables may not be there yet
                code = getattr(error, "code", "") or "database"
                if code != said:
                    log.warning("profiles unread", code=code)
                said = code
            await asyncio.sleep(EVERY_S)

    async def put_in(self, database: Database) -> None:
        """Keep what this machine's files say, once the database can be written; then follow what is live.

        A file that was never put in becomes live: somebody has written it. One that another has replaced does not come
        back by a start, for it may be an old file on one machine of several.
        """
        while True:
            try:
                async with database.write() as connection:
                    for meaning in self._filed.values():
                        await self._put_in(connection, meaning)
                    await self.follow(connection)
            except RetryLater as error:
                log.warning("profiles wait", code=error.code)
                await asyncio.sleep(POLL_S)
            else:
                return

    async def _put_in(self, connection: AsyncConnection, meaning: Meaning) -> None:
        name = meaning.connector.name
        known = [row for row, _ in await profiles.listed(connection, name)]
        live = [profiles.over_of(row) for row in known if row.state == "live"]
        if live and meaning.over not in live and meaning.over in map(profiles.over_of, known):
            log.warning("profile replaced", connector=name, path=str(meaning.file or profiles.SHIPPED))
            return
        await profiles.put_in(connection, meaning, author="step:translate")


def _compiled(connector: Connector, over: str) -> Meaning:
    compiled = Meaning(connector, text=over)
    _ = compiled.name  # computed once, and here it keeps nobody waiting
    return compiled


async def live(database: Database, meanings: Iterable[Meaning]) -> Live:
    """Return what is live, for a command beside the site.

    Raises:
        RetryLater: the database is away, or what is live cannot be read here.
    """
    found = Live(meanings)
    async with database.read() as connection:
        await found.follow(connection)
    return found
