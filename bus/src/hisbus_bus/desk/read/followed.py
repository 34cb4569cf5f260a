"""A message followed event by event: to which stay, to which agents, to which rules; or why not."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import from_json
from sqlalchemy import Row, Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.process import ELSEWHERE, AgentState
from hisbus_bus.desk.read.messages import Copy
from hisbus_bus.desk.read.traces import rests_on
from hisbus_bus.desk.read.work import CIRCULAR
from hisbus_bus.flow.lag import lag
from hisbus_bus.flow.review import notes
from hisbus_bus.kernel import charts, codes, controls, tables
from hisbus_bus.kernel.bulk import given, within
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Proposed
from hisbus_schemas import Event, Moment, Text

Called = Literal["called", "seen_later", "not_wanted", "backfill", "disabled", "paused", "parked", "waiting"]
"""Of an agent. ``seen_later``: it does not ask for this kind of event, and has read it with a later call. ``backfill``:
nothing of the stay came as it happened, and no agent is called for it."""
Judged = Literal["found", "clean", "not_evaluated"]

OFFERED = 20
"""Most stays that a person is offered for a message."""
_WAITS, _OF_PATIENT = "waits_for_stay", "of_patient"
_NOBODYS_WORK = frozenset({_WAITS, _OF_PATIENT, CIRCULAR})

_event, _head, _release = tables.events.c, tables.assessment_heads.c, tables.releases.c
_said, _stay, _patient, _taken = tables.proposals.c, tables.encounters.c, tables.patients.c, tables.charted_messages.c
_newer, _hand = tables.releases.alias("newer"), tables.charted_messages.alias("hand")
_EVENTS: Select[Any] = select(
    _event.id, _event.kind, _event.encounter, _event.hand, _event.flag, _event.patient, _event.body
).where(_event.message == bindparam("its"))
_CHARTED: Select[Any] = (
    select(_taken.revision, _taken.outputs, _taken.hand, _hand.c.outputs.label("by_hand"))
    .select_from(tables.charted_messages.outerjoin(_hand, _hand.c.message == _taken.hand_by))
    .where(_taken.message == bindparam("its"))
)
_PAST = select(_stay.id).where(within(_stay.id, given("ids")), charts.of_backfill())
_HEADS = select(tables.assessment_heads).where(within(_head.encounter, given("ids")), _head.shadow.is_(False))
_NOT_CLOSED = [_said.status != status for status in sorted(Proposed.CLOSED)]
_SAID = (
    select(tables.proposals)
    .where(within(_said.encounter, given("ids")), _said.shadow.is_(False), *_NOT_CLOSED)
    .order_by(_said.opened, _said.id)
)
_PARKED = select(tables.parked.c.id, tables.parked.c.step, tables.parked.c.encounter, tables.parked.c.reason).where(
    within(tables.parked.c.encounter, given("ids")), tables.parked.c.status == "parked"
)
_DECLARED = select(_release.name, _release.content).where(
    _release.kind == "agent",
    _release.created
    == select(func.max(_newer.c.created))
    .where(_newer.c.kind == "agent", _newer.c.name == _release.name)
    .scalar_subquery(),
)
_OPEN = (
    select(tables.codes.c.id, tables.codes.c.table, tables.codes.c.item)
    .select_from(tables.lookups.join(tables.codes, tables.codes.c.id == tables.lookups.c.code))
    .where(tables.lookups.c.message == bindparam("its"), tables.lookups.c.answer == "", codes.standing() == "")
    .order_by(tables.codes.c.table, tables.codes.c.id)
)
_ROOTS = select(_patient.survivor).where(within(_patient.id, given("ids")))
_OFFERED: Select[Any] = (
    select(_stay.id, _stay.number, _stay.counter, _stay.status, _stay.stay)
    .where(_stay.patient.in_(_ROOTS), _stay.version > 0)
    .order_by(_stay.now.desc(), _stay.id)
    .limit(OFFERED)
)


class EventWay(BaseModel):
    """Where one event of a message went."""

    event: str
    kind: str
    time: datetime
    encounter: str | None
    """The stay that holds it."""
    reason: str
    """Why none does: ``unassigned_visit``, ``visit_not_registered``, ``visit_of_another_patient``,
    ``visit_number_reused`` or ``circular_merge``; ``of_patient``: it is about the patient, in all stays;
    ``waits_for_stay``: it waits for the patient's next."""
    by_hand: bool
    """A person gave it to that stay."""


class UnknownWay(BaseModel):
    """A code of a message that no table knows and nobody has answered."""

    id: str
    table: str
    item: str
    """What is not judged while it is open."""


class RuleWay(BaseModel):
    """What one rule makes of the stay as the agent read it."""

    rule: str
    judged: Judged
    reason: str = ""
    """``not_evaluated``: ``unknown_code``, ``not_connected``, ``class``, ``model`` or ``other``."""
    item: str = ""
    text: Text | None = None
    proposals: list[str] = []
    rests_on_it: bool = False
    """One of these rests on what this very message said."""


