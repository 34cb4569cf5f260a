"""Stays to draft for: of the simulator's ward week, read by the connector and folded as the chart step does."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from hisbus import Case, Raw
from hisbus.testing import run
from hisbus_bus.flow.chart import demographics, entries, stay
from hisbus_documentation import Agent
from hisbus_documentation.gather import Material, gather, language_of
from hisbus_documentation.subject import Subject, due
from hisbus_documentation.template import TEMPLATES
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_schemas import DIED, Assessment, Chart, Draft, Drafted, Event, Patient, PatientId, Position, VisitId
from hisbus_simulator import ward_week


@cache
def ward_events(seed: int, patients: int) -> dict[str, list[Event]]:
    """Return the events of a ward's week by visit, in their order."""
    feed = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"}))
    visits: dict[str, list[Event]] = defaultdict(list)
    for n, message in enumerate(ward_week(seed, patients).messages):
        position = Position(recorded=message.at, partition=0, offset=n)
        for ordinal, fact in enumerate(feed.translate(Raw(f"m{n}", message.body, message.at)).facts):
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
            parts["vitals" if isinstance(item, entries.Vital) else slot.part.split()[0]].append(item)
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


def drafts(assessment: Assessment) -> list[Draft]:
    """Return the drafts of an assessment; it holds nothing else."""
    found = [item for item in assessment.proposals if isinstance(item, Draft)]
    assert len(found) == len(assessment.proposals)
    return found


def assess(chart: Chart, llm: Any = None, **settings: Any) -> dict[str, Draft]:
    """Return an agent's drafts of a chart by their keys."""
    case = Case(event=None, chart=chart, now=chart.now, llm=llm, settings=settings)
    return {item.key: item for item in drafts(asyncio.run(run(Agent(), case)))}


def read(draft: Draft) -> Drafted:
    """Return the document that a draft holds."""
    return Drafted.model_validate(draft.payload)


def text(draft: Draft, code: str = "") -> str:
    """Return a draft's sentences, of one section or of all."""
    return "\n".join(
        sentence.text for part in read(draft).sections if code in ("", part.code) for sentence in part.sentences
    )


@pytest.fixture(scope="session")
def ward() -> dict[str, list[Event]]:
    """A ward's week of 25 stays: events by visit."""
    return ward_events(1, 25)


@pytest.fixture(scope="session")
def chart_of() -> Callable[[Sequence[Event]], Chart]:
    return fold


@pytest.fixture
def draft_for() -> Callable[..., dict[str, Draft]]:
    return assess


@pytest.fixture
def said() -> Callable[..., str]:
    return text


@pytest.fixture
def document() -> Callable[[Draft], Drafted]:
    return read


@pytest.fixture
def material() -> Callable[[Chart, str], Material]:
    """What a chart has to say for the first document that is due of a template; for its stay where none is due."""

    def of(chart: Chart, template: str) -> Material:
        form = TEMPLATES[template]
        subject = next(iter(due(form, chart, chart.now + timedelta(0))), Subject())
        return gather(form, chart, subject, language_of(chart))

    return of
