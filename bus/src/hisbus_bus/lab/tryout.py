"""A capture read with a profile: what came out of each message, and what would change against the profile in use.

Places of fields, kinds, rules, numbers and words of ours; what a message says beside these is in ``values`` alone.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.connector import Arrival, Raw
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.states import Proposed
from hisbus_mapping import Mapping as Meaning
from hisbus_schemas import Chart, Fact

OURS = frozenset({"status", "patient_class", "died", "disposition", "department", "location.ward"})
"""Fields of a stay whose values are words of ours or codes."""
_ASIDE = re.compile(r"encounter|version|now|key|kind|segments|flags|data\.body|\w+\[\]\.(id|version|received|entry)")
"""Places of identities that the bus gives, of times of its own, and of what is said of a message as a whole."""

Finding = tuple[str, str, str]
"""Agent, rule and state."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an event of a message went."""

    kind: str
    encounter: str
    """Empty: to no stay."""
    flag: str
    """Why to none: ``unassigned_visit`` ...."""


@dataclass(frozen=True, slots=True)
class Message:
    """What became of a message of a capture."""

    number: int
    """In the capture, from 1."""
    type: str
    status: str
    reason: str
    flags: Sequence[str]
    facts: Sequence[Fact]
    placed: Sequence[Placed]
    left: Mapping[str, int]
    """Values that nobody read, by their place."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a site knows after a capture."""

    messages: Sequence[Message]
    charts: Mapping[str, Chart]
    """By encounter."""
    findings: Mapping[str, Counter[Finding]]
    """The open ones, by encounter."""
    failed: Mapping[str, int]
    """Calls of agents that failed, by agent and reason: what they would have found is not known."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How the reading of a message differs."""

    number: int
    type: str
    status: tuple[str, str]
    """Before, and with the profile that is tried."""
    kinds: Mapping[str, Counter[str]]
    """By kind: how many events ``appear``, ``disappear``, ``change``."""
    fields: Sequence[str]
    """Places of the event contract whose values differ, of events that change."""
    flags: tuple[Sequence[str], Sequence[str]]
    """Gone, and new."""


@dataclass(frozen=True, slots=True)
class StayMoved:
    """How a stay differs."""

    stay: str
    how: str
    """``appears``, ``disappears``, ``changes``, ``judged_otherwise``."""
    fields: Mapping[str, tuple[Any, Any]]
    """By place of the chart, before and after: words of ours, of other fields how many values there are."""
    findings: Mapping[Finding, int]
    """How many more are open; less than 0: fewer."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A capture read with a profile and with the one in use."""

    new: Outcome
    old: Outcome
    stays: Mapping[str, str] = field(init=False)
    """What a stay is called here, by encounter, in the order of its first message."""

    def __post_init__(self) -> None:
        known: dict[str, str] = {}
        for messages in zip_longest(self.new.messages, self.old.messages):
            for message in filter(None, messages):
                for placed in message.placed:
                    if placed.encounter:
                        known.setdefault(placed.encounter, f"stay {len(known) + 1}")
        for encounter in (*self.new.charts, *self.old.charts):
            known.setdefault(encounter, f"stay {len(known) + 1}")
        object.__setattr__(self, "stays", known)

    def messages_moved(self) -> Iterator[Moved]:
        """Yield the messages that are read otherwise."""
        for old, new in zip(self.old.messages, self.new.messages, strict=True):
            kinds, fields = _facts_moved(old.facts, new.facts)
            gone = [flag for flag in old.flags if flag not in new.flags]
            come = [flag for flag in new.flags if flag not in old.flags]
            if kinds or gone or come or (old.status, old.reason) != (new.status, new.reason):
                status = (old.reason or old.status, new.reason or new.status)
                yield Moved(new.number, new.type, status, kinds, fields, (gone, come))

    def stays_moved(self) -> Iterator[StayMoved]:
        """Yield the stays whose chart or findings differ."""
        for encounter, name in self.stays.items():
            old, new = self.old.charts.get(encounter), self.new.charts.get(encounter)
            fields = _charts_differ(old, new)
            found = Counter(self.new.findings.get(encounter, ()))
            found.subtract(self.old.findings.get(encounter, ()))
            findings = {finding: number for finding, number in sorted(found.items()) if number}
            how = "appears" if old is None else "disappears" if new is None else "changes" if fields else ""
            if old is not new and (how or findings):
                yield StayMoved(name, how or "judged_otherwise", fields if old and new else {}, findings)


