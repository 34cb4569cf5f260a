"""What a stay brings, and what a fact of it calls for, in the words of ``Need``. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hisbus_bus.flow.chart import readings
from hisbus_schemas import (
    DIED,
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    Code,
    Entry,
)

_LIES = frozenset({"inpatient", "obstetric", "day", ""})
"""Classes of stays of which a record is asked; nobody has said of the last what it is."""
_OF_STAY = {"class": "patient_class", "disposition": "disposition"}


def of_entry(entry: Entry) -> Iterator[str]:
    """Yield the items that an entry brings; what its source has taken back brings nothing."""
    if not entry.counts:
        return
    match entry:
        case ChartDocument():
            yield from _named("document", _codes(entry.type))
            yield from _named("section", (part.name for part in entry.sections if part.text.strip()), bare=False)
            yield from _named("field", (name for name, value in entry.fields.items() if value.strip()), bare=False)
        case readings.Vital():
            yield from _named("vital", _codes(entry.item))
        case readings.Result():
            yield from _named("result", _codes(entry.item))
        case ChartOrder():
            yield from _named("order", [entry.order_class])
        case ChartDiagnosis():
            yield from _named("diagnosis", [entry.status])
        case ChartProcedure():
            yield from _named("procedure", ["operation" * entry.operation, *_codes(entry.code)])
        case ChartCharge():
            yield from _named("charge", _codes(entry.code))
        case ChartAllergy():
            yield from _named("allergy", [entry.kind])
        case ChartAdministration():
            yield from _named("administration", _codes(entry.what))


def of_stay(stay: Mapping[str, Any], patient: Mapping[str, Any]) -> Iterator[str]:
    """Yield the items that the stay's own fields bring, and the patient's."""
    yield from (item for item, field in _OF_STAY.items() if stay.get(field))
    if patient.get("sex"):
        yield "sex"


def calls(stay: Mapping[str, Any], patient: Mapping[str, Any], *, operated: bool) -> frozenset[str]:
    """Return the facts of a stay that call for something, as ``Need.after`` names them; none of an outpatient."""
    if stay.get("patient_class", "") not in _LIES:
        return frozenset()
    facts = {
        "admission": bool(stay.get("admitted")),
        "operation": operated,
        "death": stay.get("disposition") == DIED or bool(patient.get("dead")),
        "discharge": stay.get("status") == "discharged",
    }
    return frozenset(fact for fact, holds in facts.items() if holds)


def is_operation(entry: Entry) -> bool:
    """Tell whether an entry is an operation that has begun."""
    return isinstance(entry, ChartProcedure) and entry.operation and entry.start is not None


def _codes(code: Code) -> list[str]:
    return [one for one, _ in code.codes]


def _named(kind: str, codes: Iterable[str], *, bare: bool = True) -> Iterator[str]:
    """Yield a kind as such, and with each code that there is."""
    there = [f"{kind}:{code}" for code in codes if code]
    if bare or there:
        yield kind
    yield from there
