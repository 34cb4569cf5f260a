"""Where evidence leads: to words of a document, a fact of the stay or the patient, or an entry of the chart."""

from hisbus_schemas import LISTS, Chart, ChartDocument, Code, Entry, Evidence, Moment, Person, called

PATIENT = "patient"
_LISTS = frozenset(part.name for part in LISTS)


def resolves(chart: Chart, path: str) -> bool:
    """Tell whether a path leads to something that the chart has, whatever its value.

    ``FACT`` of the stay, ``patient/FACT``, ``PART/ID``, ``PART/ID/FACT``, ``documents/ID/fields/NAME``.
    """
    part, _, rest = path.partition("/")
    if part == PATIENT:
        return chart.patient is not None and rest in type(chart.patient).model_fields
    if not rest:
        return part in type(chart).model_fields and part not in _LISTS
    return part in _LISTS and any(_holds(entry, rest) for entry in getattr(chart, part))


def _holds(entry: Entry, rest: str) -> bool:
    if rest == entry.id:
        return True
    if not rest.startswith(f"{entry.id}/"):
        return False
    name, _, field = rest.removeprefix(f"{entry.id}/").partition("/")
    if field:
        return isinstance(entry, ChartDocument) and name == "fields" and field in entry.fields
    return name in type(entry).model_fields


def stands(document: ChartDocument, evidence: Evidence) -> bool:
    """Tell whether a quote is, verbatim, where it is said to be."""
    section, begin, end = evidence.section, evidence.begin, evidence.end
    if section is None or begin is None or end is None or not evidence.quote:
        return False
    if evidence.version not in {None, document.version} or not 0 <= section < len(document.sections):
        return False
    return 0 <= begin < end and document.sections[section].text[begin:end] == evidence.quote


def cited(chart: Chart, path: str) -> Entry | None:
    """Return the entry that a path leads to, or to a field of which; None where it leads elsewhere."""
    part, _, rest = path.partition("/")
    entries = getattr(chart, part) if part in _LISTS else []
    return max((entry for entry in entries if _holds(entry, rest)), key=lambda entry: len(entry.id), default=None)


def value_at(chart: Chart, path: str) -> str | None:
    """Return what the chart says where a path that ``resolves`` leads, as evidence quotes it; None: nothing."""
    entry = cited(chart, path)
    if entry is None:
        return chart.stay(path.replace("/", "."))
    return value_of(entry, path.partition("/")[2].removeprefix(entry.id).strip("/"))


def value_of(entry: Entry, name: str) -> str | None:
    """Return what a chart entry says under a name; under none what it is quoted with."""
    if not name:
        return entry.value
    if isinstance(entry, ChartDocument) and name.startswith("fields/"):
        return entry.fields.get(name.removeprefix("fields/"))
    value = getattr(entry, name, None)
    if isinstance(value, Code):
        return called(value)
    if isinstance(value, Person):
        return value.name or value.id
    return value.isoformat() if isinstance(value, Moment) else None
