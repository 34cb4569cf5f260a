"""ADT about who is who: patients that merge, and visits that move from one patient to another."""

from hisbus import BadMessage
from hisbus_hl7v2.mapping.patient import Draft, Subject, subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Message, Segment
from hisbus_schemas import Merge, Move, PatientId

MERGES = frozenset({"ADT^A18", "ADT^A30", "ADT^A34", "ADT^A36", "ADT^A40"})
"""Types of message that merge patients: the number in MRG-1 ends in that of PID-3."""

_RENUMBERED = "ADT^A47"
"""A patient's number changes: as in a merge, but perhaps not the number that he is known by."""

_MOVED = "ADT^A45"

_PARKED = frozenset({"ADT^A39", "ADT^A42", "ADT^A43", "ADT^A44", "ADT^A46", "ADT^A50"})
"""They change whose something is, or a visit's number, in ways that a chart cannot follow: a person must look."""

PATIENTS = MERGES | _PARKED | {_RENUMBERED, _MOVED}
"""Types of message that ``patient_drafts`` reads."""

READS = frozenset({"MRG"})
"""Segments that ``patient_drafts`` reads."""


def patient_drafts(source: Source, type: str) -> list[Draft]:
    """Return one draft for each merge or move of the message.

    Raises:
        BadMessage: a number is missing, a patient is merged with himself, or nothing here can follow the change.
    """
    if type in _PARKED:
        raise BadMessage("What this message moves cannot be followed. Mend the chart's source.", code="unhandled_move")
    drafts = []
    for pid, mrg, pv1 in merges(source.message):
        about = subject(source, pid, pv1)
        if type == _MOVED:
            drafts.append(_move(source, about, mrg))
            continue
        prior = source.patient_id(mrg, 1)
        if about.patient is None or prior is None:
            raise BadMessage("A merge does not name both patients.", code="merge_without_patient")
        drafts.append(_merge(source, about, prior, mrg, type))
    if not drafts:
        raise BadMessage("A merge or move does not name what ends.", code="merge_without_patient")
    return drafts


def _merge(source: Source, about: Subject, prior: PatientId, mrg: Segment, type: str) -> Draft:
    if about.patient != prior:
        return Draft(about, "patient.merged", Merge(prior=prior, prior_visit=source.visit_id(mrg, 5)))
    if type == _RENUMBERED:
        return Draft(about, "patient.updated")
    raise BadMessage("A patient is merged with himself.", code="self_merge")


def _move(source: Source, about: Subject, mrg: Segment) -> Draft:
    visit = source.visit_id(mrg, 5)
    if about.patient is None or visit is None:
        raise BadMessage("A move does not name the visit and its new patient.", code="move_without_visit")
    if about.visit is not None:
        if about.visit.number != visit.number:
            raise BadMessage("A visit that moves has another number afterwards.", code="visit_renumbered")
        visit = about.visit  # named as the visit's other messages name it
    return Draft(about, "encounter.moved", Move(prior=source.patient_id(mrg, 1), visit=visit))


def merges(message: Message) -> list[tuple[Segment, Segment, Segment | None]]:
    """Return PID, MRG and PV1 of each merge or move, in the message's order."""
    found: list[tuple[Segment, Segment, Segment | None]] = []
    pid: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            pid = segment
        elif segment.name == "MRG" and pid is not None:
            found.append((pid, segment, None))
        elif segment.name == "PV1" and found and found[-1][0] is pid:
            found[-1] = (found[-1][0], found[-1][1], segment)
    return found
