"""The stay itself: its times, status and place, from the newest words about it."""

from typing import Any

from hisbus_bus.flow.chart.order import order_of, stamp
from hisbus_bus.flow.chart.said import Said, is_adt, say, since, words
from hisbus_schemas import Event, Moment, Stay

FIELDS = frozenset(Stay.model_fields) - {"deleted"}
FILLED = frozenset({"patient_class", "location", "attending", "department"})
"""What any message may fill while no ADT has said it."""

ADMITTED, REGISTERED, TRANSFERRED = "encounter.admitted", "encounter.registered", "encounter.transferred"
DISCHARGED, CANCELLED, REOPENED = "encounter.discharged", "encounter.cancelled", "encounter.discharge_cancelled"
MARKS = frozenset({ADMITTED, REGISTERED, TRANSFERRED, DISCHARGED, CANCELLED, REOPENED})
"""Kinds whose happening is itself a word about the stay: of each, the newest decides."""


def hear(said: Said, event: Event) -> Said:
    """Return what is known of a stay once an event is heard too."""
    adt = is_adt(event.kind)
    spoken = words(event.stay, FIELDS if adt else FILLED, adt=adt) if event.stay else {}
    if event.kind in MARKS:
        spoken[event.kind] = event.time.model_dump(mode="json")
    return say(said, spoken, adt=adt, order=order_of(event)) if spoken else said


def show(said: Said) -> dict[str, Any]:
    """Return the stay's fields as a chart shows them, JSON.

    Only an admission or registration begins a cancelled stay again, and what was before the cancellation is void.
    A cancelled discharge, or another admission, voids what was said of the discharge before it.
    """
    order = {mark: said[mark][1] if mark in said else "" for mark in MARKS}
    cancelled = order[CANCELLED] > max(order[ADMITTED], order[REGISTERED])
    void = "" if cancelled else order[CANCELLED]
    reopened = max(void, order[REOPENED])
    last = {field: said[field][1] if field in said else "" for field in ("discharged", "disposition", DISCHARGED)}
    left = {field: since(said, field, reopened) if word >= order[ADMITTED] else None for field, word in last.items()}
    if cancelled:
        status = "cancelled"
    elif left[DISCHARGED]:
        status = "discharged"
    elif max(order[ADMITTED], order[TRANSFERRED], order[DISCHARGED], order[REOPENED]) > void:
        status = "admitted"
    else:
        status = "registered"
    shown = {field: since(said, field, "") for field in FILLED}
    shown |= {
        "status": status,
        "admitted": since(said, "admitted", void) or since(said, ADMITTED, void),
        "discharged": left["discharged"] or left[DISCHARGED],
        "disposition": left["disposition"],
    }
    return {field: value for field, value in shown.items() if value is not None}


def window(said: Said) -> tuple[str | None, str | None]:
    """Return the fold stamps between which the stay is open. No beginning: never; no end: still."""
    shown = show(said)
    if shown["status"] == "cancelled":
        return None, None
    begins, ends = (
        stamp(Moment.model_validate(shown[field]).at) if field in shown else None
        for field in ("admitted", "discharged")
    )
    return (begins, ends) if begins else (None, None)
