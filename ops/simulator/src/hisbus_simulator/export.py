"""A ward's week as charts with what must be found in them, for ``hisbus evaluate``.

The messages go through the connector's mapping and the chart step, without a server. The same arguments give the same
files: a message is recorded at its source time.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hisbus.connector import Raw
from hisbus_bus.flow.chart import ChartStep
from hisbus_bus.host.registry import connectors, mappings
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.consumer import Batch
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_mapping import Mapping
from hisbus_schemas import Chart, Event, Position, Translated
from hisbus_simulator.oracle import RULES, Expected
from hisbus_simulator.week import Message, Week

SITE = "simulator"
FEED = {
    "name": "his", "type": "hl7v2", "listen": "127.0.0.1:1", "charset": "UTF-8", "timezone": "Asia/Shanghai",
    "clock": "feed",
}  # fmt: skip
"""A connector that is never opened."""


def export(week: Week, folder: Path) -> int:
    """Write ``VISIT.chart.json`` and ``VISIT.expected.json`` for every visit, as of the end of the week.

    Returns:
        How many visits there are.
    """
    wanted: defaultdict[str, list[Expected]] = defaultdict(list)
    for finding in week.expected:
        wanted[finding.visit].append(finding)
    folder.mkdir(parents=True, exist_ok=True)
    stays = asyncio.run(charts_of(week))
    for chart in stays:
        visit = chart.visit.number
        (folder / f"{visit}.chart.json").write_text(chart.model_dump_json(indent=1), "utf-8")
        expected = [{"rule": finding.rule, "state": finding.state} for finding in wanted[visit]]
        answer = {"findings": {"rules": list(RULES), "expected": expected}}
        (folder / f"{visit}.expected.json").write_text(json.dumps(answer, indent=1), "utf-8")
    return len(stays)


async def charts_of(week: Week) -> list[Chart]:
    """Return the chart of every visit as it stands at the end of the week."""
    async with folding(Settings(site=SITE, connectors=[FEED])) as folder:
        await folder.take(week.messages)
        return await folder.charts(week)


class Folder:
    """The chart step on a database of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        (self._feed,) = mappings(connectors(site.settings))
        self._step = ChartStep(site)
        self._at = 0

    async def take(self, messages: Sequence[Message], *, backfill: bool = False) -> None:
        """Fold messages; ``backfill``: of before the site was connected."""
        for some in _rounds(messages):
            records = [_record(self._feed, message, self._at + n, backfill) for n, message in enumerate(some)]
            self._at += len(records)
            await self._step.handle(Batch(records, {0: self._at}))

    async def charts(self, week: Week) -> list[Chart]:
        """Return the chart of every visit of a week that was taken, as of its end."""
        visits = {message.visit for message in week.messages}
        async with self.site.database.read() as connection:
            ids = list(await connection.scalars(tables.encounters.select().with_only_columns(tables.encounters.c.id)))
            found = await charts.charts(connection, ids)
        ended = [chart.model_copy(update={"now": week.clock}) for chart in found.values()]
        return sorted((one for one in ended if one.visit.number in visits), key=lambda chart: chart.visit.number)


@asynccontextmanager
async def folding(settings: Settings) -> AsyncIterator[Folder]:
    """Give the chart step an empty database; both are gone behind the block."""
    with TemporaryDirectory(prefix="hisbus-export-") as place:
        log = await SqliteLog.open(Path(place, "log.db"))
        database = Database(f"sqlite:///{place}/hisbus.db")
        try:
            async with database.write() as connection:
                await connection.run_sync(tables.metadata.create_all)
            yield Folder(Site(settings, Keys(SITE.encode()), log, database))
        finally:
            await database.close()
            await log.close()


def _rounds(messages: Iterable[Message]) -> Iterable[Sequence[Message]]:
    """Yield batches with one message of each visit, every visit's in their order."""
    left: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        left[message.visit].append(message)
    for number in range(max(map(len, left.values()), default=0)):
        yield [told[number] for told in left.values() if number < len(told)]


def _record(feed: Mapping, message: Message, offset: int, backfill: bool) -> Record:
    """Return what translate would append for a message."""
    id = digest(SITE, message.control_id)
    position = Position(recorded=message.at, partition=0, offset=int(message.control_id.rpartition("-")[2]))
    facts = feed.translate(Raw(id, message.body, message.at, message.control_id)).facts
    events = [
        Event(
            **dict(fact),
            id=digest(id, 1, n),
            message=id,
            revision=1,
            ordinal=n,
            connector=feed.connector.name,
            position=position,
            backfill=backfill,
        )
        for n, fact in enumerate(facts)
    ]
    said = Translated(
        message=id, revision=1, connector=feed.connector.name, key=id, timezone=feed.connector.timezone, clock="feed",
        position=position, events=events,
    )  # fmt: skip
    return Record("events", 0, offset, id, said.model_dump_json().encode(), {"message": id}, message.at)
