"""Stays to draft for: of the simulator's ward week."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.ward import fold, ward_events

from hisbus import Case
from hisbus.testing import run
from hisbus_documentation import Agent
from hisbus_documentation.gather import Material, gather, language_of
from hisbus_documentation.subject import Subject, due
from hisbus_documentation.template import TEMPLATES
from hisbus_schemas import Assessment, Chart, Draft, Drafted, Event


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
