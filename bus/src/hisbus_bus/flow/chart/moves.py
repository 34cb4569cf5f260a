"""The history of a stay's wards, departments and classes: a fold of what its ADT said, in order. Pure."""

from collections.abc import Sequence

from hisbus_bus.flow.chart import stay
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import ChartMove, Event, Location, Stay

BACK = "encounter.transfer_cancelled"
_ABOUT = frozenset({"location", "department", "patient_class"})
_MARKS = frozenset({stay.CANCELLED, BACK})
_BEGINS = frozenset({stay.ADMITTED, stay.REGISTERED})
_TRANSFERS = frozenset({stay.TRANSFERRED, stay.SWAPPED})


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
    again, and what was before stays visible as cancelled. Where one is expected to lie, he does not lie yet.
    """
    if event.kind == stay.EXPECTED:
        return [*moves]
    if event.kind == stay.CANCELLED:
        return [_cancelled(move, event) for move in moves]
    said = _words(event.stay) if event.stay else {}
    if event.kind == BACK and (transfer := _last_transfer(moves)) is not None:
        return _back(moves, transfer, slot, event, said)
    standing = _standing(moves)
    if moves and not standing and event.kind not in _BEGINS and not stay.becomes_inpatient(event):
        return [*moves]
    known = standing[-1] if standing else moves[-1] if moves else None
    lies = ({name: getattr(known, name) for name in _ABOUT} if known else {}) | said
    if not standing and not any(value for value in lies.values() if value != Location()):
        return [*moves]
    if standing and known is not None and all(getattr(known, name) == value for name, value in lies.items()):
        return [*moves]
    return [*moves, _move(slot, event, lies)]


def present(moves: Sequence[ChartMove]) -> dict[str, object]:
    """Return where the patient lies by the history, JSON: location and department, as far as it tells."""
    standing = _standing(moves)
    if not standing:
        return {}
    said = standing[-1].model_dump(mode="json", include={"location", "department"}, exclude_defaults=True)
    return {name: value for name, value in said.items() if value}


def _standing(moves: Sequence[ChartMove]) -> list[ChartMove]:
    return [move for move in moves if not move.cancelled]


def _last_transfer(moves: Sequence[ChartMove]) -> ChartMove | None:
    return next((move for move in reversed(_standing(moves)) if move.kind in _TRANSFERS), None)


def _back(
    moves: Sequence[ChartMove], transfer: ChartMove, slot: str, event: Event, said: dict[str, object]
) -> list[ChartMove]:
    """Return the history without a transfer and what was said since of the place that it led to.

    The event names where he lies again, or still where the transfer had led: that is no word about where he lay.
    """
    place = list(moves).index(transfer)
    led = [move for move in _standing(moves[place:]) if move.location == transfer.location]
    now = [_cancelled(move, event) if move in led else move for move in moves]
    standing = _standing(now)
    known: dict[str, object] = {name: getattr(standing[-1], name) for name in _ABOUT} if standing else {}
    lies = known | {"patient_class": led[-1].patient_class}
    lies |= {name: value for name, value in said.items() if value != getattr(transfer, name)}
    return now if lies == known else [*now, _move(slot, event, lies)]


def _move(slot: str, event: Event, lies: dict[str, object]) -> ChartMove:
    fields = {"id": digest(slot, event.id)[:20], "version": event.id, "since": event.time, "kind": event.kind}
    return ChartMove.model_validate(fields | lies)


def _words(said: Stay) -> dict[str, object]:
    """Return what is said of place and class; what is deleted is empty."""
    empty: dict[str, object] = {name: Location() if name == "location" else "" for name in _ABOUT & set(said.deleted)}
    return empty | {name: value for name in _ABOUT if (value := getattr(said, name)) is not None}


def _cancelled(move: ChartMove, event: Event) -> ChartMove:
    return move if move.cancelled else move.model_copy(update={"version": event.id, "cancelled": True})