class AgentWay(BaseModel):
    """Whether an agent was called with what the message says, or why not."""

    agent: str
    called: Called
    reason: str = ""
    """``parked``, ``paused``, ``waiting``: why, as a stable code."""
    version: int | None = None
    """Of the chart that it has read last."""
    behind: int | None = None
    """``waiting``: how many records wait for it."""
    parked: str | None = None
    """The parked call."""
    rules: list[RuleWay] = []


class StayWay(BaseModel):
    """A stay that holds events of the message."""

    encounter: str
    version: int
    """Of the chart with the message in it."""
    agents: list[AgentWay]


class Way(BaseModel):
    """A message followed."""

    waits: str = ""
    """The step that has not read it yet: ``translate`` or ``chart``."""
    events: list[EventWay] = []
    unknown: list[UnknownWay] = []
    stays: list[StayWay] = []
    given: str | None = None
    """The stay to which a person gave the message."""

    @property
    def homeless(self) -> bool:
        """Tell whether it says something that no stay holds, and that a person can give to one."""
        return any(one.encounter is None and one.reason not in _NOBODYS_WORK for one in self.events)


@dataclass(frozen=True, slots=True)
class Offered:
    """A stay of a message's patients."""

    id: str
    visit: str
    status: str
    ward: str
    department: str
    admitted: Moment | None
    discharged: Moment | None


