"""The dispatch step: hands charts to one agent and its answers on. One consumer group for each agent."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from pydantic_core import from_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import RetryLater
from hisbus.frames import AgentInfo
from hisbus_bus.host.agents import UNHEARD, Host
from hisbus_bus.host.calls import StoredCase
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel import changed, charts, coverage, parked, releases, rules, tables, wakes
from hisbus_bus.kernel.consumer import BATCH_SIZE, Batch
from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_bus.kernel.reading import Asked, Found, Reading
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import ALL, BACKFILL, ENDS, Name, digest
from hisbus_schemas import PROPOSALS, Assessed, Assessment, Charted

FIRST_LOOK = "first_look"
"""Name of the wake with which a new agent sees the stays that are already there."""
LOOKS_BACK = (FIRST_LOOK, "replay")
"""How the names of wakes begin that nothing new at the patient has caused."""


class Seen(NamedTuple):
    """What the agent is called for."""

    record: Charted
    case: StoredCase
    since: int
    """Where it stands for older events, the version that the first made; 0: it stands for itself."""
    depth: int
    """How deep news of what it changes would be."""


class Dispatch:
    """Calls one agent for every chart that concerns it. It has no tables: answers are appended, nothing is kept.

    What the agent goes by is registered as a release before anything is said of it.
    """

    topic: Name = "charted"
    start = "end"
    stores = False

    def __init__(
        self,
        site: Site,
        host: Host,
        info: AgentInfo,
        others: Collection[AgentInfo] = (),
        goes_by: Collection[str] = (),
        reading: Reading | None = None,
    ) -> None:
        """Take one agent of a host.

        Args:
            site: the site.
            host: whoever calls it.
            info: what it declares.
            others: the site's other agents; those are told that asked for news of its proposals.
            goes_by: the rules that it goes by under its settings; empty: not known.
            reading: what all agents of the process read with; None: this one reads alone.
        """
        self.name = f"dispatch.{info.name}"
        self.group = site.group(self.name)
        self._agent = site.settings.agent(info.name)
        self.latest_only = info.latest_only if self._agent.latest_only is None else self._agent.latest_only
        # What a batch has asked the model is lost with the process: no more than the server answers at a time.
        self.batch_size = site.settings.llm.concurrency if info.asks and site.settings.llm.url else BATCH_SIZE
        self._site = site
        self._host = host
        self._info = info
        self._heard = any(changed.KIND in other.kinds and other.name != info.name for other in others)
        self._goes_by: tuple[AgentInfo, str] | None = None
        self._goes_by_rules = goes_by
        self._reading = reading or Reading(site.database)
        self._hears = [word.removesuffix("s") for word in PROPOSALS if word in info.grants]

    def wants(self, record: Record) -> bool:
        """Take what is bound for this agent alone, and of the rest the kinds that it asked for; never its own news.

        Nothing of a stay of backfill. The record with which one goes on is for every agent: the kinds that it asked for
        may all lie before.
        """
        backfill = record.headers.get(BACKFILL)
        if backfill == ALL or record.headers.get("by") == self._info.name:
            return False
        bound_for, kind = record.headers.get("agent", ""), record.headers.get("kind")
        if kind == coverage.KIND and self._declared.needs:
            return True
        return bound_for == self._info.name if bound_for else backfill == ENDS or kind in self._info.kinds

    async def handle(self, batch: Batch) -> None:
        """Call the agent for every record at once and append its answers; all or none."""
        release = await self._release()
        seen, answered = await self._read(_together(batch), release)
        answers = await asyncio.gather(*(self._assess(one) for one in seen), return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            # A failed call must come to be alone; what only has to wait would hide it for ever.
            raise next((failure for failure in failures if not isinstance(failure, RetryLater)), failures[0])
        release = await self._release()  # a service that is elsewhere may have come, or changed, in the meantime
        await self._site.log.append(
            [
                self._record(one, answer, release)
                for one, answer in zip(seen, answers, strict=True)
                if isinstance(answer, Assessment)
            ]
        )
        await self._close_parked(answered)

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note nothing: the parked row says it all, and a newer success closes it."""

    async def first_look(self) -> None:
        """Give a new agent its place: behind what is charted now, after one wake for every stay that is not closed.

        To be awaited before the consumer starts. A second time, or after a crash in the middle, it does no harm.
        """
        await self._release()
        if await self._site.log.committed(self.topic, self.group):
            return
        # The end is read before the stays: what is charted in between is then delivered, at worst twice.
        ends = await self._site.log.ends(self.topic)
        async with self._site.database.write() as connection:
            rows = tables.encounters.c
            said = select(rows.id, rows.now, rows.key, rows.lanes)
            open_stays = said.where(rows.status.in_(charts.OPEN), ~charts.of_backfill()).order_by(rows.id)
            stays = await connection.execute(open_stays)
            look = partial(wakes.Wake, self._info.name)
            looks = [look(stay.id, FIRST_LOOK, stay.now, stay.key, stay.lanes) for stay in stays]
            await wakes.send(connection, self._site, self.name, looks)
        await self._site.log.place(self.topic, self.group, ends)

    async def _release(self) -> str:
        """Return the release that the agent goes by now; empty while it was never heard."""
        info = self._declared
        if info.version == UNHEARD:
            return ""
        if self._goes_by is None or (self._goes_by[0] is not info and self._goes_by[0] != info):
            release = await asyncio.to_thread(releases.of_agent, info, self._agent.settings)
            async with self._site.database.write() as connection:
                await releases.register(connection, release, author=f"step:{self.name}", made_from="start")
                await rules.keep(connection, info, self._goes_by_rules)
            self._goes_by = info, release.id
        return self._goes_by[1]

    async def _read(self, together: Sequence[Sequence[Charted]], release: str) -> tuple[list[Seen], set[str]]:
        """Return the charts that there are, and of their stays those with a parked call of this agent.

        Without those that a replay has made backfill since.
        """
        stays = {newest.encounter for newest, *_ in together}
        events = {one.event for newest, *older in together for one in (newest, *filter(_is_news, older))}
        found = await self._reading.read(Asked(stays, events, self._hears))
        # A stay that is not there is no more, and with it what could be said of it.
        known = [said for said in together if said[0].encounter in found.charts]
        if any(found.charts[newest.encounter].version < newest.version for newest, *_ in known):
            raise RetryLater("The chart is behind its topic: it is being restored.", code="chart_behind")
        seen = [
            Seen(said[0], self._case(said[0], found, release), _since(said), _depth(said, found.events))
            for said in known
            if not found.charts[said[0].encounter].backfill
        ]
        return seen, {stay for step, stay in found.parked if step == self.name and stay in stays}

    def _case(self, record: Charted, found: Found, release: str) -> StoredCase:
        said = found.said(record.encounter, self._info.name, self._hears)
        chart = found.charts[record.encounter]
        return StoredCase(found.events.get(record.event), chart, said, release, found.coverage)

    async def _assess(self, one: Seen) -> Assessment:
        priority = Priority.BACKFILL if _looks_back(one.record, one.case) else Priority.LIVE
        return await self._host.assess(self._info.name, one.case, self._agent.deadline_s, priority)

    @property
    def _declared(self) -> AgentInfo:
        """What answers now: a remote agent's service changes its own version."""
        return next(agent for agent in self._host.agents if agent.name == self._info.name)

    def _record(self, one: Seen, assessment: Assessment, release: str) -> NewRecord:
        record, chart = one.record, one.case.chart
        assessed = Assessed(
            id=digest("assessed", self._info.name, record.id),
            agent=self._info.name,
            agent_version=self._declared.version,
            encounter=chart.encounter,
            version=chart.version,
            event=record.event,
            key=chart.key,
            now=chart.now,
            assessment=assessment,
            release=release,
            coverage=one.case.coverage.version,
            since=one.since,
        )
        headers = self._site.headers(
            id=assessed.id,
            type="encounter.assessed",
            source=self.name,
            time=chart.now,
            correlation=chart.encounter,
            causation=record.id,
            agent=self._info.name,
            **self._announced(one.depth),
        )
        return NewRecord("assessments", chart.encounter, assessed.model_dump_json().encode(), headers, assessed)

    def _announced(self, depth: int) -> dict[str, str]:
        """Return the header that asks review to tell of changes; none where nobody would hear, or it is deep enough."""
        return {changed.ANNOUNCE: str(depth)} if self._heard and depth <= changed.DEEPEST else {}

    async def _close_parked(self, encounters: set[str]) -> None:
        if not encounters:
            return
        async with self._site.database.write() as connection:
            for encounter in sorted(encounters):
                await parked.close(connection, step=self.name, encounter=encounter)


