"""Diagnoses (DG1) and procedures (PR1)."""

import re
from datetime import timedelta

from hisbus_hl7v2.mapping.patient import Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Code, Diagnoses, Diagnosis, Fact, Moment, Procedure

_MINUTES = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_RANK = re.compile(r"[0-9]{1,4}")


def diagnoses(source: Source, about: Subject) -> list[Fact]:
    """Return one ``diagnosis.recorded`` for each type of diagnosis that the message carries."""
    sets: dict[str, list[Diagnosis]] = {}
    for dg1 in source.message.all("DG1"):
        sets.setdefault(dg1.get(6), []).append(_diagnosis(source, dg1))
    return [about.fact("diagnosis.recorded", Diagnoses(type=type, items=items)) for type, items in sets.items()]


def _diagnosis(source: Source, dg1: Segment) -> Diagnosis:
    rank = dg1.get(15)
    return Diagnosis(
        code=_named(source.code(dg1, 3), dg1.get(4)),
        time=source.time(dg1, 5),
        rank=int(rank) if _RANK.fullmatch(rank) else None,
        deleted=dg1.get(21) == "D",
    )


def procedures(source: Source, about: Subject) -> list[Fact]:
    """Return ``procedure.started`` or, where its length is known, ``procedure.ended`` for each procedure."""
    facts = []
    for pr1 in source.message.all("PR1"):
        start = source.time(pr1, 5)
        end = _end(source, pr1, start)
        data = Procedure(
            key=pr1.get(19) or f"{pr1.get(1)}/{pr1.get(5)}",
            code=_named(source.code(pr1, 3), pr1.get(4)),
            start=start,
            end=end,
            operation=pr1.get(6) in source.profile.operations,
            surgeon=source.person(pr1, 11),
            deleted=pr1.get(20) == "D",
        )
        facts.append(about.fact("procedure.ended" if end else "procedure.started", data))
    return facts


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
    return start.model_copy(update={"at": at})


def _named(code: Code, text: str) -> Code:
    return code.model_copy(update={"text": text}) if text and not code.text else code
