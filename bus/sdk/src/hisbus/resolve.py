"""Where the path of a piece of evidence leads: to a fact of the stay or the patient, or to an entry of the chart."""

from hisbus_schemas import GRANTS, Chart, ChartDocument, Entry

PATIENT = "patient"


def resolves(chart: Chart, path: str) -> bool:
    """Tell whether a path leads to something that the chart has, whatever its value.

    ``FACT`` of the stay, ``patient/FACT``, ``PART/ID``, ``PART/ID/FACT``, ``documents/ID/fields/NAME``.
    """
    part, _, rest = path.partition("/")
    if part == PATIENT:
        return chart.patient is not None and rest in type(chart.patient).model_fields
    if not rest:
        return part in type(chart).model_fields and part not in GRANTS
    return part in GRANTS and any(_holds(entry, rest) for entry in getattr(chart, part))


def _holds(entry: Entry, rest: str) -> bool:
    if rest == entry.id:
        return True
    if not rest.startswith(f"{entry.id}/"):
        return False
    name, _, field = rest.removeprefix(f"{entry.id}/").partition("/")
    if field:
        return isinstance(entry, ChartDocument) and name == "fields" and field in entry.fields
    return name in type(entry).model_fields
