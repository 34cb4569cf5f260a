"""The stay itself: its times, status and place, from the newest words about it."""

from datetime import datetime
from typing import Any

from hisbus_bus.flow.chart.order import order_of, stamp
from hisbus_bus.flow.chart.said import Said, is_adt, say, since, words
from hisbus_schemas import Event, Moment, Stay

FIELDS = frozenset(Stay.model_fields) - {"deleted"}
FILLED = frozenset({"patient_class", "location", "attending", "department"})
"""What any message may fill while no ADT has said it."""

ADMITTED, REGISTERED, EXPECTED = "encounter.admitted", "encounter.registered", "encounter.preadmitted"
TRANSFERRED, SWAPPED = "encounter.transferred", "encounter.beds_swapped"
DISCHARGED, CANCELLED, REOPENED = "encounter.discharged", "encounter.cancelled", "encounter.discharge_cancelled"
UNEXPECTED = "encounter.preadmission_cancelled"
CHANGED = "encounter.class_changed"
MARKS = frozenset({ADMITTED, REGISTERED, EXPECTED, TRANSFERRED, SWAPPED, DISCHARGED, CANCELLED, REOPENED, UNEXPECTED})
"""Kinds whose happening is itself a word about the stay: of each, the newest decides."""

BEGAN, BECAME = "began", "became"
"""Marks besides: when the newest admission says that the stay began; that it was an outpatient who became inpatient."""

ENDS = frozenset({"discharged", DISCHARGED})
"""Words that may end a stay."""
_OF_THE_END = ENDS | {"disposition"}
_BEDDED = frozenset({"inpatient", "obstetric", "day"})


def becomes_inpatient(event: Event) -> bool | None:
    """Tell whether an outpatient becomes an inpatient (True) or the other way round (False). None: neither."""
    if event.kind != CHANGED or event.stay is None or event.stay.patient_class is None:
        return None
    return event.stay.patient_class in _BEDDED


def admission(event: Event) -> Moment:
    """Return when a stay began by what its admission says: as given, else when it happened."""
    return (event.stay.admitted if event.stay else None) or event.time


def ends(event: Event) -> bool:
    """Tell whether an event says that the stay ended."""
    return bool(hear({}, event).keys() & ENDS)


def is_another(said: Said, event: Event) -> bool:
    """Tell whether an admission is another stay's than the one that this is known of: later than its discharge."""
    shown = show(said)
    if shown["status"] != "discharged":
        return False
    began = admission(event).at
    return began > _at(shown["discharged"]) and ("admitted" not in shown or began != _at(shown["admitted"]))


def hear(said: Said, event: Event) -> Said:
    """Return what is known of a stay once an event is heard too."""
    adt = is_adt(event.kind)
    spoken = words(event.stay, FIELDS if adt else FILLED, adt=adt) if event.stay else {}
    if event.kind in {EXPECTED, UNEXPECTED}:  # what is expected has not begun
        spoken = {field: value for field, value in spoken.items() if field in FILLED}
    spoken |= _marks(event)
    return say(said, spoken, adt=adt, order=order_of(event)) if spoken else said


def _marks(event: Event) -> dict[str, Any]:
    time, began = event.time.model_dump(mode="json"), admission(event).model_dump(mode="json")
    match event.kind, becomes_inpatient(event):
        case _, True:
            return {ADMITTED: time, BEGAN: began, BECAME: began, "admitted": began}
        case _, False:
            return {DISCHARGED: time}
        case "encounter.admitted", _:
            return {ADMITTED: time, BEGAN: began}
        case kind, _:
            return {kind: time} if kind in MARKS else {}


def show(said: Said) -> dict[str, Any]:
    """Return the stay's fields as a chart shows them, JSON.

    Only an admission or registration begins a cancelled stay again, and what was before the cancellation is void.
    A cancelled discharge voids what was said of the discharge before it, and so does an admission of a later time than
    the discharge; an admission that is told again does not.
    """
    order = {mark: _order(said, mark) for mark in MARKS}
    cancelled = order[CANCELLED] > max(order[ADMITTED], order[REGISTERED], order[EXPECTED])
    void = "" if cancelled else order[CANCELLED]
    lies = max(order[mark] for mark in (ADMITTED, TRANSFERRED, SWAPPED, DISCHARGED, REOPENED)) > void
    came = lies or order[REGISTERED] > void
    expected = not came and order[EXPECTED] > order[UNEXPECTED]
    ended = _ended(said, max(void, order[REOPENED]))
    discharged = ended.get("discharged") or ended.get(DISCHARGED)
    if cancelled or (not came and order[UNEXPECTED] > order[EXPECTED]):
        status = "cancelled"
    elif expected:
        status = "preadmitted"
    elif discharged:
        status = "discharged"
    else:
        status = "admitted" if lies else "registered"
    shown = {field: since(said, field, "") for field in FILLED}
    if not expected:
        shown |= {
            "admitted": since(said, "admitted", void) or since(said, ADMITTED, void),
            "discharged": discharged,
            "disposition": ended.get("disposition"),
        }
    return {field: value for field, value in (shown | {"status": status}).items() if value is not None}


def _order(said: Said, word: str) -> str:
    order: str = said[word][1] if word in said else ""
    return order


def _ended(said: Said, floor: str) -> dict[str, Any]:
    """Return what holds of the words about the discharge that came after a place in the fold."""
    ended = {field: since(said, field, floor) for field in _OF_THE_END}
    word = "discharged" if ended["discharged"] else DISCHARGED
    began = _order(said, BEGAN)
    if not ended[word] or began <= _order(said, word):
        return ended
    begins, ends = _at(said[BEGAN][2]), _at(ended[word])
    again = begins > ends or (begins == ends and _order(said, BECAME) == began)
    return {field: value for field, value in ended.items() if _order(said, field) >= began} if again else ended


def _at(moment: Any) -> datetime:
    return Moment.model_validate(moment).at


def window(said: Said) -> tuple[str | None, str | None]:
    """Return the fold stamps between which the stay is open. No beginning: never; no end: still."""
    shown = show(said)
    if shown["status"] == "cancelled":
        return None, None
    begins, ends = (stamp(_at(shown[field])) if field in shown else None for field in ("admitted", "discharged"))
    return (begins, ends) if begins else (None, None)