def _together(batch: Batch) -> list[list[Charted]]:
    """Return what to call the agent for, each with the older records for which it stands, the newest first.

    It goes by the version, for a chart step that was killed appends older ones once more.
    """
    said = ([one.read(Charted) for one in (record, *batch.covered.get(record.key, ()))] for record in batch.records)
    return [sorted(each, key=lambda one: one.version, reverse=True) for each in said]


def _since(together: Sequence[Charted]) -> int:
    return together[-1].version if len(together) > 1 else 0


def _is_news(record: Charted) -> bool:
    return record.kind == changed.KIND


def _depth(together: Sequence[Charted], events: Mapping[str, str]) -> int:
    """Return how deep news of the answer would be: one deeper than all that it answers, where that is news alone."""
    if not all(map(_is_news, together)):
        return 1
    depths = (from_json(events[one.event])["data"]["depth"] for one in together if one.event in events)
    return 1 + min(depths, default=0)


def _looks_back(record: Charted, case: StoredCase) -> bool:
    """Tell whether an agent is called for what is there already: its questions to the model give way to the others."""
    if record.kind == coverage.KIND:
        return True
    if record.kind != "timer.due" or case.event is None:
        return False
    data = from_json(case.event).get("data") or {}
    return str(data.get("name", "")).startswith(LOOKS_BACK)
