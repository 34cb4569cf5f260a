"""Where in the record a piece of evidence rests.

Evidence counts only where it is there: a quote must stand verbatim in the version it names, a fact must have the
value it is quoted with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hisbus.resolve import stands, value_of
from hisbus_schemas import Chart, ChartDocument, Entry, Evidence


@dataclass(frozen=True, slots=True)
class Proof:
    """One piece of evidence of a finding."""

    id: str
    evidence: Evidence
    verified: bool
    document: ChartDocument | None = None
    """The document that is quoted or whose fact it is."""
    entry: Entry | None = None
    """The chart entry whose fact it is."""
    fact: str = ""
    """Kind of fact: ``admitted``, ``procedures.end``, ``vitals`` ...; ``field`` for a field of a form."""
    field: str = ""
    """Name of the form's field."""


def prove(chart: Chart | None, evidence: Evidence, id: str = "") -> Proof:
    """Look evidence up in the chart."""
    if chart is None:
        return Proof(id, evidence, False)
    if evidence.path is not None:
        return _fact(chart, evidence, evidence.path, id)
    document = next((item for item in chart.documents if item.id == evidence.document), None)
    return Proof(id, evidence, document is not None and stands(document, evidence), document)


def _fact(chart: Chart, evidence: Evidence, path: str, id: str) -> Proof:
    part, _, rest = path.partition("/")
    if not rest:
        known = part in type(chart).model_fields and chart.stay(part) == evidence.value
        return Proof(id, evidence, known, fact=part)
    if part == "patient":
        return Proof(id, evidence, chart.stay(path.replace("/", ".")) == evidence.value, fact=rest)
    entries: Sequence[Entry] = [entry for entry in chart.entries() if path.startswith(f"{part}/{entry.id}")]
    entry = max(entries, key=lambda entry: len(entry.id), default=None)
    if entry is None:
        return Proof(id, evidence, False, fact=part)
    name = path.removeprefix(f"{part}/{entry.id}").strip("/")
    form, _, box = name.partition("/")
    document = entry if isinstance(entry, ChartDocument) else None
    fact = "field" if document and form == "fields" else ".".join(filter(None, (part, name)))
    return Proof(id, evidence, value_of(entry, name) == evidence.value, document, entry, fact, box)
