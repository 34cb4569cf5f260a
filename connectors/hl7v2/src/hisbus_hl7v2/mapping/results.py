"""Results and vital signs (ORU): OBR with its OBX."""

from hisbus import BadMessage
from hisbus_hl7v2.mapping.patient import only_subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Fact, Reading, Report

READS = frozenset({"MSH", "EVN", "PID", "PV1", "OBR", "OBX"})
"""Segments that ``result_facts`` reads."""

_TEXT = frozenset({"TX", "FT", "ST"})
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})


def result_facts(source: Source) -> tuple[list[Fact], list[Segment]]:
    """Return one fact for each OBR, and the OBX that stand before the first.

    Raises:
        BadMessage: no OBR: what was observed for which report cannot be told.
    """
    groups, unread = _groups(source)
    if not groups:
        raise BadMessage("A result message without OBR.", code="no_report")
    about = only_subject(source)
    reports = [_report(source, obr, observations) for obr, observations in groups]
    items = [reading.item for report in reports for reading in report.readings]
    vital = bool(items) and all(item.code in source.profile.vital_signs and item.system in ("", "LN") for item in items)
    kind = "vitals.recorded" if vital else "result.reported"
    return [about.fact(kind, report) for report in reports], unread


def _groups(source: Source) -> tuple[list[tuple[Segment, list[Segment]]], list[Segment]]:
    groups: list[tuple[Segment, list[Segment]]] = []
    unread: list[Segment] = []
    for segment in source.message.segments:
        if segment.name == "OBR":
            groups.append((segment, []))
        elif segment.name == "OBX":
            (groups[-1][1] if groups else unread).append(segment)
    return groups, unread


def _report(source: Source, obr: Segment, observations: list[Segment]) -> Report:
    service = source.code(obr, 4)
    number = obr.get(3) or obr.get(2)
    if not number:
        # Without a number of its own, a report is the same only for the same service at the same time.
        source.flag("no_report_number")
        number = f"{service.code}/{obr.get(7) or source.message.segments[0].get(7)}"
    return Report(
        number=number,
        service=service,
        status=obr.get(25),
        readings=[_reading(source, obx) for obx in observations],
    )


def _reading(source: Source, obx: Segment) -> Reading:
    return Reading(
        item=source.code(obx, 3),
        sub=obx.get(4),
        values=[value for item in obx.repetitions(5) if (value := _value(source, obx.get(2), item))],
        unit=obx.get(6),
        range=source.message.decoded(obx.raw(7)),
        flags=[flag for item in obx.repetitions(8) if (flag := source.message.part(item))],
        status=obx.get(11),
        time=source.time(obx, 14),
    )


def _value(source: Source, type: str, repetition: str) -> str:
    """Return one value as a person would read it."""
    part, decoded = source.message.part, source.message.decoded
    component = source.message.delimiters.component
    if type in _TEXT:
        return decoded(repetition)
    if type in _CODED:
        return part(repetition, 2) or part(repetition)
    if type == "SN":
        return decoded(repetition.replace(component, ""))
    if type == "ED":  # what it is; the data itself stays in the message
        return " ".join(text for number in range(1, 5) if (text := part(repetition, number)))
    return " ".join(text for item in repetition.split(component) if (text := decoded(item)))