@dataclass(slots=True)
class _Known:
    """What the database holds of a message and its stays."""

    events: list[Row[Any]] = field(default_factory=list)
    versions: dict[str, tuple[int, set[str]]] = field(default_factory=dict)
    """By stay: the version with the message in it, and the kinds that agents are woken by."""
    past: frozenset[str] = frozenset()
    """The stays of backfill."""
    heads: dict[tuple[str, str], Row[Any]] = field(default_factory=dict)
    said: dict[tuple[str, str], list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    parked: dict[tuple[str, str], Row[Any]] = field(default_factory=dict)
    kinds: dict[str, frozenset[str]] = field(default_factory=dict)
    """By agent: what it asked to be woken by, as it was heard last."""
    held: dict[str, str] = field(default_factory=dict)
    """By target: what an operator asked of it, where that is not to run."""


async def of_message(site: Site, copy: Copy, agents: Sequence[AgentState]) -> Way:
    """Follow a message from what was read in it to the rules. What was not translated waits."""
    way = Way()
    if copy.status == "stored":
        way.waits = "translate"
        return way
    async with site.database.read() as connection:
        known = await _known(connection, copy, way)
    way.events = [_event_way(row) for row in known.events]
    way.stays = [
        StayWay(
            encounter=id, version=version, agents=[_agent(site, known, id, one) for one in _names(known, id, agents)]
        )
        for id, (version, _) in sorted(known.versions.items())
    ]
    await _behind(site, way, {one.name: one for one in agents})
    return way


async def offered(site: Site, copy: Copy) -> list[Offered]:
    """Return the stays of a message's patients, the latest active first: one of them may be meant."""
    its = select(_event.patient).where(_event.message == copy.message, _event.patient.is_not(None))
    async with site.database.read() as connection:
        ids = sorted(set(await connection.scalars(its)))
        rows = (await connection.execute(_OFFERED, {"ids": ids})).all()
    return [_offered(row) for row in rows]


async def _known(connection: AsyncConnection, copy: Copy, way: Way) -> _Known:
    its, known = {"its": copy.message}, _Known()
    rows = (await connection.execute(_EVENTS, its)).all()
    known.events = sorted(rows, key=lambda row: from_json(row.body)["ordinal"])
    way.unknown = [UnknownWay(**row._mapping) for row in await connection.execute(_OPEN, its)]
    taken = (await connection.execute(_CHARTED, its)).one_or_none()
    if taken is None or not taken.revision:
        way.waits = "chart" if copy.status in {"mapped", "unmapped", "not_production"} else ""
    way.given = taken.hand if taken is not None else None
    stays = {"ids": sorted({row.encounter for row in rows if row.encounter})}
    known.versions = await _versions(connection, known.events, taken, stays)
    known.past = frozenset(await connection.scalars(_PAST, stays))
    for row in await connection.execute(_HEADS, stays):
        known.heads[row.encounter, row.agent] = row
    for row in await connection.execute(_SAID, stays):
        known.said[row.encounter, row.agent].append(row)
    for row in await connection.execute(_PARKED, stays):
        known.parked[row.encounter, row.step] = row
    for row in await connection.execute(_DECLARED):
        known.kinds[row.name] = frozenset(from_json(row.content)["agent"]["kinds"])
    known.held = {one.target: one.wanted for one in await controls.read(connection) if one.wanted != "run"}
    return known


async def _versions(
    connection: AsyncConnection, events: Iterable[Row[Any]], taken: Row[Any] | None, stays: Mapping[str, list[str]]
) -> dict[str, tuple[int, set[str]]]:
    """Return of each stay the version that the message made, with its kinds.

    Where a merge or another admission brought the event there later, nothing names that version: the present has it.
    """
    made: dict[str, tuple[int, set[str]]] = {}
    appended = [one for text in (taken.outputs, taken.by_hand) if text for one in from_json(text)] if taken else []
    for one in appended:
        version, kinds = made.get(one["encounter"], (0, set()))
        made[one["encounter"]] = max(version, one["version"]), kinds | {one["kind"]}
    now = select(_stay.id, _stay.version).where(within(_stay.id, given("ids")))
    present = {row.id: row.version for row in await connection.execute(now, stays)}
    kinds_of: dict[str, set[str]] = defaultdict(set)
    for row in events:
        if row.encounter:
            kinds_of[row.encounter].add(row.kind)
    return {id: made.get(id, (version, kinds_of[id])) for id, version in present.items()}


def _event_way(row: Row[Any]) -> EventWay:
    event = Event.model_validate_json(row.body)
    reason = row.flag
    if row.encounter is None and not reason:
        reason = _OF_PATIENT if row.kind.startswith("patient.") else _WAITS
    by_hand = row.encounter is not None and row.hand == row.encounter
    way = {"event": row.id, "kind": row.kind, "time": event.time.at, "encounter": row.encounter}
    return EventWay(**way, reason=reason, by_hand=by_hand)


def _names(known: _Known, stay: str, agents: Iterable[AgentState]) -> list[str]:
    """Return the agents that could say something of a stay: those of this process, else all that were ever heard."""
    here = {one.name for one in agents if one.status != ELSEWHERE}
    heard = {agent for encounter, agent in known.heads if encounter == stay}
    return sorted((here or set(known.kinds)) | heard)


def _agent(site: Site, known: _Known, stay: str, name: str) -> AgentWay:
    version, kinds = known.versions[stay]
    head = known.heads.get((stay, name))
    wanted = name not in known.kinds or bool(kinds & known.kinds[name])
    way = AgentWay(agent=name, called="waiting", version=head.version if head else None)
    if head is not None and head.version >= version:
        way.called = "called" if wanted else "seen_later"
        way.rules = _rules(head, known.said[stay, name], {row.id for row in known.events})
    elif not site.settings.agent(name).enabled:
        way.called = "disabled"
    elif row := known.parked.get((stay, f"dispatch.{name}")):
        way.called, way.reason, way.parked = "parked", row.reason, row.id
    elif stay in known.past:
        way.called = "backfill"
    elif not wanted:
        way.called = "not_wanted"
    elif held := known.held.get(f"agent:{name}") or known.held.get("step:dispatch"):
        way.called, way.reason = "paused", held
    return way


def _rules(head: Row[Any], said: Iterable[Row[Any]], made: Collection[str]) -> list[RuleWay]:
    """Return what came of each rule: what was found, then what was not evaluated, then what is clean."""
    found: dict[str, RuleWay] = {}
    for row in said:
        its = found.setdefault(row.rule, RuleWay(rule=row.rule, judged="found"))
        its.proposals.append(row.id)
        its.rests_on_it |= row.event in made or rests_on(row, set(made))
    noted = notes.Notes.model_validate_json(head.notes).unevaluated if head.notes else []
    left = [
        RuleWay(rule=one.rule, judged="not_evaluated", reason=one.reason, item=one.item, text=one.text)
        for one in sorted(noted, key=lambda one: one.rule)
        if one.rule not in found
    ]
    clean = sorted({*from_json(head.evaluated)} - found.keys() - {one.rule for one in left})
    return [*(found[rule] for rule in sorted(found)), *left, *(RuleWay(rule=rule, judged="clean") for rule in clean)]


async def _behind(site: Site, way: Way, agents: Mapping[str, AgentState]) -> None:
    """Say of those who wait for how much, and for what."""
    waiting = [one for stay in way.stays for one in stay.agents if one.called == "waiting"]
    if not waiting:
        return
    behind = await lag(site, sorted({one.agent for one in waiting}))
    for one in waiting:
        state = agents.get(one.agent)
        one.behind = behind[f"dispatch.{one.agent}"] + behind["review"]
        one.reason = (state.reason or state.waits_for) if state else ""


def _offered(row: Row[Any]) -> Offered:
    said = from_json(row.stay)
    day = {name: Moment.model_validate(said[name]) if said.get(name) else None for name in ("admitted", "discharged")}
    visit = f"{row.number} / {row.counter}" if row.counter else row.number
    place = {"ward": (said.get("location") or {}).get("ward", ""), "department": said.get("department") or ""}
    return Offered(
        id=row.id, visit=visit, status=row.status, **place, admitted=day["admitted"], discharged=day["discharged"]
    )
