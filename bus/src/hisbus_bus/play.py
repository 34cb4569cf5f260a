"""Plays conversations and captures against a site's own configuration: its mappings, its agents, its rules.

Each gets a site of its own in a temporary folder. Nothing listens, nothing is written to a HIS, and the feed's clock
runs, because a conversation brings its own time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from sqlalchemy import select

from hisbus.connector import Arrival, Connector, Playable, Verdict
from hisbus.errors import ConfigError, RetryLater, reason_code
from hisbus_bus.app import App
from hisbus_bus.flow.intake import Intake
from hisbus_bus.flow.lag import lag
from hisbus_bus.flow.review import proposals
from hisbus_bus.host.agents import AgentHost, start_all
from hisbus_bus.host.registry import cannot_run, connectors, mappings, plugins
from hisbus_bus.host.trial import tried
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.live import Live
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys
from hisbus_bus.lab.conversations import Conversation, Found, Step, acks_differ, facts_differ, facts_of, findings_differ
from hisbus_bus.lab.tryout import Outcome, known
from hisbus_mapping import Mapping

PLAYED = ("translate", "chart", "dispatch", "timers", "review")
"""The steps between taking a message and writing back."""
AT_ONCE = 4
"""Conversations played at a time."""
DEADLINE_S = 60.0
"""Longest time in which nothing of what is left to do gets done."""
POLL_S = 0.03
HURRY = RetrySettings(attempts=2, first_s=0.05, longest_s=0.2)


Played = tuple[Conversation, list[str]]
"""A conversation, and how it ended otherwise than it must, one line each."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What conversations are played on: a site's configuration, its connectors, and its plugins as they run."""

    settings: Settings
    connectors: Sequence[Connector]
    mappings: Sequence[Mapping]
    hosts: Sequence[AgentHost]
    feed: Playable
    """Takes the messages."""


@asynccontextmanager
async def stage(settings: Settings, connector: str = "") -> AsyncIterator[Stage]:
    """Start a site's plugins for conversations.

    Args:
        settings: the site's.
        connector: the name of the one that takes the messages; may be left out where there is one.

    Raises:
        ConfigError: the configuration is wrong, or it must be said which connector takes the messages.
    """
    tables_ = [{**table, "clock": "feed"} for table in settings.connectors]
    # An empty site has seen nothing yet, and a conversation says what a site finds that has.
    connected = settings.coverage.model_copy(update={"default": "connected"})
    settings = settings.model_copy(update={"connectors": tables_, "retry": HURRY, "coverage": connected})
    made = connectors(settings)
    takes = _feed(made, connector)
    async with AsyncExitStack() as stack:
        hosts = await start_all(plugins(settings), settings)
        for host in hosts:
            stack.push_async_callback(host.close)
        wrong = [cannot_run(host.plugin, host.reason, settings) for host in hosts if not host.agents]
        if wrong := wrong + (await tried(hosts, settings)).refused:
            raise ConfigError("\n".join(wrong))
        yield Stage(settings, made, mappings(made), hosts, takes)


async def play_all(on: Stage, conversations: Iterable[Conversation]) -> AsyncGenerator[Played, None]:
    """Play conversations, some at a time. Yield each in its turn, with how it differs from what it expects."""
    places = asyncio.Semaphore(AT_ONCE)

    async def played(conversation: Conversation) -> list[str]:
        async with places:
            return await play(on, conversation)

    playing = [(one, asyncio.create_task(played(one))) for one in conversations]
    try:
        for one, task in playing:
            yield one, await task
    finally:
        for _, task in playing:
            task.cancel()
        await asyncio.gather(*(task for _, task in playing), return_exceptions=True)


async def play(on: Stage, conversation: Conversation) -> list[str]:
    """Play one conversation on a new site. Return how it differs from what it expects, one line each."""
    differences: list[str] = []
    taken = 0
    with TemporaryDirectory(prefix="hisbus-play-") as folder:
        async with _running(on, Path(folder)) as site:
            intake = Intake(site, on.feed.name, Live(on.mappings))
            for step in conversation.steps:
                told = conversation.messages[taken : step.after]
                answers = [await on.feed.take(message, intake.store) for message in told]
                differs = list(acks_differ(step, taken + 1, answers))
                taken = step.after
                differs += await _compare(on, site, conversation, step)
                differences += [f"after {step.after}: {line}" for line in differs]
    return differences


def with_profile(on: Stage, over: Path) -> Stage:
    """Return a stage whose messages are read with another file of the site's laid over what ships.

    Raises:
        ConfigError: the profile is wrong.
    """
    made = connectors(on.settings)
    feed_ = _feed(made, on.feed.name)
    feed_.over = over
    return Stage(on.settings, made, mappings(made), on.hosts, feed_)


