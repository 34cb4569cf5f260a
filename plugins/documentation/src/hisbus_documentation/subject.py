"""What a document is due for: a stay, an operation, a month, a transcript. None where it is signed already."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hisbus_documentation.template import Template
from hisbus_schemas import Chart, ChartDocument, ChartProcedure

MONTH = timedelta(days=30)
TRANSCRIPTS = frozenset({"TRANSCRIPT"})
"""Types of documents that are speech as text, unless the settings name others."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One document that is due."""

    id: str = ""
    """Empty: the stay; else an entry's id or a number."""
    begin: datetime | None = None
    """Facts before this do not belong into it (UTC)."""
    end: datetime | None = None
    """Nor do facts after this."""
    operation: ChartProcedure | None = None
    transcript: ChartDocument | None = None
    reads: tuple[str, ...] = field(default=())
    """Refs of what makes it due."""

    def author(self, chart: Chart) -> str:
        """Return the staff number of who is to sign it: who spoke or operated, else the attending doctor."""
        its = self.transcript.author if self.transcript else self.operation.surgeon if self.operation else None
        return next((person.id for person in (its, chart.attending) if person is not None and person.id), "")

    def covers(self, time: datetime | None) -> bool:
        """Tell whether a fact of this time belongs into it; one without a time does where it covers all."""
        if time is None:
            return self.begin is None and self.end is None
        return (self.begin is None or self.begin <= time) and (self.end is None or time < self.end)


def due(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str] = TRANSCRIPTS) -> list[Subject]:
    """Return what a document of this template is due for and not signed."""
    if chart.status == "cancelled" or not _belongs(template, chart):
        return []
    return list(_DUE[template.due](template, chart, now, transcripts))


def _belongs(template: Template, chart: Chart) -> bool:
    return (
        (not template.classes or chart.patient_class in template.classes)
        and (not template.departments or chart.department in template.departments)
        and chart.department not in template.except_departments
    )


def _admission(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str]) -> Iterator[Subject]:
    if chart.admitted is not None and chart.status == "admitted" and not _signed(chart, [template.type]):
        yield Subject(end=chart.admitted.at + timedelta(hours=24), reads=(chart.stay_ref("admitted"),))


def _discharge(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str]) -> Iterator[Subject]:
    """A death has its own record, and so has a stay of less than a day that has one."""
    others = [template.type, "C0035"]
    if chart.discharged is not None and chart.status == "discharged" and not chart.died and not _signed(chart, others):
        yield Subject(reads=(chart.stay_ref("discharged"), chart.stay_ref("status")))


def _operation(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str]) -> Iterator[Subject]:
    """One for each operation that ended. A signed record is of the operation that last started before it."""
    operations = sorted(
        (item for item in chart.procedures if item.operation and item.start and item.end), key=lambda item: _start(item)
    )
    for n, item in enumerate(operations):
        following = _start(operations[n + 1]) if n + 1 < len(operations) else None
        of_it = [
            time
            for time in _signed(chart, [template.type])
            if _start(item) < time and not (following and following < time)
        ]
        if not of_it:
            yield Subject(item.id, _start(item), following, operation=item, reads=(item.ref,))


def _month(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str]) -> Iterator[Subject]:
    """One for the last full month, if nobody summed up within it or since."""
    if chart.admitted is None or chart.status != "admitted":
        return
    number = (now - chart.admitted.at) // MONTH
    begin = chart.admitted.at + (number - 1) * MONTH
    if number >= 1 and not any(time > begin for time in _signed(chart, [template.type, *template.instead])):
        yield Subject(str(number), begin, begin + MONTH, reads=(chart.stay_ref("admitted"),))


def _transcript(template: Template, chart: Chart, now: datetime, transcripts: frozenset[str]) -> Iterator[Subject]:
    """One for each transcript; a signed note is of the transcript that came last before it."""
    spoken = sorted((item for item in chart.documents if item.counts and item.type.code in transcripts), key=_said)
    for n, item in enumerate(spoken):
        following = _said(spoken[n + 1]) if n + 1 < len(spoken) else None
        signed = _signed(chart, [template.type])
        if not any(_said(item) <= time and not (following and following <= time) for time in signed):
            yield Subject(item.id, transcript=item, reads=(item.ref,))


_DUE = {
    "admission": _admission,
    "discharge": _discharge,
    "operation": _operation,
    "month": _month,
    "transcript": _transcript,
}


def _signed(chart: Chart, types: list[str]) -> list[datetime]:
    return [
        item.signed.at
        for item in chart.documents
        if item.status == "signed" and item.signed and item.type.code in types
    ]


def _start(item: ChartProcedure) -> datetime:
    return item.start.at if item.start else datetime.max.replace(tzinfo=UTC)


def _said(item: ChartDocument) -> datetime:
    return (item.about or item.filed).at
