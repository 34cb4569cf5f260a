"""Replay: stored messages are read again with the newest mapping, charts are judged again by an agent.

Both go through the outbox, so they work while ``hisbus up`` holds the log. A message's copy carries where its first
copy lies (``origin``), so translate knows it for a replay and the fold keeps its place.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import ConfigError, RetryLater
from hisbus.frames import AgentInfo
from hisbus_bus.host.agents import AgentHost, start_all
from hisbus_bus.host.llm.client import model
from hisbus_bus.host.registry import connectors, mappings, plugins
from hisbus_bus.kernel import audit, charts, outbox, parked, positions, tables, wakes
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site, load_secret, open_database, open_reader
from hisbus_bus.kernel.topics import BACKFILL, MIB, Keys, digest
from hisbus_bus.lab import refused
from hisbus_mapping import Mapping

PAGE = 200
"""Rows of one query, and most replays of one transaction."""
PAGE_BYTES = 16 * MIB
"""A transaction takes no further message once it holds this much."""
SPAN = 32
"""Most records of ``raw`` that one read spans: messages of other connectors lie between."""
AHEAD = 1000
"""Most replays on their way at a time: what arrives meanwhile waits behind no more than these."""
PATIENCE_S = 30.0

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""


class Chosen(Protocol):
    """Messages that are to be read again."""

    @property
    def begin(self) -> datetime:
        """Nothing of them was stored before."""
        ...

    @property
    def condition(self) -> ColumnElement[bool]:
        """What singles out their first copies."""
        ...

    @property
    def mark(self) -> str:
        """What their copies carry, the same however often they are sent."""
        ...

    @property
    def mapping(self) -> Mapping | None:
        """Judges those anew that were refused when they arrived; None: their connector is not there."""
        ...

    @property
    def as_of(self) -> str:
        """What of before this time (ISO 8601) they tell is backfill; empty: as they were read."""
        ...

    @property
    def force(self) -> bool:
        """Whether one that was refused is read also where its sender has since stored another of its control id."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The messages that a replay is about: stored from ``begin`` on and before ``end``."""

    mapping: Mapping
    begin: datetime
    end: datetime | None = None
    force: bool = False
    as_of: str = ""

    @property
    def mark(self) -> str:
        """Return what tells this replay from one with another mapping."""
        return digest("replay", self.mapping.connector.name, self.mapping.name, self.as_of)

    @property
    def condition(self) -> ColumnElement[bool]:
        """Return what singles out their first copies. What the newest mapping has read already cannot change."""
        row = tables.messages.c
        mine = [row.first, row.connector == self.mapping.connector.name, row.received >= self.begin]
        other = row.backfill != self.as_of if self.as_of else false()
        mine.append(or_(row.mapping != self.mapping.name, row.status == "parked", other))
        return and_(*mine, row.received < self.end) if self.end else and_(*mine)


@dataclass(frozen=True, slots=True)
class Original:
    """The first stored copy of a message."""

    row: Row[Any]
    """Of the ledger."""
    record: Record | None
    """None: the log no longer keeps it."""


@dataclass(slots=True)
class Sent:
    """What a replay of messages has put on its way, and what it could not."""

    sent: int = 0
    taken: int = 0
    """Of those: were refused when they arrived, and are taken now."""
    refused: Counter[str] = field(default_factory=Counter)
    """Were refused when they arrived and are still, by code."""
    overtaken: list[tuple[str, str]] = field(default_factory=list)
    """Would be taken now, but their senders have since stored another of the same control id: ids of both."""
    gone: list[str] = field(default_factory=list)
    """Ids of messages whose originals the log no longer keeps; they stay as they were read."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Site]:
    """Open the site beside the process that holds it; its log can only be read.

    Raises:
        ConfigError: nothing was stored yet, or only an operator can mend it.
    """
    log = await open_reader(settings)
    try:
        database = open_database(settings)
        try:
            yield Site(settings, Keys(load_secret(settings)), log, database)
        finally:
            await database.close()
    finally:
        await log.close()


def mapping_of(settings: Settings, name: str) -> Mapping:
    """Return the newest mapping of a connector of the configuration.

    Raises:
        ConfigError: there is none of that name.
    """
    known = {mapping.connector.name: mapping for mapping in mappings(connectors(settings))}
    if name not in known:
        raise ConfigError(f"There is no connector {name!r}. Choose one of: {', '.join(sorted(known)) or 'none'}.")
    return known[name]


@asynccontextmanager
async def agent_of(settings: Settings, name: str) -> AsyncIterator[tuple[AgentHost, AgentInfo]]:
    """Run the plugin of an agent while the block lasts.

    Raises:
        ConfigError: no plugin has an agent of that name, or the configuration turns it off.
    """
    if not settings.agent(name).enabled:
        raise ConfigError(f"agents.{name}.enabled is false, so nobody would answer. Set it to true.")
    if name in settings.remote:
        raise ConfigError(f"{name} is a service of its own, which answers the site alone: leave --dry-run out.")
    async with AsyncExitStack() as stack:
        hosts = await start_all(plugins(settings), settings, await stack.enter_async_context(model(settings)))
        for host in hosts:
            stack.push_async_callback(host.close)
        known = {agent.name: (host, agent) for host in hosts for agent in host.agents}
        if name not in known:
            raise ConfigError(f"No plugin has an agent {name!r}. Choose one of: {', '.join(sorted(known)) or 'none'}.")
        yield known[name]


def instant(text: str, timezone: str) -> datetime:
    """Return a time given as ISO 8601; without an offset it is local to a zone.

    Raises:
        ConfigError: it is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a time. Write it like 2026-03-02, or 2026-03-02T08:30+08:00.") from error
    return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(timezone))).astimezone(UTC)


