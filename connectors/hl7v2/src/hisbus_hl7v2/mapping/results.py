"""Results and vital signs (ORU): OBR with its OBX."""

from collections.abc import Mapping

from hisbus import BadMessage
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Reading, Report

TYPES = frozenset({"ORU^R01", "OUL^R21", "OUL^R22", "OUL^R23", "OUL^R24"})
"""Types of message that ``result_drafts`` reads."""

READS = frozenset({"OBR", "OBX", "NTE"})
"""Segments that ``result_drafts`` reads."""

_BY_SPECIMEN = frozenset({"R22", "R23"})
"""Triggers whose messages say first the specimen and what was observed of it, then the reports."""

_TEXT = frozenset({"TX", "FT", "ST"})
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})
_FINAL = frozenset({"final", "corrected"})


def result_drafts(source: Source, about: Subject, trigger: str) -> list[Draft]:
    """Return one draft for each OBR; an OBX that is of no report, or does not say what it is, is left unread.

    Raises:
        BadMessage: no OBR: what was observed for which report cannot be told.
    """
    groups = _groups(source, by_specimen=trigger in _BY_SPECIMEN)
    if not groups:
        raise BadMessage("A result message without OBR.", code="no_report")
    notes = _notes(source)
    reports = [_report(source, obr, observations, notes) for obr, observations in groups]
    items = [reading.item for report in reports for reading in report.readings]
    vital = bool(items) and all(item.code in source.tables.vital_signs and item.system in ("", "LN") for item in items)
    return [Draft(about, "vitals.recorded" if vital else _kind(source, report), report) for report in reports]


def _kind(source: Source, report: Report) -> str:
    consult = report.service.code in source.tables.consults and report.status in _FINAL
    return "consult.completed" if consult else "result.reported"


def _groups(source: Source, *, by_specimen: bool) -> list[tuple[Segment, list[Segment]]]:
    groups: list[tuple[Segment, list[Segment]]] = []
    observations = source.unread
    specimen: int | None = None
    for segment in source.message.segments:
        name = segment.text[:3]
        if name == "OBR":
            observations, specimen = [], None
            groups.append((segment, observations))
        elif name == "SPM":
            observations = source.unread if by_specimen else observations
            specimen = len(observations)
        elif name == "SAC" and specimen is not None:
            # What stood between a specimen and its container was observed of the specimen.
            observed, observations[specimen:] = observations[specimen:], []
            source.unread += observed
            specimen = None
        elif name == "OBX":
            (observations if segment.raw(3) else source.unread).append(segment)
    return groups


def _notes(source: Source) -> Mapping[int, list[str]]:
    """Return the texts of NTE by the OBR or OBX that they stand behind, by its ``id``; others are left unread."""
    notes: dict[int, list[str]] = {}
    above: Segment | None = None
    for segment in source.message.segments:
        name = segment.text[:3]
        if name != "NTE":
            above = segment if name in ("OBR", "OBX") else None
        elif above is None:
            source.unread.append(segment)
        else:
            notes.setdefault(id(above), []).extend(source.notes(segment))
    return notes


def _report(source: Source, obr: Segment, observations: list[Segment], notes: Mapping[int, list[str]]) -> Report:
    service = source.code(obr, 4)
    number = obr.get(3) or obr.get(2)
    if not number:
        # Without a number of its own, a report is the same only for the same service at the same time.
        source.flag("no_report_number")
        number = f"{service.code}/{obr.get(7) or source.message.segments[0].get(7)}"
    return Report(
        number=number,
        service=service,
        status=source.word(source.tables.statuses, obr, 25) or "",
        notes=notes.get(id(obr), []),
        readings=[_reading(source, obx, notes.get(id(obx), [])) for obx in observations],
    )


def _reading(source: Source, obx: Segment, notes: list[str]) -> Reading:
    return Reading(
        item=source.code(obx, 3),
        sub=obx.get(4),
        values=[value for item in obx.repetitions(5) if (value := _value(source, obx.get(2), item))],
        unit=obx.get(6),
        range=source.message.decoded(obx.raw(7)),
        flags=[flag for item in obx.repetitions(8) if (flag := source.message.part(item))],
        status=source.word(source.tables.statuses, obx, 11) or "",
        time=source.time(obx, 14),
        notes=notes,
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
