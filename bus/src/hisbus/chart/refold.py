"""Folds events into the entries of their charts: what comes in order is applied, what comes late is folded again."""

from collections.abc import Collection, Iterable

from hisbus import tables
from hisbus.chart import entries, stay
from hisbus.chart.entries import Key, Slot
from hisbus.chart.order import order_of
from hisbus.chart.scope import Scope
from hisbus.chart.store import Store, Stored
from hisbus_schemas import Event

ONLY_WAKE = frozenset({"timer.due", "proposals.changed"})
"""Kinds that make a version and say nothing about the stay."""


async def refold(scope: Scope, encounters: Collection[str]) -> None:
    """Fold encounters from their first event on."""
    if not encounters:
        return
    await scope.store.clear(encounters)
    events: dict[str, list[Event]] = {id: [] for id in encounters}
    for id in encounters:
        encounter = scope.encounters[id]
        encounter.named, encounter.assigned = {}, {}
        scope.touch(id)
    folded = tables.events.c.kind.not_in(ONLY_WAKE)
    for row, event in await scope.store.events(tables.events.c.encounter.in_(encounters), folded):
        hear(scope, row, event)
        events[row.encounter or ""].append(event)
    slots, touches = [], []
    for id, folded_events in events.items():
        found: dict[Key, Slot] = {}
        for event in folded_events:
            for nth, key in enumerate(entries.touched(event)):
                slot = found.get(key) or entries.begin(id, key, event, nth)
                found[key] = entries.apply(slot, key, event)
                touches.append((id, key, event.id))
        slots += [(id, slot) for slot in found.values()]
    await scope.store.add_touches(touches)
    await scope.store.save_slots(slots)


async def apply(store: Store, new: Iterable[tuple[Stored, Event]]) -> None:
    """Fold new events, already stored, into the entries that they touch, and no others."""
    touches = [
        (row.encounter, key, event, nth)
        for row, event in sorted(new, key=lambda pair: pair[0].order)
        if row.encounter is not None and row.kind not in ONLY_WAKE
        for nth, key in enumerate(entries.touched(event))
    ]
    if not touches:
        return
    encounters = {encounter for encounter, *_ in touches}
    keys = {entries.slot_id(encounter, key): key for encounter, key, *_ in touches}
    owner = {entries.slot_id(encounter, key): encounter for encounter, key, *_ in touches}
    slots = await store.slots(encounters, keys)
    late: dict[str, Key] = {}
    for encounter, key, event, nth in touches:
        id = entries.slot_id(encounter, key)
        slot = slots.get(id) or entries.begin(encounter, key, event, nth)
        if order_of(event) < slot.last:
            late[id] = key
        else:
            slots[id] = entries.apply(slot, key, event)
    await store.add_touches([(encounter, key, event.id) for encounter, key, event, _ in touches])
    if late:
        for id, events in (await store.touching(encounters, late)).items():
            slots[id] = entries.fold(owner[id], late[id], events)
    await store.save_slots([(owner[id], slot) for id, slot in slots.items()])


def hear(scope: Scope, row: Stored, event: Event) -> None:
    """Take in what an event says of its stay."""
    encounter = scope.encounters[row.encounter or ""]
    if row.visit is not None:
        encounter.named = stay.hear(encounter.named, event)
    else:
        encounter.assigned = stay.hear(encounter.assigned, event)