async def messages(site: Site, wanted: Wanted, progress: Progress, *, by: str) -> Sent:
    """Append first copies to ``raw`` again, in the order in which they came.

    Run again, also after it was killed, it goes on where it was: what the newest mapping has read is left out.

    Args:
        site: whose log it is.
        wanted: which messages.
        progress: is told how far it is.
        by: whom the audit names.

    Raises:
        RetryLater: nobody takes what was sent so far, or log or database are away.
    """
    total, done, sent = await count(site, wanted), 0, Sent()
    if not total:
        return sent
    async with site.database.write() as connection:
        span = {"begin": wanted.begin.isoformat(), "end": wanted.end.isoformat() if wanted.end else ""}
        name = wanted.mapping.connector.name
        await audit.record(connection, actor=by, action="messages.replayed", object=name, count=total, **span)
    async for page in again(site, wanted, sent):
        done += page
        progress(done, total)
    return sent


async def again(site: Site, wanted: Chosen, sent: Sent) -> AsyncIterator[int]:
    """Append first copies to ``raw`` again page by page, and count them; yield how many each page had.

    Raises:
        RetryLater: nobody takes what was sent so far, or log or database are away.
    """
    async for page in originals(site, wanted):
        await _room(site)
        async with site.database.write() as connection:
            for original in page:
                await _again(connection, site.keys, original, wanted, sent)
        yield len(page)


async def stays(site: Site, agent: str, *, closed: bool, progress: Progress, by: str) -> int:
    """Wake an agent for the stays that are open, or for all, as a new agent is woken. Return how many.

    Args:
        site: whose stays they are.
        agent: whom to wake.
        closed: also for stays that are closed.
        progress: is told how far it is.
        by: whom the audit names.

    Raises:
        RetryLater: nobody takes what was sent so far, or log or database are away.
    """
    # A wake of one name and time fires once, so each run has a name of its own.
    name = f"replay {datetime.now(UTC).isoformat()}"
    total, done = await count_stays(site, closed=closed), 0
    async with site.database.write() as connection:
        await audit.record(connection, actor=by, action="stays.replayed", object=agent, count=total)
    async for page in encounters(site, closed=closed):
        await _room(site)
        async with site.database.write() as connection:
            due = (wakes.Wake(agent, stay.id, name, stay.now, stay.key, stay.lanes) for stay in page)
            await wakes.send(connection, site, "command", due)
        done += len(page)
        progress(done, total)
    return done


async def count(site: Site, wanted: Wanted) -> int:
    """Return how many messages a replay is about."""
    async with site.database.read() as connection:
        query = select(func.count()).select_from(tables.messages).where(wanted.condition)
        return await connection.scalar(query) or 0


async def count_stays(site: Site, *, closed: bool) -> int:
    """Return how many stays are open, or how many there are."""
    async with site.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(tables.encounters).where(_counts(closed))) or 0


