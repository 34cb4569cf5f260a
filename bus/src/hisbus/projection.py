"""What an agent may see of a case: the parts it was granted, nothing beside them."""

from dataclasses import replace

from hisbus.agent import Case
from hisbus_schemas import GRANTS, Event

_PART_OF = {
    "diagnoses": "diagnoses",
    "procedure": "procedures",
    "order": "orders",
    "report": "results",
    "document": "documents",
    "merge": "patient",
    "move": "patient",
    "charge": "charges",
}
"""The grant that each body of an event belongs to. ``due`` belongs to nobody's record."""


def project(case: Case, grants: frozenset[str]) -> Case:
    """Return the case without the parts of chart and event that are not granted."""
    event = None if case.event is None else _project_event(case.event, grants)
    return replace(case, chart=case.chart.project(grants), event=event)


def _project_event(event: Event, grants: frozenset[str]) -> Event:
    hidden: dict[str, object] = {}
    if "patient" not in grants:
        hidden.update(patient=None, demographics=None)
    if event.data is not None:
        part = "vitals" if event.kind == "vitals.recorded" else _PART_OF.get(event.data.body)
        if part is not None and part not in grants:
            hidden["data"] = None
    if not grants.issuperset(GRANTS):
        hidden["segments"] = []  # nobody has read them, so nobody knows what they hold
    return event.model_copy(update=hidden)
