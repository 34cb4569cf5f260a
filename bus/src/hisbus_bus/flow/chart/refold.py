"""Folds events into the entries of their charts: what comes in order is applied, what comes late is folded again."""

from collections.abc import Collection, Iterable

from hisbus_bus.flow.chart import entries, moves, stay
from hisbus_bus.flow.chart.entries import MOVES, Key, Slot
from hisbus_bus.flow.chart.order import arrival_of
from hisbus_bus.flow.chart.scope import Scope
from hisbus_bus.flow.chart.store import BY_HAND, Encounter, Stored
from hisbus_bus.kernel import coverage, tables
from hisbus_bus.kernel.bulk import within
from hisbus_schemas import ChartMove, Event

ONLY_WAKE = frozenset({"timer.due", "proposals.changed", coverage.KIND, BY_HAND})
"""Kinds that make a version and say nothing about the stay."""


async def refold(scope: Scope, encounters: Collection[str]) -> None:
    """Fold encounters from their first event on."""
    if not encounters:
        return
    await scope.store.flush()
    await scope.store.clear(encounters)
    events: dict[str, list[Event]] = {id: [] for id in encounters}
    for id in encounters:
        encounter = scope.encounters[id]
        encounter.named, encounter.assigned = {}, {}
        encounter.past, encounter.live = False, ""
        encounter.refolded = encounter.next_version
        scope.touch(id)
    folded = tables.events.c.kind.not_in(ONLY_WAKE)
    for row, event in await scope.store.events(within(tables.events.c.encounter, encounters), folded):
        hear(scope, row, event)
        events[row.encounter or ""].append(event)
    for id, folded_events in events.items():
        found: dict[Key, Slot] = {}
        for event in folded_events:
            for nth, key in enumerate(entries.touched(event)):
                slot = found.get(key) or entries.begin(id, key, event, nth)
                found[key] = entries.apply(slot, key, event)
        _lies(scope, id, found.get(MOVES))
        scope.store.save_slots((scope.encounters[id], slot) for slot in found.values())


async def apply(scope: Scope, new: Iterable[tuple[Stored, Event]]) -> None:
    """Fold new events, already stored, into the entries that they touch, and no others."""
    store = scope.store
    touches = [
        (entries.slot_id(row.encounter, key), row, key, event, nth)
        for row, event in sorted(new, key=lambda pair: pair[0].order)
        if row.encounter is not None and row.kind not in ONLY_WAKE
        for nth, key in enumerate(entries.touched(event))
    ]
    if not touches:
        return
    owner = {id: row.encounter or "" for id, row, *_ in touches}
    keys = {id: key for id, _, key, *_ in touches}
    slots = await store.slots(set(owner.values()), keys)
    late: set[str] = set()
    for id, row, key, event, nth in touches:
        slot = slots.get(id) or entries.begin(owner[id], key, event, nth)
        if row.order < slot.last:
            late.add(id)
        else:
            slots[id] = entries.apply(slot, key, event)
    if late:
        await store.flush()
        found = await store.touching({owner[id] for id in late}, {keys[id] for id in late})
        slots |= {id: entries.fold(owner[id], keys[id], found[id]) for id in late}
    for id, key in keys.items():
        if key == MOVES:
            _lies(scope, owner[id], slots[id])
    store.save_slots((scope.encounters[owner[id]], slot) for id, slot in slots.items())


def _lies(scope: Scope, encounter: str, history: Slot | None) -> None:
    """Note where the patient lies once the stay's history is folded."""
    known = [item for item in history.items if isinstance(item, ChartMove)] if history else []
    scope.encounters[encounter].lies = moves.present(known)
    scope.touch(encounter)


def note(encounter: Encounter, event: Event) -> None:
    """Note whether a stay was read in later, and what of it came first as it happened."""
    if event.backfill:
        encounter.past = True
        return
    came = arrival_of(event)
    if not encounter.live or came < encounter.live:
        encounter.live = came


def hear(scope: Scope, row: Stored, event: Event) -> None:
    """Take in what an event says of its stay."""
    encounter = scope.encounters[row.encounter or ""]
    note(encounter, event)
    if row.visit == row.encounter:
        encounter.named = stay.hear(encounter.named, event)
    else:
        encounter.assigned = stay.hear(encounter.assigned, event)