async def originals(site: Site, wanted: Chosen) -> AsyncIterator[list[Original]]:
    """Yield first copies in pages bounded in number and bytes, in the order in which they came, key by key."""
    row = tables.messages.c
    query = select(tables.messages).where(wanted.condition).order_by(row.received, row.partition, row.offset)
    later: ColumnElement[bool] = row.received >= wanted.begin
    while True:
        async with site.database.read() as connection:
            rows = (await connection.execute(query.where(later).limit(PAGE))).all()
        if not rows:
            return
        page: list[Original] = []
        size = 0
        async for original in _read(site, rows):
            page.append(original)
            size += len(original.record.value) if original.record else 0
            if size >= PAGE_BYTES:
                yield page
                page, size = [], 0
        if page:
            yield page
        last = rows[-1]
        behind = or_(row.partition > last.partition, and_(row.partition == last.partition, row.offset > last.offset))
        later = and_(row.received >= last.received, or_(row.received > last.received, behind))


async def encounters(site: Site, *, closed: bool) -> AsyncIterator[Sequence[Any]]:
    """Yield the stays that are open, or all, in pages."""
    row, last = tables.encounters.c, ""
    while True:
        query = (
            select(row.id, row.now, row.key, row.lanes)
            .where(row.id > last, _counts(closed))
            .order_by(row.id)
            .limit(PAGE)
        )
        async with site.database.read() as connection:
            page = (await connection.execute(query)).all()
        if not page:
            return
        yield page
        last = page[-1].id


def _counts(closed: bool) -> ColumnElement[bool]:
    """Tell which stays count: the open ones, or all that some event has named; none of backfill."""
    row = tables.encounters.c
    return and_(row.version > 0 if closed else row.status.in_(charts.OPEN), ~charts.of_backfill())


async def _read(site: Site, rows: Sequence[Row[Any]]) -> AsyncIterator[Original]:
    """Look originals up, partition by partition: those that lie close together with one read."""
    ordered = sorted(rows, key=lambda row: (row.partition, row.offset))
    ahead: dict[tuple[int, int], Record] = {}
    for at, row in enumerate(ordered):
        place = (row.partition, row.offset)
        if place not in ahead:
            near = [one.offset for one in ordered[at : at + SPAN] if one.partition == row.partition]
            end = max(offset for offset in near if offset < row.offset + SPAN)
            found = await site.log.read("raw", *place, end - row.offset + 1)
            ahead = {(one.partition, one.offset): one for one in found}
        yield Original(row, ahead.pop(place, None))


async def _again(connection: AsyncConnection, keys: Keys, original: Original, wanted: Chosen, sent: Sent) -> None:
    row, record = original.row, original.record
    if record is None:
        sent.gone.append(row.id)
        return
    key, headers = record.key, record.headers
    if headers.get("verdict"):
        found = refused.examine(keys, wanted.mapping, record, row.received)
        if found.headers is None:
            sent.refused[found.code] += 1
            return
        if not wanted.force and (other := await overtaken(connection, row, found)):
            sent.overtaken.append((row.id, other))
            return
        sent.taken += 1
        key, headers = found.key, found.headers
    sent.sent += 1
    headers = {**headers, "origin": f"{row.partition}:{row.offset}"}
    if backfill := wanted.as_of or row.backfill:
        headers[BACKFILL] = backfill
    if row.status == "parked" and (id := await _parked_row(connection, row.message)):
        await parked.replay(connection, id, key=key, headers=headers)
        return
    await outbox.send(connection, NewRecord("raw", key, record.value, {**headers, parked.REPLAY: wanted.mark}))


async def overtaken(connection: AsyncConnection, row: Row[Any], found: refused.Examined) -> str:
    """Return the message that the sender has stored in place of one that was refused and never read; empty: none."""
    if row.status != "parked" or found.headers is None:
        return ""
    return await refused.since(connection, found.headers, row.received)


async def _parked_row(connection: AsyncConnection, message: str) -> str | None:
    """Return the parked row of a message: replayed by it, it closes when the message can be read now."""
    at = tables.parked.c
    mine = select(at.id).where(at.step == "translate", at.status == "parked", at.message == message).limit(1)
    id: str | None = await connection.scalar(mine)
    return id


async def _room(site: Site) -> None:
    """Wait until few replays are on their way."""
    now = asyncio.get_running_loop().time
    least, deadline = None, now() + PATIENCE_S
    while (waiting := await _on_the_way(site)) > AHEAD:
        if least is None or waiting < least:
            least, deadline = waiting, now() + PATIENCE_S
        elif now() > deadline:
            raise RetryLater(
                "Nobody takes what is replayed. Start `hisbus up`, then run this again: it goes on where it was."
            )
        await asyncio.sleep(0.05)


async def _on_the_way(site: Site) -> int:
    async with site.database.read() as connection:
        waiting = await outbox.waiting(connection)
    return waiting + await positions.lag(site, "raw", site.group("translate"), stores=True)
