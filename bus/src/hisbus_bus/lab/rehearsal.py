"""Rehearsal: what a replay would change. It runs the same code on the same input, and writes nothing."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, select

from hisbus.agent import Case
from hisbus.errors import BadMessage, BusError
from hisbus.frames import AgentInfo
from hisbus_bus.flow.review.proposals import Standing
from hisbus_bus.flow.review.reconcile import reconcile
from hisbus_bus.flow.translate import raw_of
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel import charts, codes, coverage, tables
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import INTERNAL, digest
from hisbus_bus.lab import refused
from hisbus_bus.lab.replay import Original, Progress, Wanted, count, count_stays, encounters, originals, overtaken
from hisbus_mapping import Answers, Mapping
from hisbus_schemas import Assessed, Assessment, Chart, Due, Event, Fact, Moment, Position

AT_ONCE = 8
"""Calls of an agent at a time."""

FATES = {"open": "again", "not_rectified": "again", "rectified": "resolved"}
"""What is said of a proposal that stands, where review has another word for it."""


@dataclass(slots=True)
class Messages:
    """What a replay of messages would change."""

    total: int = 0
    unchanged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Were refused when they arrived and are still, by code."""
    overtaken: list[tuple[str, str]] = field(default_factory=list)
    """As ``replay.Sent`` has it."""
    gone: list[str] = field(default_factory=list)
    """Ids of messages whose originals the log no longer keeps."""
    turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages by their status, and the one that they would have."""
    changed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Ids of the messages that would change, by type."""
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind of event: how many ``appear``, ``disappear``, ``change``."""


@dataclass(slots=True)
class Judgements:
    """What another look of an agent would change."""

    stays: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Calls that failed, by reason: for these nothing would change."""
    rules: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By rule: how many would ``open``, be ``superseded``, ``resolved`` or ``withdrawn``, or be open ``again``."""


async def messages(site: Site, wanted: Wanted, progress: Progress) -> Messages:
    """Read messages with the newest mapping, and compare with the events that are stored.

    Raises:
        RetryLater: log or database are away.
    """
    found = Messages(total=await count(site, wanted))
    done = 0
    async with site.database.read() as connection:
        said = (await codes.answers(connection)).get(wanted.mapping.connector.name, {})
    async for page in originals(site, wanted):
        events = await _events(site, [original.row.message for original in page])
        for original in page:
            record = await _taken(site, wanted, original, found)
            if record is not None:
                _compare(found, wanted.mapping, said, original.row, record, events[original.row.message])
        done += len(page)
        progress(done, found.total)
    return found


async def stays(site: Site, host: AgentHost, agent: AgentInfo, *, closed: bool, progress: Progress) -> Judgements:
    """Call an agent on charts as they stand, and compare with what it has proposed.

    Raises:
        RetryLater: the database is away.
    """
    found, total = Judgements(), await count_stays(site, closed=closed)
    async for page in encounters(site, closed=closed):
        for at in range(0, len(page), AT_ONCE):
            some = [stay.id for stay in page[at : at + AT_ONCE]]
            await asyncio.gather(*(_judge(site, host, agent, id, found) for id in some))
            found.stays += len(some)
            progress(found.stays, total)
    return found


# --- messages ---------------------------------------------------------------------------------------------------------


async def _events(site: Site, ids: Sequence[str]) -> dict[str, list[Event]]:
    table, found = tables.events, defaultdict[str, list[Event]](list)
    async with site.database.read() as connection:
        for row in await connection.execute(select(table.c.message, table.c.body).where(table.c.message.in_(ids))):
            found[row.message].append(Event.model_validate_json(row.body))
    return found


async def _taken(site: Site, wanted: Wanted, original: Original, found: Messages) -> Record | None:
    """Return what would be read of a message: of one that was refused, as it is judged now. None: it would not be."""
    row, record = original.row, original.record
    if record is None:
        found.gone.append(row.id)
        return None
    if not record.headers.get("verdict"):
        return record
    examined = refused.examine(site.keys, wanted.mapping, record, row.received)
    if examined.headers is None:
        found.refused[examined.code] += 1
        return None
    async with site.database.read() as connection:
        other = "" if wanted.force else await overtaken(connection, row, examined)
    if other:
        found.overtaken.append((row.id, other))
        return None
    return replace(record, headers=examined.headers)


def _compare(
    found: Messages, mapping: Mapping, answers: Answers, row: Row[Any], record: Record, events: Sequence[Event]
) -> None:
    try:
        translation = mapping.translate(raw_of(record, row.received), answers)
    except BadMessage:
        status, moved = "parked", Counter[tuple[str, str]]()  # the events it has made before stay
    else:
        status = translation.status
        moved = _moved(events, [Fact.model_validate_json(fact.model_dump_json()) for fact in translation.facts])
    if status == row.status and not moved:
        found.unchanged += 1
        return
    found.turns[row.status, status] += 1
    found.changed[row.type].append(row.id)
    for (kind, how), number in moved.items():
        found.kinds[kind][how] += number


def _moved(before: Iterable[Fact], after: Iterable[Fact]) -> Counter[tuple[str, str]]:
    """Count, by kind and ``appear``, ``disappear`` or ``change``, how two readings of a message differ."""
    old, new = Counter(map(_said, before)), Counter(map(_said, after))
    lost, won = (Counter[str]() for _ in range(2))
    for kinds, only in ((lost, old - new), (won, new - old)):
        for (kind, _), number in only.items():
            kinds[kind] += number
    moved = Counter({(kind, "change"): number for kind, number in (lost & won).items()})
    moved.update({(kind, "disappear"): number for kind, number in (lost - won).items()})
    moved.update({(kind, "appear"): number for kind, number in (won - lost).items()})
    return moved


def _said(fact: Fact) -> tuple[str, str]:
    """Return what a fact says, without the identity that the bus stamps on it."""
    return fact.kind, fact.model_dump_json(include=set(Fact.model_fields))


# --- stays ------------------------------------------------------------------------------------------------------------


async def _judge(site: Site, host: AgentHost, agent: AgentInfo, encounter: str, found: Judgements) -> None:
    table = tables.proposals
    async with site.database.read() as connection:
        chart = await charts.chart(connection, encounter)
        wanted = (table.c.agent == agent.name, table.c.encounter == encounter, table.c.shadow.is_(False))
        standing = [Standing.of(row) for row in await connection.execute(select(table).where(*wanted))]
        covered = await coverage.read(connection)
    if chart is None:
        return
    its = site.settings.agent(agent.name)
    case = Case(_wake(agent.name, chart), chart, chart.now, settings=its.settings, coverage=covered)
    try:
        assessment = await host.assess(agent.name, case, its.deadline_s, Priority.BACKFILL)
        outcome = list(_outcome(_answer(agent, chart, assessment, covered.version), standing))
    except BusError as error:
        found.failed[error.code] += 1
        return
    for rule, how in outcome:
        found.rules[rule][how] += 1


def _answer(agent: AgentInfo, chart: Chart, assessment: Assessment, covered: int) -> Assessed:
    """Return an assessment as the wake of a replay would bring it: of the version that the wake makes."""
    return Assessed(
        id=digest("rehearsal", agent.name, chart.encounter, chart.version + 1),
        agent=agent.name,
        agent_version=agent.version,
        encounter=chart.encounter,
        version=chart.version + 1,
        event="",
        key="",
        now=chart.now,
        assessment=assessment,
        coverage=covered,
    )


def _wake(agent: str, chart: Chart) -> Event:
    """Return the event with which a replay wakes an agent."""
    due = Due(agent=agent, name="replay", due=chart.now, encounter=chart.encounter)
    message = digest("rehearsal", agent, chart.encounter)
    return Event(
        kind="timer.due",
        time=Moment(at=chart.now),
        data=due,
        id=digest(message, 1, 0),
        message=message,
        revision=1,
        ordinal=0,
        connector=INTERNAL,
        position=Position(recorded=chart.now, partition=0, offset=0),
    )


def _outcome(answer: Assessed, standing: Iterable[Standing]) -> Iterator[tuple[str, str]]:
    """Yield rule and fate of each proposal that review would touch: it is review that says which."""
    changes = reconcile(answer, standing, newer=True)
    for update in changes.updates:
        if update.told:
            yield update.row.rule, FATES.get(update.told, update.told)
    for one in changes.opens:
        yield one.proposal.rule, "open"
