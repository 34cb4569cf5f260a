"""Demographics: what is known of a patient under all the numbers that were merged."""

from hisbus_bus.flow.chart.order import order_of
from hisbus_bus.flow.chart.said import Said, is_adt, say, together, words
from hisbus_schemas import Demographics, Event, Patient, PatientId

FIELDS = frozenset(Demographics.model_fields) - {"deleted"}


def hear(said: Said, event: Event) -> Said:
    """Return what is known under a number once an event is heard too."""
    if event.demographics is None:
        return said
    adt = is_adt(event.kind)
    return say(said, words(event.demographics, FIELDS, adt=adt), adt=adt, order=order_of(event))


def show(survivor: PatientId, *numbers: Said) -> str:
    """Return the patient that stays show, JSON: the survivor's number, and the newest word under any of its numbers."""
    known = {field: word[2] for field, word in together(*numbers).items() if word[2] is not None}
    return Patient.model_validate({"id": survivor, **known}).model_dump_json()
