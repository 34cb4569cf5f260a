"""What the record has to say for a document: its sources by section."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hisbus_documentation import quotes, readings, stay
from hisbus_documentation.phrases import Language
from hisbus_documentation.plain import CJK
from hisbus_documentation.source import Source
from hisbus_documentation.subject import Subject
from hisbus_documentation.template import Feed, SectionTemplate, Template
from hisbus_schemas import Chart, Evidence

FACTS: Mapping[str, Callable[[Chart, Feed, Subject, Language], Iterator[Source]]] = {
    "admission": stay.admission,
    "discharge": stay.discharge,
    "person": stay.person,
    "diagnoses": stay.diagnoses,
    "operation": stay.operation,
    "operations": stay.operations,
    "orders": stay.orders,
    "vitals": readings.vitals,
    "results": readings.results,
    "reports": readings.reports,
    "quote": quotes.quote,
    "notes": quotes.notes,
    "turns": quotes.turns,
}
"""What a feed's ``fact`` yields."""

_CHINESE = re.compile(f"[{CJK}]")


@dataclass(frozen=True, slots=True)
class Material:
    """All that a document may be written from."""

    template: Template
    subject: Subject
    language: Language
    sections: tuple[tuple[SectionTemplate, tuple[Source, ...]], ...]
    """In the template's order."""

    @property
    def sources(self) -> Sequence[Source]:
        """Return every source once, in the order of the document."""
        return list(dict.fromkeys(source for _, sources in self.sections for source in sources))

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the record says for the document: the same while it says the same."""
        offered = [
            [section.code, [[source.text, *(_place(item) for item in source.evidence)] for source in sources]]
            for section, sources in self.sections
        ]
        said = [self.template.id, self.subject.id, self.language, offered]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def gather(template: Template, chart: Chart, subject: Subject, language: Language) -> Material:
    """Return what a chart has to say for a document."""
    sections = []
    for section in template.sections:
        found = dict.fromkeys(
            source for feed in section.feeds for source in FACTS[feed.fact](chart, feed, subject, language)
        )
        sections.append((section, tuple(found)))
    return Material(template, subject, language, tuple(sections))


def language_of(chart: Chart) -> Language:
    """Return the language of a record: Chinese where a document, a diagnosis or a result is."""
    names = [*(item.code.text for item in chart.diagnoses), *(item.code.text for item in chart.procedures)]
    texts = [section.text[:200] for document in chart.documents for section in document.sections]
    readings = [item.item.text for item in (*chart.results, *chart.vitals)]
    return "zh" if any(_CHINESE.search(text) for text in (*names, *texts, *readings)) else "en"


def _place(item: Evidence) -> dict[str, Any]:
    return {name: value for name, value in item if value is not None}  # words and numbers: nothing to convert
