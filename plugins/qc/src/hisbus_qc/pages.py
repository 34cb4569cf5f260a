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
    path: str
    said: str
    ref: str
    subject: str

    @property
    def proof(self) -> Evidence:
        """Where it stands, with what it says there."""
        return evidence.at(self.path, self.said)


def values(page: ChartDocument, field: str) -> list[Value]:
    """Return the values of a field that are not empty, its repetitions in their order."""
    fields = page.fields
    names = [field, f"{field}.1"]
    number = 2
    while (name := f"{field}.{number}") in fields:
        names.append(name)
        number += 1
    return [Value(name, text, page) for name in names if (text := fields.get(name, "").strip())]


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
    return record.once(("diagnoses", types), lambda: _diagnoses(record, newest(record, types)))


def _diagnoses(record: Record, page: ChartDocument | None) -> list[Coded]:
    if page:
        return [*_of_page(page, PRINCIPAL, principal=True), *_of_page(page, OTHERS, principal=False)]
    return [
        Coded(
            item.code.code,
            item.code.text,
            item.rank == 1,
            f"diagnoses/{item.id}/code",
            item.title or "-",
            item.ref,
            item.id,
        )
        for item in record.chart.diagnoses
        if item.status == "final"
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
    if len(digits) not in {8, 12, 14} or not (digits.isascii() and digits.isdigit()):
        return None
    parts = [int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, len(digits), 2))]
    try:
        year, month, day, hour, minute, second = [*parts, 0, 0, 0][:6]
        return datetime(year, month, day, hour, minute, second, tzinfo=zone(record.chart))
    except ValueError:
        return None


def _of_page(page: ChartDocument, field: str, *, principal: bool) -> Iterator[Coded]:
    for value in values(page, field):
        code, name = split(value.text)
        path = f"documents/{page.id}/fields/{value.name}"
        yield Coded(code, name, principal, path, page.fields[value.name], page.ref, f"{page.id}:{value.name}")
