"""Counting what stays bring of what rules need, until that is settled. With ``default = "connected"`` nothing is.

A row says that an item came on a stay, or that a fact of the stay called for it. What is settled gets no more rows.
Whether something else is settled or asked after by now is read once a second, and again before anything is written.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from pydantic_core import from_json
from sqlalchemy import and_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.chart import brings, observed
from hisbus_bus.flow.chart.entries import Slot
from hisbus_bus.flow.chart.observed import Count, Limits
from hisbus_bus.flow.chart.store import Encounter, Patient
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_bus.kernel.bulk import Rows, given, within, write
from hisbus_bus.kernel.coverage import FOUND, Said, State, Word
from hisbus_bus.kernel.hot import Hot, ask
from hisbus_bus.kernel.site import Site
from hisbus_schemas import ChartProcedure

LOOK_S = 1.0
"""How long what was read of the journal is gone by, seconds."""
REMEMBERED = 2000
"""Stays of which is remembered what was counted on them; of others it is read."""

_row, _needed = tables.coverage_stays.c, tables.coverage_stays.alias("needed")
_STAMPS = Hot(
    select(
        select(func.coalesce(func.max(tables.coverage.c.id), 0)).scalar_subquery(),
        select(func.max(tables.agent_rules.c.changed)).scalar_subquery(),
    )
)
_KNOWN = Hot(select(_row.encounter, _row.item, _row.seen).where(within(_row.encounter, given("ids"))))
_OPERATIONS = Hot(
    select(tables.entries.c.encounter, tables.entries.c.body).where(
        within(tables.entries.c.encounter, given("ids")), tables.entries.c.part == "procedures"
    )
)
_SEEN = Hot(
    select(_row.item, func.count()).where(within(_row.item, given("items")), _row.seen.is_(True)).group_by(_row.item)
)
_UNCALLED = Hot(
    select(_row.item, _row.department, literal(0), func.count())
    .where(within(_row.item, given("items")), _row.seen.is_(True))
    .group_by(_row.item, _row.department)
)
_called = (
    select(_needed.c.item, _needed.c.department, func.count(), func.count(_row.encounter))
    .select_from(
        _needed.outerjoin(
            tables.coverage_stays,
            and_(_row.encounter == _needed.c.encounter, _row.item == _needed.c.item, _row.seen.is_(True)),
        )
    )
    .where(within(_needed.c.item, given("items")), _needed.c.seen.is_(False))
    .group_by(_needed.c.item, _needed.c.department)
)
_CALLED, _CALLED_IN = Hot(_called), Hot(_called.where(within(_needed.c.department, given("departments"))))


Shown = tuple[Encounter, Mapping[str, Any], Mapping[str, Any]]
"""A stay, its own fields, and the patient that it shows."""


@dataclass(slots=True)
class Known:
    """What was counted on a stay."""

    seen: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    operated: bool = False


class Standing:
    """What is asked after, and what is settled of it."""

    def __init__(self, asked: Mapping[str, frozenset[str]], said: Sequence[Said]) -> None:
        """Take the items with what calls for each, and the journal."""
        self.asked = asked
        self.found: dict[str, dict[str, State]] = {item: {} for item in asked}
        for word, who, *_ in said:
            if who == FOUND:
                self.found.setdefault(word.item, {})[word.department] = word.state
        self._by_hand = coverage.by_hand(said).keys()
        self._pending: dict[str, frozenset[str]] = {}

    def pending(self, department: str) -> frozenset[str]:
        """Return what is still to be counted on a department's stays."""
        if department not in self._pending:
            self._pending[department] = frozenset(item for item in self.asked if not self._settled(item, department))
        return self._pending[department]

    def may_lack(self, item: str, department: str) -> bool:
        """Tell whether a department goes by the site until enough of its stays call for the item."""
        found = self.found[item]
        return found.get("") == "connected" and found.get(department, "observed") == "observed"

    def _settled(self, item: str, department: str) -> bool:
        if (item, "") in self._by_hand or (item, department) in self._by_hand:
            return True
        found = self.found[item]
        if found.get("") != "connected":
            return False
        return not (self.asked[item] and department) or found.get(department) == "connected"


@dataclass(frozen=True, slots=True)
class _New:
    encounter: str
    department: str
    seen: frozenset[str]
    needed: frozenset[str]
    operated: bool
    before: Known


