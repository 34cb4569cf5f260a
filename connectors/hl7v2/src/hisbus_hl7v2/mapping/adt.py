"""ADT: admissions, transfers, discharges and merges, with the diagnoses and procedures that travel in them."""

from hisbus import BadMessage
from hisbus_hl7v2.mapping.clinical import diagnoses, procedures
from hisbus_hl7v2.mapping.patient import only_subject, subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Message, Segment
from hisbus_schemas import Fact, Merge

READS = frozenset({"MSH", "EVN", "PID", "PV1", "DG1", "PR1"})
"""Segments that ``stay_facts`` reads."""

MERGES = frozenset({"ADT^A40"})
"""Types of message that merge patients."""

MERGE_READS = frozenset({"MSH", "EVN", "PID", "PV1", "MRG"})
"""Segments that ``merge_facts`` reads."""


def stay_facts(source: Source, kind: str) -> list[Fact]:
    """Return what happened to the stay, then its diagnoses and procedures."""
    about = only_subject(source)
    return [about.fact(kind), *diagnoses(source, about), *procedures(source, about)]


def merge_facts(source: Source) -> list[Fact]:
    """Return one fact for each merge of the message.

    Raises:
        BadMessage: a number is missing, or a patient is merged with himself.
    """
    facts = []
    for pid, mrg, pv1 in merges(source.message):
        about = subject(source, pid, pv1)
        prior = source.patient_id(mrg, 1)
        if about.patient is None or prior is None:
            raise BadMessage("A merge does not name both patients.", code="merge_without_patient")
        if about.patient == prior:
            raise BadMessage("A patient is merged with himself.", code="self_merge")
        facts.append(about.fact("patient.merged", Merge(prior=prior, prior_visit=source.visit_id(mrg, 5))))
    if not facts:
        raise BadMessage("A merge does not name the patient that ends.", code="merge_without_patient")
    return facts


def merges(message: Message) -> list[tuple[Segment, Segment, Segment | None]]:
    """Return PID, MRG and PV1 of each merge, in the message's order."""
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


def merges_itself(source: Source) -> bool:
    """Tell whether some patient of the message is merged with himself."""
    return any(
        (survivor := source.patient_id(pid, 3)) is not None and survivor == source.patient_id(mrg, 1)
        for pid, mrg, _ in merges(source.message)
    )
