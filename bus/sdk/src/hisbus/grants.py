"""What an agent may see of a case: the parts it was granted, nothing beside them."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic_core import from_json, to_json

from hisbus.agent import Case
from hisbus_schemas import GRANTS, Event, part_of


def project(case: Case, grants: frozenset[str]) -> Case:
    """Return the case without the parts of chart and event, and the proposals, that are not granted."""
    event = None if case.event is None else _project_event(case.event, grants)
    proposals = [proposal for proposal in case.proposals if f"{proposal.kind}s" in grants]
    return replace(case, chart=case.chart.project(grants), event=event, proposals=proposals)


def project_event(stored: str, grants: frozenset[str]) -> str:
    """Return an event, JSON as it is stored, without the parts that are not granted."""
    event = from_json(stored)
    data = event.get("data") or {}
    return to_json(event | _hidden(event["kind"], data.get("body"), grants)).decode()


def _project_event(event: Event, grants: frozenset[str]) -> Event:
    return event.model_copy(update=_hidden(event.kind, None if event.data is None else event.data.body, grants))


def _hidden(kind: str, body: str | None, grants: frozenset[str]) -> Mapping[str, object]:
    """Return what stands in an event in place of what is not granted."""
    hidden: dict[str, object] = {}
    if "patient" not in grants:
        hidden.update(patient=None, demographics=None)
    part = part_of(kind, body or "")
    if part is not None and part not in grants:
        hidden["data"] = None
    if not grants.issuperset(GRANTS):
        hidden["segments"] = []  # nobody has read them, so nobody knows what they hold
    return hidden
