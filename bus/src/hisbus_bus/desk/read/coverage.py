"""Which rules can judge by what this site's feeds bring, and on how many stays each thing was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk.read.unjudged import unjudged
from hisbus_bus.host.connected import lacked
from hisbus_bus.kernel import charts, coverage, rules, tables
from hisbus_bus.kernel.coverage import ANYTHING, FOUND, Said
from hisbus_bus.kernel.rules import Rule
from hisbus_schemas import Coverage, Need, Text

_row, _other = tables.coverage_stays.c, tables.coverage_stays.alias("other")
_CALLED = (
    select(_row.item, func.count(), func.count(_other.c.encounter))
    .outerjoin(_other, and_(_other.c.encounter == _row.encounter, _other.c.item == _row.item, _other.c.seen.is_(True)))
    .where(_row.seen.is_(False))
    .group_by(_row.item)
)
_SEEN = select(_row.item, func.count()).where(_row.seen.is_(True)).group_by(_row.item)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that rules need."""

    name: str
    department: str
    """Empty: the site; departments that differ from it follow."""
    connected: bool
    rules: Sequence[str] = ()
    """Those that need it, ``AGENT RULE``."""
    seen: int | None = None
    """Stays that it came on, until it was settled; of a department it is not said."""
    called: int | None = None
    """Stays that call for it; None: nothing does."""
    since: datetime | None = None
    """When that was found or said; None: it holds since nothing was said."""
    who: str = ""
    by_hand: bool = False
    """A person or the configuration said it of this item."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule, and whether it can judge."""

    rule: Rule
    here: "State"
    elsewhere: Mapping[str, "State"] = field(default_factory=dict)
    """Departments where that is otherwise."""
    unjudged: Text | None = None
    """Why the agent cannot judge by it, whatever comes; None: it can."""

    @property
    def connected(self) -> bool:
        """Tell whether what it needs comes, anywhere."""
        return self.here.judges or any(state.judges for state in self.elsewhere.values())


@dataclass(frozen=True, slots=True)
class State:
    """Whether a rule can judge."""

    judges: bool
    """With a part of it, where something is lacking."""
    lacking: Sequence[tuple[str, ...]]
    """What does not come: of each the items of which one would do."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The rules of one agent."""

    name: str
    rules: Sequence[Judged]

    @property
    def lacking(self) -> int:
        """How many are not connected, anywhere."""
        return sum(not one.connected for one in self.rules)

    @property
    def unjudged(self) -> int:
        """How many of the others cannot judge."""
        return sum(one.connected and one.unjudged is not None for one in self.rules)


async def items(connection: AsyncConnection) -> list[Item]:
    """Return everything that rules need or that something was said of, with what holds of it."""
    declared = [rule for rule in await rules.read(connection) if rule.enabled]
    said = await coverage.journal(connection)
    asked, now, hand = rules.asked(declared), coverage.told(said), coverage.by_hand(said)
    called = {item: count for item, *count in await connection.execute(_CALLED)}
    seen = {item: count for item, count in await connection.execute(_SEEN)}
    needed: dict[str, list[str]] = {item: [] for item in asked}
    for rule in declared:
        for item in rules.asked([rule]):
            needed[item].append(f"{rule.agent} {rule.rule}")
    found: list[Item] = []
    for name in sorted(needed.keys() | now.site.keys() | {item for its in now.departments.values() for item in its}):
        calls, came = called.get(name, (0, 0)) if asked.get(name) else (None, seen.get(name, 0))
        last = _deciding(said, now, name, "")
        by_hand = (name, "") in hand
        found.append(Item(name, "", now.brings(name), needed.get(name, ()), came, calls, *last, by_hand))
        for department, its in sorted(now.departments.items()):
            if name in its and its[name] != now.brings(name):
                last = _deciding(said, now, name, department)
                found.append(Item(name, department, its[name], since=last[0], who=last[1]))
    return found


async def departments(connection: AsyncConnection) -> list[str]:
    """Return the departments that the site knows: of its stays, and of its staff."""
    of_staff = select(tables.staff.c.department).where(tables.staff.c.left.is_(None)).distinct()
    named = {*await connection.scalars(of_staff), *await charts.departments_met(connection)}
    return sorted(named - {""})


async def agents(connection: AsyncConnection) -> list[Agent]:
    """Return the rules of every agent, each with what it lacks."""
    now, why = await coverage.read(connection), await unjudged(connection)
    by_agent: dict[str, list[Judged]] = {}
    for rule in await rules.read(connection):
        if not rule.enabled:
            continue
        by_agent.setdefault(rule.agent, []).append(_judged(rule, now, why.get((rule.agent, rule.rule))))
    return [Agent(name, its) for name, its in sorted(by_agent.items())]


def _judged(rule: Rule, now: Coverage, why: Text | None) -> Judged:
    here = _state(rule.needs, now, "")
    other = {department: _state(rule.needs, now, department) for department in sorted(now.departments)}
    return Judged(rule, here, {department: state for department, state in other.items() if state != here}, why)


def _state(needs: Sequence[Need], now: Coverage, department: str) -> State:
    """Return how a rule stands, with all that it lacks."""
    lacking = dict.fromkeys(items for need in needs if (items := need.lacking(now, department)))
    return State(not lacked(needs, now, department), tuple(lacking))


def _deciding(said: Sequence[Said], now: Coverage, item: str, department: str) -> tuple[datetime | None, str]:
    """Return when, and by whom, that was found or said which holds of an item."""
    hand = coverage.by_hand(said).get((item, department))
    found = [one for one in said if one.who == FOUND and one.word[:2] == (item, department)] if not now.others else []
    general = [one for one in said if one.word.item == ANYTHING]
    last = hand or next(iter((found or general)[::-1]), None)
    return (last.time, last.who) if last else (None, "")
