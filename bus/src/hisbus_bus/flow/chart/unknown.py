"""Codes that have no word of ours, kept with the entry that they were said of. Pure."""

from collections.abc import Iterable, Sequence

from hisbus_bus.kernel.topics import digest
from hisbus_schemas import ChartReading, ChartUnknown, Document, Entry, Event, Report, Unknown

_NO_TYPE = frozenset({"withdraw", "status", "edit"})
"""What happens to a document without a word about what it is."""


def of_entries(
    slot: str, number: str, items: Sequence[Entry], kept: Iterable[ChartUnknown], event: Event
) -> list[ChartUnknown]:
    """Return what is unknown of entries once an event has touched them.

    Args:
        slot: the id that the entries are stored under.
        number: what the hospital calls it: key or number in the event's data.
        items: the entries after the event; of what no longer counts nothing is asked.
        kept: what was unknown of them before.
        event: what it says again, it says anew.
    """
    data, said = event.data, list[ChartUnknown]()
    if isinstance(data, Report):
        now = [item for item in items if isinstance(item, ChartReading) and item.version == event.id]
        again = {item.id for item in now}
        said = [_unknown(slot, event, one, item.id) for one in event.unknown for item in now if _is(item, one.entry)]
        kept = [each for each in kept if each.entry not in again]
    elif not isinstance(data, Document) or (data.number == number and data.action not in _NO_TYPE):
        said = [_unknown(slot, event, each, slot) for each in event.unknown if each.entry == number]
        kept = ()
    counting = {item.id for item in items if item.counts}
    return [each for each in (*kept, *said) if each.entry in counting]


def _is(reading: ChartReading, entry: str) -> bool:
    """Tell whether something was said of a reading: what names it is any of its codes, or its text."""
    return entry in {reading.item.code, reading.item.alternate_code, reading.item.identity[-1]} - {""}


def of_stay(slot: str, kept: Iterable[ChartUnknown], event: Event) -> list[ChartUnknown]:
    """Return what is unknown of the stay once an ADT is heard: of a class, until one is said again."""
    stay = event.stay
    again = stay is not None and (stay.patient_class is not None or "patient_class" in stay.deleted)
    said = [_unknown(slot, event, each, "") for each in event.unknown if not each.entry]
    gone = {each.item for each in said} | ({"class"} if again else set())
    return [*(each for each in kept if each.item not in gone), *said]


def _unknown(slot: str, event: Event, said: Unknown, entry: str) -> ChartUnknown:
    id = digest(slot, entry, said.item, said.code.system, said.code.code, said.code.text)[:20]
    return ChartUnknown(id=id, version=event.id, item=said.item, entry=entry, code=said.code)
