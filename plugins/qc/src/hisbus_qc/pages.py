"""The front page as rules read it: fields that may be repeated, codes with their names, times.

A field that stands several times is numbered: ``FP.OPERATION``, ``FP.OPERATION.2``. A coded field is ``CODE NAME``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from hisbus_qc import evidence
from hisbus_qc.clock import zone
from hisbus_qc.record import Record
from hisbus_schemas import ChartDocument, Evidence

_CODE = re.compile(r"^\s*([A-Z]\d[0-9A-Z][0-9A-Za-z.+*†/x]*|\d{2}\.[0-9x]+|M?\d{4,5}/\d)(?:\s+(.*))?$", re.DOTALL)
_TIMES = ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d")
PRINCIPAL = "FP.DIAGNOSIS"
OTHERS = "FP.OTHER_DIAGNOSIS"
OPERATION = "FP.OPERATION"


@dataclass(frozen=True)
class Value:
    """One field of a front page."""

    name: str
    text: str
    page: ChartDocument

    @property
    def proof(self) -> Evidence:
        """The field with its value as it was sent."""
        return evidence.at(f"documents/{self.page.id}/fields/{self.name}", self.page.fields[self.name])


@dataclass(frozen=True)
class Coded:
    """A diagnosis or operation with its code: of the front page, else of the chart."""

    code: str
    name: str
    principal: bool
    proof: Evidence
    ref: str
    subject: str


def values(page: ChartDocument, field: str) -> list[Value]:
    """Return the values of a field that are not empty, its repetitions in their order."""
    there = [
        Value(name, text.strip(), page)
        for name, text in page.fields.items()
        if text.strip() and (name == field or (name.startswith(f"{field}.") and name[len(field) + 1 :].isdigit()))
    ]
    return sorted(there, key=lambda value: (len(value.name), value.name))


def first(page: ChartDocument, field: str) -> Value | None:
    """Return a field, None where it is missing or empty."""
    text = page.fields.get(field, "").strip()
    return Value(field, text, page) if text else None


def split(text: str) -> tuple[str, str]:
    """Return code and name; a text without a code is a name."""
    match = _CODE.match(text)
    return (match[1], (match[2] or "").strip()) if match else ("", text.strip())


def newest(record: Record, types: tuple[str, ...]) -> ChartDocument | None:
    """Return the front page that was written last."""
    pages = record.documents(types)
    return pages[-1] if pages else None


def diagnoses(record: Record, types: tuple[str, ...]) -> list[Coded]:
    """Return the diagnoses of the front page; without one, the final diagnoses of the chart."""
    page = newest(record, types)
    if page:
        return list(_of_page(page, PRINCIPAL, principal=True)) + list(_of_page(page, OTHERS, principal=False))
    return [
        Coded(
            item.code.code,
            item.code.text,
            item.rank == 1,
            evidence.at(f"diagnoses/{item.id}/code", item.code.text or item.code.code or "-"),
            item.ref,
            item.id,
        )
        for item in record.chart.diagnoses
        if item.type == "F"
    ]


def operations(record: Record, types: tuple[str, ...]) -> list[Coded]:
    """Return the operations and procedures of the front page."""
    page = newest(record, types)
    return list(_of_page(page, OPERATION, principal=False)) if page else []


def coded(page: ChartDocument, field: str) -> list[Coded]:
    """Return a coded field with its repetitions."""
    return list(_of_page(page, field, principal=False))


def moment(record: Record, text: str) -> datetime | None:
    """Return a time as a front page writes it (YYYYMMDD[HHMM[SS]]), on the clock of the ward; None for no time."""
    digits = re.sub(r"[-/: T]", "", text)
    for form in _TIMES:
        if len(digits) == {"%Y%m%d%H%M%S": 14, "%Y%m%d%H%M": 12, "%Y%m%d": 8}[form] and digits.isdigit():
            try:
                return datetime.strptime(digits, form).replace(tzinfo=zone(record.chart))
            except ValueError:
                return None
    return None


def _of_page(page: ChartDocument, field: str, *, principal: bool) -> Iterator[Coded]:
    for value in values(page, field):
        code, name = split(value.text)
        yield Coded(code, name, principal, value.proof, page.ref, f"{page.id}:{value.name}")