async def known(
    site: Site, meaning: Meaning, arrivals: Sequence[tuple[int, Arrival]], lost: Mapping[int, str]
) -> Outcome:
    """Return what a site knows of messages that it has read.

    Args:
        site: it has read them.
        meaning: of the connector that took them.
        arrivals: the messages, each with its number in the capture.
        lost: why a message could not be stored, by its number.
    """
    row, event = tables.messages.c, tables.events.c
    copies, placed = defaultdict[str, list[Any]](list), defaultdict[str, list[Placed]](list)
    async with site.database.read() as connection:
        for one in await connection.execute(select(tables.messages).order_by(row.received, row.offset)):
            copies[one.message].append(one)
        events = select(event.message, event.kind, event.encounter, event.flag).order_by(event.order)
        for one in await connection.execute(events):
            placed[one.message].append(Placed(one.kind, one.encounter or "", one.flag))
        stays = await charts.charts(connection, (await connection.scalars(select(tables.encounters.c.id))).all())
        found, failed = await _found(connection)
    messages: list[Message] = []
    for number, arrival in arrivals:
        if number in lost:
            messages.append(Message(number, arrival.type, "not_taken", lost[number], (), (), (), {}))
            continue
        its = copies[arrival.id].pop(0)
        facts, left = _read(meaning, arrival) if its.first else ((), {})
        went = placed[arrival.id] if its.first else []
        messages.append(Message(number, arrival.type, its.status, its.reason, json.loads(its.flags), facts, went, left))
    return Outcome(messages, stays, found, failed)


async def _found(connection: AsyncConnection) -> tuple[dict[str, Counter[Finding]], dict[str, int]]:
    """Return the open findings by stay, and how many calls of each agent failed."""
    proposal, parked = tables.proposals.c, tables.parked.c
    found = defaultdict[str, Counter[Finding]](Counter)
    live = proposal.status == Proposed.OPEN, proposal.shadow.is_(False)
    for one in await connection.execute(select(tables.proposals).where(*live)):
        found[one.encounter][one.agent, one.rule, one.state] += 1
    failed = Counter(await connection.scalars(select(parked.step).where(parked.step.startswith("dispatch."))))
    return found, {step.removeprefix("dispatch."): number for step, number in failed.items()}


def _read(meaning: Meaning, arrival: Arrival) -> tuple[Sequence[Fact], Mapping[str, int]]:
    """Return what a message says, and how many values of it nobody read, by their place."""
    judged = meaning.judge(arrival)
    if judged.code:
        return [], {}
    raw = Raw(arrival.id, arrival.body, arrival.received, arrival.control_id, arrival.type, judged.flags)
    try:
        translation = meaning.translate(raw)
    except Exception:  # noqa: BLE001 - the step that reads was stopped by the same, and its reason is told
        return [], {}
    return translation.facts, translation.count().unread


def filled(fact: Fact) -> list[str]:
    """Return the places of the event contract that a fact fills."""
    return list(dict.fromkeys(place for place, _ in values(fact)))


def values(said: Fact | Chart) -> Iterator[tuple[str, str]]:
    """Yield place and value of everything that is said; entries of a list have one place."""
    yield from _flat(said.model_dump(mode="json", exclude_none=True), "")


def entries(fact: Fact) -> dict[str, int]:
    """Return how many entries each list of a fact holds."""
    data = dict(fact.data) if fact.data is not None else {}
    return {name: len(value) for name, value in data.items() if isinstance(value, (list, dict)) and value}


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if "at" in value and "precision" in value:  # a time is one value
            yield place, str(value["at"])
            return
        for key, one in value.items():
            at = f"{place}.{key}" if place else key
            if _ASIDE.fullmatch(at) is None:
                yield from _flat(one, at)
    elif isinstance(value, list):
        for one in value:
            yield from _flat(one, f"{place}[]")
    elif value not in ("", None, False):
        yield place, value if isinstance(value, str) else json.dumps(value)


def _facts_moved(old: Sequence[Fact], new: Sequence[Fact]) -> tuple[dict[str, Counter[str]], list[str]]:
    """Compare what two readings of a message say, kind by kind; those that only one has are paired in their order."""
    kinds: dict[str, Counter[str]] = {}
    fields: dict[str, None] = {}
    for kind in dict.fromkeys(fact.kind for fact in (*old, *new)):
        before = [sorted(values(fact)) for fact in old if fact.kind == kind]
        after = [sorted(values(fact)) for fact in new if fact.kind == kind]
        same = [one for one in before if one in after]
        for one in same:
            if one in before and one in after:
                before.remove(one)
                after.remove(one)
        changed = min(len(before), len(after))
        moved = {"change": changed, "disappear": len(before) - changed, "appear": len(after) - changed}
        if any(moved.values()):
            kinds[kind] = Counter({how: number for how, number in moved.items() if number})
        for one, other in zip(before, after, strict=False):
            fields |= dict.fromkeys(_places_apart(one, other))
    return kinds, list(fields)


def _charts_differ(old: Chart | None, new: Chart | None) -> dict[str, tuple[Any, Any]]:
    before, after = ([] if chart is None else sorted(values(chart)) for chart in (old, new))
    differ: dict[str, tuple[Any, Any]] = {}
    for place in _places_apart(before, after):
        one, other = ([value for at, value in values_ if at == place] for values_ in (before, after))
        known = place in OURS
        differ[place] = (", ".join(one), ", ".join(other)) if known else (len(one), len(other))
    return differ


def _places_apart(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> list[str]:
    """Return the places whose values differ, whatever their order."""
    apart = (Counter(old) - Counter(new)) + (Counter(new) - Counter(old))
    return sorted({place for place, _ in apart})