async def outcome(on: Stage, messages: Sequence[bytes], keys: Keys) -> Outcome:
    """Tell a capture to a new site; return what it knows once nothing is left to do.

    Args:
        on: what it is told to.
        messages: of the capture, in their order.
        keys: name the stays: the same name the same stay for every profile that reads its number alike.

    Raises:
        RetryLater: something did not get on.
    """
    mapping = next(one for one in on.mappings if one.connector is on.feed)
    arrivals: list[tuple[int, Arrival]] = []
    lost: dict[int, str] = {}
    with TemporaryDirectory(prefix="hisbus-try-") as folder:
        async with _running(on, Path(folder), keys) as site:
            intake = Intake(site, on.feed.name, Live(on.mappings))
            for number, message in enumerate(messages, 1):

                async def sink(arrival: Arrival, number: int = number) -> Verdict:
                    arrivals.append((number, arrival))
                    return await intake.store(arrival)

                try:
                    await on.feed.take(message, sink)
                except (ConfigError, RetryLater):
                    raise
                except Exception as bug:  # noqa: BLE001 - what the profile does to a message is what is asked
                    lost[number] = reason_code(bug)
            if late := await _settled(on, site):
                raise RetryLater(f"{', '.join(late)} did not get on for {DEADLINE_S:.0f} s. Try fewer messages.")
            return await known(site, mapping, arrivals, lost)


async def findings(site: Site) -> list[Found]:
    """Return every proposal as it stands, with its times in the zone of its stay."""
    table, stays = tables.proposals, tables.encounters
    joined = table.join(stays, stays.c.id == table.c.encounter)
    found: list[Found] = []
    async with site.database.read() as connection:
        query = select(table, stays.c.number, stays.c.timezone).select_from(joined).where(table.c.shadow.is_(False))
        query = query.order_by(table.c.opened, table.c.id)
        for row in await connection.execute(query):
            chart = await charts.chart(connection, row.encounter)
            reads = {ref.rpartition("@")[0] for ref in proposals.body(row).reads}
            numbers = [document.number for document in chart.documents if document.id in reads] if chart else []
            due = row.due.astimezone(ZoneInfo(row.timezone)) if row.due else None
            found.append(Found(row.number, row.rule, row.state, row.status, due, tuple(numbers)))
    return found


@asynccontextmanager
async def _running(on: Stage, folder: Path, keys: Keys | None = None) -> AsyncIterator[Site]:
    """Run the bus between intake and write-back on an empty site, with the agents of the stage."""
    async with AsyncExitStack() as stack:
        log = await SqliteLog.open(folder / "log.db")
        stack.push_async_callback(log.close)
        database = Database(f"sqlite:///{folder}/hisbus.db")
        stack.push_async_callback(database.close)
        async with database.write() as connection:
            await connection.run_sync(tables.metadata.create_all)
        site = Site(on.settings, keys or Keys(b"conversations"), log, database)
        app = App(on.settings, PLAYED, site=site, connectors=on.connectors, hosts=on.hosts)
        await stack.enter_async_context(app.running())
        yield site


def feed(settings: Settings, connector: str = "") -> Playable:
    """Return the connector that takes the messages.

    Raises:
        ConfigError: the configuration is wrong, or it must be said which.
    """
    return _feed(connectors(settings), connector)


def _feed(made: Sequence[Connector], name: str) -> Playable:
    able = {connector.name: connector for connector in made if isinstance(connector, Playable)}
    if name and name not in able:
        raise ConfigError(f"No connector {name!r} can play conversations. Known: {', '.join(able) or 'none'}.")
    if not name and len(able) != 1:
        raise ConfigError(f"Say with --connector which one takes the messages. Known: {', '.join(able) or 'none'}.")
    return able[name] if name else next(iter(able.values()))


async def _compare(on: Stage, site: Site, conversation: Conversation, step: Step) -> list[str]:
    if late := await _settled(on, site):
        return [f"{', '.join(late)} did not get on for {DEADLINE_S:.0f} s"]
    differs = list(findings_differ(conversation, step, await findings(site)))
    if step.duplicates is not None and (number := await _duplicates(site)) != step.duplicates:
        differs.append(f"{number} duplicates, expected {step.duplicates}")
    if step.chart is not None:
        differs += facts_differ(step.chart, await _facts(site, step.chart.visit))
    return differs


async def _settled(on: Stage, site: Site) -> list[str]:
    """Wait until nothing is left to do. Return the names of the steps that do not get there."""
    agents = [agent.name for host in on.hosts for agent in host.agents if on.settings.agent(agent.name).enabled]
    now = asyncio.get_running_loop().time
    least, deadline = None, now()
    while busy := {name: count for name, count in (await lag(site, agents)).items() if count and name != "writeback"}:
        if least is None or sum(busy.values()) < least:
            least, deadline = sum(busy.values()), now() + DEADLINE_S
        elif now() > deadline:
            return list(busy)
        await asyncio.sleep(POLL_S)
    return []


async def _duplicates(site: Site) -> int:
    row = tables.messages.c
    async with site.database.read() as connection:
        return len((await connection.scalars(select(row.id).where(row.status == "duplicate"))).all())


async def _facts(site: Site, visit: str) -> dict[str, str | int]:
    async with site.database.read() as connection:
        ids = await charts.find(connection, visit=visit)
        chart = await charts.chart(connection, ids[0]) if ids else None
    return facts_of(chart) if chart else {}
