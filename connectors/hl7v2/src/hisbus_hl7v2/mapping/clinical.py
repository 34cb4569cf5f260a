"""Diagnoses (DG1) and procedures (PR1), in whatever message they come."""

import re
from datetime import timedelta
from typing import Literal

from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Code, Diagnoses, Diagnosis, DiagnosisStatus, Moment, Procedure

TYPES = frozenset({"BAR^P01", "BAR^P05", "BAR^P12"})
"""Types of message that say diagnoses and procedures, and nothing else that a chart holds."""

_WHOLE = frozenset({"A01", "A03", "A08"})
"""Triggers of messages whose diagnoses are the whole set of their status; those of others are added."""

_MINUTES = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_RANK = re.compile(r"[0-9]{1,4}")


def drafts(source: Source, about: Subject, trigger: str) -> list[Draft]:
    """Return one draft for each status of diagnoses that the message carries, then one for each procedure."""
    found = _diagnoses(source, about, trigger in _WHOLE) if source.message.first("DG1") else []
    return found + [_procedure(source, about, pr1) for pr1 in source.message.all("PR1")]


def _diagnoses(source: Source, about: Subject, whole: bool) -> list[Draft]:
    sets: dict[DiagnosisStatus | Literal[""], list[Diagnosis]] = {}
    for dg1 in source.message.all("DG1"):
        status = source.word(source.tables.diagnoses, dg1, 6)
        sets.setdefault(status or "", []).append(_diagnosis(source, dg1))
    return [
        Draft(about, "diagnosis.recorded", Diagnoses(status=status, items=items, whole=whole))
        for status, items in sets.items()
    ]


def _diagnosis(source: Source, dg1: Segment) -> Diagnosis:
    rank = dg1.get(15)
    return Diagnosis(
        code=named(source, dg1, 3, 4),
        time=source.time(dg1, 5),
        rank=int(rank) if _RANK.fullmatch(rank) else None,
        deleted=dg1.get(21) == "D",
    )


def _procedure(source: Source, about: Subject, pr1: Segment) -> Draft:
    """Return ``procedure.started`` or, where its length is known, ``procedure.ended``."""
    start = source.time(pr1, 5)
    end = _end(source, pr1, start)
    procedure = Procedure(
        key=pr1.get(19) or f"{pr1.get(1)}/{pr1.get(5)}",
        code=named(source, pr1, 3, 4),
        start=start,
        end=end,
        operation=pr1.get(6) in source.tables.operations,
        surgeon=source.person(pr1, 11),
        deleted=pr1.get(20) == "D",
    )
    return Draft(about, "procedure.ended" if end else "procedure.started", procedure)


def _end(source: Source, pr1: Segment, start: Moment | None) -> Moment | None:
    minutes = pr1.get(7)
    if start is None or not minutes:
        return None
    if not _MINUTES.fullmatch(minutes):
        source.flag("bad_number.PR1-7")
        return None
    try:
        at = start.at + timedelta(minutes=float(minutes))
    except OverflowError:
        source.flag("bad_number.PR1-7")
        return None
    return Moment(at=at, precision=start.precision, offset=start.offset)


def named(source: Source, segment: Segment, number: int, description: int) -> Code:
    """Return a coded value whose text, where it has none, stands in a field of its own."""
    code = source.code(segment, number)
    text = "" if code.text else segment.get(description)
    return Code(code=code.code, text=text, system=code.system) if text else code
