"""The record as every agent's prompt shows it: one text for one chart, whoever asks, so that its prefill is shared.

What changes least stands first: documents in the order of their filing; the stay itself, which every event may touch,
stands last. Names, numbers and addresses of the patient are left out, no question needs them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from hisbus.evidence import labelled
from hisbus.visible import visible
from hisbus_schemas import (
    Chart,
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartMove,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    ChartUnknown,
    Code,
    Entry,
    Moment,
)

Words = tuple[str, ...]
"""What a line says, empty where the record says nothing."""

_DATES = {"year": 4, "month": 7, "day": 10}
_TIMES = {"hour": "hours", "minute": "minutes", "second": "seconds"}


def record(chart: Chart, only: Collection[str] | None = None) -> str:
    """Return the record as text.

    Args:
        chart: what the asking agent may see.
        only: ids of the entries to show; None shows all. Labels stay those of the whole chart.
    """
    shown = [
        line for label, entry in labelled(chart) if only is None or entry.id in only for line in _entry(label, entry)
    ]
    return "\n".join([*shown, *_stay(chart)])


def _entry(label: str, entry: Entry) -> Iterator[str]:
    if isinstance(entry, ChartDocument):
        yield from _document(label, entry)
    else:
        yield _line(label, *_LINES[type(entry)](entry))


def _diagnosis(entry: ChartDiagnosis) -> Words:
    suspected = "suspected" if entry.suspected else ""
    return "diagnosis", entry.status, _code(entry.code), suspected, _time(entry.time)


def _procedure(entry: ChartProcedure) -> Words:
    kind = "operation" if entry.operation else "procedure"
    return kind, _code(entry.code), _span(entry), entry.surgeon.name if entry.surgeon else ""


def _order(entry: ChartOrder) -> Words:
    end = entry.stopped or entry.stop
    lasting = f"{_time(entry.start)} to {_time(end) or 'open'}" if entry.start or end else ""
    how = (_amount(entry.dose, entry.unit), _code(entry.route), entry.frequency, lasting)
    return "order", _code(entry.what), entry.status, *how, _time(entry.time), _notes(entry.notes)


def _reading(entry: ChartReading) -> Words:
    value = _amount(" ".join(entry.values), entry.unit)
    expected = f"({entry.range})" if entry.range else ""
    notes = _notes([*entry.notes, *entry.report_notes])
    return _code(entry.item), value, expected, " ".join(entry.flags), _time(entry.time), notes


def _charge(entry: ChartCharge) -> Words:
    return "charge", _code(entry.code), entry.type, entry.quantity, _time(entry.time)


def _allergy(entry: ChartAllergy) -> Words:
    about = (entry.kind, entry.severity, ", ".join(entry.reactions), entry.status)
    return "allergy", _code(entry.what), *about, _time(entry.time)


def _administration(entry: ChartAdministration) -> Words:
    how = (_amount(entry.amount, entry.unit), _code(entry.route), _code(entry.site), entry.status)
    return "dose", _code(entry.what), *how, _time(entry.time), _notes(entry.notes)


def _move(entry: ChartMove) -> Words:
    place = " ".join(filter(None, (entry.location.ward, entry.location.room, entry.location.bed)))
    return "from", _time(entry.since), place, entry.department, entry.patient_class


def _unknown(entry: ChartUnknown) -> Words:
    return "unknown code", entry.item, _code(entry.code)


_LINES: Mapping[type[Entry], Callable[[Any], Words]] = {
    ChartDiagnosis: _diagnosis,
    ChartProcedure: _procedure,
    ChartOrder: _order,
    ChartReading: _reading,
    ChartCharge: _charge,
    ChartAllergy: _allergy,
    ChartAdministration: _administration,
    ChartMove: _move,
    ChartUnknown: _unknown,
}
"""What the line of an entry says; of a document there are more than one."""


def _document(label: str, document: ChartDocument) -> Iterator[str]:
    author = document.author.name if document.author else ""
    signed = f"signed {_time(document.signed)}" if document.signed else "not signed"
    about = f"about {_time(document.about)}" if document.about else ""
    yield _line(label, "document", _code(document.type), f"filed {_time(document.filed)}", signed, about, author)
    yield from (f"⟦{label} field⟧ {_flat(name)}: {_flat(value)}" for name, value in sorted(document.fields.items()))
    for section in document.sections:
        yield f"⟦{label} section⟧ {_flat(section.name)}"
        yield visible(section.text)


def _stay(chart: Chart) -> Iterator[str]:
    yield "⟦stay⟧"
    patient = chart.patient
    facts: dict[str, Any] = {
        "class": chart.patient_class,
        "status": chart.status,
        "admitted": _time(chart.admitted),
        "discharged": _time(chart.discharged),
        "disposition": chart.disposition,
        "died": "yes" if chart.died else "",
        "department": chart.department,
        "sex": patient.sex if patient else "",
        "born": patient.birth_date.isoformat() if patient and patient.birth_date else "",
    }
    yield from (f"{name}: {_flat(value)}" for name, value in facts.items() if value)


def _line(label: str, *parts: str) -> str:
    return f"⟦{label}⟧ {' | '.join(_flat(part) for part in parts if part)}"


def _flat(text: str) -> str:
    return " ".join(visible(text).split())


def _code(code: Code) -> str:
    return " ".join(filter(None, (code.text, code.code, code.alternate_text, code.alternate_code)))


def _amount(value: str, unit: str) -> str:
    return " ".join(filter(None, (value, unit)))


def _notes(notes: Sequence[str]) -> str:
    return f"note: {'; '.join(notes)}" if notes else ""


def _span(procedure: ChartProcedure) -> str:
    return f"{_time(procedure.start)} to {_time(procedure.end) or 'open'}"


def _time(moment: Moment | None) -> str:
    """Return a time as exactly as its source gave it, in the source's zone."""
    if moment is None:
        return ""
    if moment.precision in _TIMES:
        return moment.local().isoformat(timespec=_TIMES[moment.precision])
    return moment.local().date().isoformat()[: _DATES[moment.precision]]