class Counting:
    """Counts, within the transactions of the chart step, behind all that they write."""

    def __init__(self, site: Site) -> None:
        its = site.settings.coverage
        self._on = its.default == "observed"
        self._limits = Limits(its.stays, its.share)
        self._head = site.headers
        self._stamps: tuple[int, datetime | None] | None = None
        self._standing = Standing({}, [])
        self._looks_again = 0.0
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._under_way: list[_New] = []

    async def uncounted(
        self, connection: AsyncConnection, stays: Iterable[tuple[Encounter, Patient | None]]
    ) -> list[Shown]:
        """Return those stays of which something is to be counted still.

        Args:
            connection: of the transaction.
            stays: those that it has changed, locked, each with its patient.
        """
        self._under_way = []
        if not self._on:
            return []
        if monotonic() >= self._looks_again:
            await self._follow(connection)
        known = ((stay, from_json(stay.stay), patient) for stay, patient in stays if stay.version)
        return [
            (stay, said, from_json(patient.shown) if patient else {})
            for stay, said, patient in known
            if self._standing.pending(said.get("department", ""))
        ]

    async def count(
        self, connection: AsyncConnection, shown: Sequence[Shown], slots: Iterable[tuple[str, Slot]]
    ) -> None:
        """Count what stays have brought, and say what is settled by it. Everything else must be written by then.

        Args:
            connection: of the transaction.
            shown: what is ``uncounted``.
            slots: the entries that it has written, each with its encounter.
        """
        if not shown:
            return
        entries: dict[str, list[Slot]] = {stay.id: [] for stay, *_ in shown}
        for encounter, slot in slots:
            if encounter in entries:
                entries[encounter].append(slot)
        await self._recall(connection, [stay.id for stay, *_ in shown if stay.id not in self._known])
        found = (self._new(stay, said, patient, entries[stay.id]) for stay, said, patient in shown)
        self._under_way = [new for new in found if new is not None]
        if any(new.seen or new.needed for new in self._under_way):
            await self._enter(connection, self._under_way)

    def committed(self) -> None:
        """Remember what was counted, now that it is stored."""
        for new in self._under_way:
            known = self._known.setdefault(new.encounter, Known())
            self._known.move_to_end(new.encounter)
            known.seen |= new.seen
            known.needed |= new.needed
            known.operated |= new.operated
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._under_way = []

    async def _follow(self, connection: AsyncConnection) -> None:
        """Take in what agents ask after by now, and what was said of it."""
        self._looks_again = monotonic() + LOOK_S
        [(stored, changed)] = await _STAMPS.rows(connection)
        if (stored, changed) != self._stamps:
            asked = rules.asked(await rules.read(connection))
            self._standing = Standing(asked, await coverage.journal(connection))
            self._stamps = stored, changed
            self._known.clear()  # what was not asked after was not looked for

    async def _recall(self, connection: AsyncConnection, encounters: list[str]) -> None:
        """Read what was counted on stays before."""
        if not encounters:
            return
        ids = sorted(encounters)
        known = {encounter: Known() for encounter in encounters}
        counted, operations = await ask(connection, _KNOWN(ids=ids), _OPERATIONS(ids=ids))
        for encounter, item, seen in counted:
            (known[encounter].seen if seen else known[encounter].needed).add(item)
        for encounter, body in operations:
            items = [ChartProcedure.model_validate(item) for line in body.split("\n") for item in from_json(line)]
            known[encounter].operated |= any(map(brings.is_operation, items))
        self._known |= known

    def _new(
        self, stay: Encounter, said: Mapping[str, Any], patient: Mapping[str, Any], slots: Sequence[Slot]
    ) -> _New | None:
        """Return what is new of a stay."""
        if said["status"] == "cancelled":
            return None
        known, department = self._known[stay.id], said.get("department", "")
        pending = self._standing.pending(department)
        entries = [entry for slot in slots if slot.part for entry in slot.items]
        operated = known.operated or any(map(brings.is_operation, entries))
        facts = brings.calls(said, patient, operated=operated)
        brought = {*brings.of_stay(said, patient), *(item for entry in entries for item in brings.of_entry(entry))}
        seen = (brought & pending) - known.seen
        needed = {item for item in pending - known.needed if self._standing.asked[item] & facts}
        return _New(stay.id, department, frozenset(seen), frozenset(needed), operated, known)

    async def _enter(self, connection: AsyncConnection, news: Sequence[_New]) -> None:
        """Write what was counted; where that is enough, say so.

        One transaction at a time does, or two would miss each other; behind the locks of patients and encounters.
        """
        await coverage.lock(connection)
        await self._follow(connection)
        pending = self._standing.pending
        rows = [
            {"encounter": new.encounter, "item": item, "seen": seen, "department": new.department}
            for new in news
            for seen, items in ((True, new.seen), (False, new.needed))
            for item in sorted(items & pending(new.department))
        ]
        if not rows:
            return
        await write(connection, Rows(tables.coverage_stays, rows, "keep"))
        words = await self._words(connection, {pair for new in news for pair in self._telling(new)})
        if words:
            await coverage.say(connection, self._head, words, FOUND)
            self._looks_again = 0.0

    def _telling(self, new: _New) -> Iterator[tuple[str, str]]:
        """Yield the items, with the stay's department, whose counts may be enough now and were not before.

        What was called for and has not come cannot make them so; it can tell that a department is without it.
        """
        seen, needed = new.seen | new.before.seen, new.needed | new.before.needed
        for item in (new.seen | new.needed) & self._standing.asked.keys():
            came = item in seen and (item in needed or not self._standing.asked[item])
            if came or self._standing.may_lack(item, new.department):
                yield item, new.department

    async def _words(self, connection: AsyncConnection, telling: set[tuple[str, str]]) -> list[Word]:
        """Return what is settled by now of items that were counted."""
        found, asked = self._standing.found, self._standing.asked
        items = sorted({item for item, _ in telling})
        seen = {item: count for item, count in await _SEEN.rows(connection, items=items)}
        known = [item for item in items if found[item].get("") == "connected"]
        learning = [item for item in items if item not in known and seen.get(item, 0) >= self._limits.stays]
        called, uncalled = ([item for item in learning if bool(asked[item]) == calls] for calls in (True, False))
        departments = {"items": known, "departments": sorted({department for _, department in telling})}
        counts: dict[str, dict[str, Count]] = {item: {} for item in (*known, *learning)}
        for query, its in ((_CALLED, {"items": called}), (_UNCALLED, {"items": uncalled}), (_CALLED_IN, departments)):
            for item, department, *count in await query.rows(connection, **its) if its["items"] else ():
                counts[item][department] = Count(*count)
        return [word for item, its in counts.items() for word in observed.words(item, its, found[item], self._limits)]
