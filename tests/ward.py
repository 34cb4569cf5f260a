"""Stays of the simulator's ward week, or of a case, as charts: read by the connector, folded as the chart step does."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from hisbus import Raw
from hisbus_bus.flow.chart import demographics, entries, stay
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_schemas import DIED, Chart, Event, Patient, PatientId, Position, VisitId
from hisbus_simulator import ward_week


@cache
def ward_events(seed: int, patients: int) -> dict[str, list[Event]]:
    """Return the events of a ward's week by visit, in their order."""
    return events_of((message.body, message.at) for message in ward_week(seed, patients).messages)


def events_of(messages: Iterable[tuple[bytes, datetime]]) -> dict[str, list[Event]]:
    """Return what messages, each with the time of its arrival, say by visit, in their order."""
    feed = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"}))
    visits: dict[str, list[Event]] = defaultdict(list)
    for n, (body, at) in enumerate(messages):
        position = Position(recorded=at, partition=0, offset=n)
        for ordinal, fact in enumerate(feed.translate(Raw(f"m{n}", body, at)).facts):
            event = Event(
                **dict(fact), id=f"e{n}-{ordinal}", message=f"m{n}", revision=1, ordinal=ordinal, connector="his",
                position=position,
            )  # fmt: skip
            if event.visit is not None:
                visits[event.visit.number].append(event)
    return visits


def fold(events: Sequence[Event]) -> Chart:
    """Return the chart of one visit."""
    slots: dict[entries.Key, entries.Slot] = {}
    said: Any = {}
    person: Any = {}
    for event in events:
        said, person = stay.hear(said, event), demographics.hear(person, event)
        for nth, key in enumerate(entries.touched(event)):
            slot = slots.get(key) or entries.begin("encounter", key, event, nth)
            slots[key] = entries.apply(slot, key, event)
    shown = stay.show(said)
    parts: dict[str, list[Any]] = defaultdict(list)
    for slot in slots.values():
        for item in slot.items:
            parts[entries.PART_OF[type(item)]].append(item)
    patient = Patient.model_validate_json(demographics.show(PatientId(authority="HOSP", number="P1"), person))
    last = events[-1]
    return Chart(
        encounter="encounter",
        version=len(events),
        now=last.time.at,
        timezone="Asia/Shanghai",
        visit=last.visit or VisitId(authority="", number=""),
        patient=patient,
        died=shown.get("disposition") == DIED or patient.dead,
        **shown,
        **{name: items for name, items in parts.items() if name},
    )
