"""The history of a stay's wards, departments and classes: a fold of what its ADT said, in order. Pure."""

from collections.abc import Sequence

from hisbus_bus.flow.chart import stay
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import ChartMove, Event, Location, Stay

BACK = "encounter.transfer_cancelled"
_ABOUT = frozenset({"location", "department", "patient_class"})
_MARKS = frozenset({stay.CANCELLED, BACK})
_BEGINS = frozenset({stay.ADMITTED, stay.REGISTERED})


def tells(event: Event) -> bool:
    """Tell whether an event has something to say of where the patient lay, or of his class."""
    if not event.kind.startswith("encounter."):
        return False
    if event.kind in _MARKS or any(not unknown.entry for unknown in event.unknown):
        return True
    return event.stay is not None and bool(_words(event.stay))


def after(moves: Sequence[ChartMove], slot: str, event: Event) -> list[ChartMove]:
    """Return the history once an event is heard that comes later in the fold than all of it.

    A cancelled transfer brings the patient back to where he lay. Nothing is said of a cancelled stay before it begins
    again, and what was before stays visible as cancelled.
    """
    now = list(moves)
    if event.kind == stay.CANCELLED:
        return [_cancelled(move, event) for move in now]
    standing = [place for place, move in enumerate(now) if not move.cancelled]
    if event.kind == BACK and standing and now[standing[-1]].kind == stay.TRANSFERRED:
        now[standing[-1]] = _cancelled(now[standing[-1]], event)
        standing.pop()
    if now and not standing and event.kind not in {*_BEGINS, BACK}:
        return now
    known = now[standing[-1]] if standing else now[-1] if now else None
    said = _words(event.stay) if event.stay else {}
    lies = {name: getattr(known, name) for name in _ABOUT} if known else {}
    lies |= said
    if not any(value for value in lies.values() if value != Location()):
        return now
    if standing and known is not None and all(getattr(known, name) == value for name, value in lies.items()):
        return now
    id = digest(slot, event.id)[:20]
    return [*now, ChartMove(id=id, version=event.id, since=event.time, kind=event.kind, **lies)]


def _words(said: Stay) -> dict[str, object]:
    """Return what is said of place and class; what is deleted is empty."""
    empty: dict[str, object] = {name: Location() if name == "location" else "" for name in _ABOUT & set(said.deleted)}
    return empty | {name: value for name in _ABOUT if (value := getattr(said, name)) is not None}


def _cancelled(move: ChartMove, event: Event) -> ChartMove:
    return move if move.cancelled else move.model_copy(update={"version": event.id, "cancelled": True})
