"""What an HL7 v2 message means: a pure function from a message to facts."""

from collections.abc import Callable
from functools import lru_cache

from hisbus_hl7v2.mapping import adt, allergies, charges, clinical, documents, drugs, orders, results
from hisbus_hl7v2.mapping.patient import Draft, Subject, only_subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.mapping.tables import Tables
from hisbus_hl7v2.source import Hl7Source
from hisbus_schemas import Fact

__all__ = ["facts"]

_COMMON = frozenset({"MSH", "EVN", "PID", "PV1"})
_CLINICAL = _COMMON | {"DG1", "PR1"} | allergies.READS

_READERS: list[tuple[frozenset[str], Callable[[Source, Subject, str], list[Draft]], frozenset[str]]] = [
    (documents.TYPES, documents.document_drafts, documents.READS),
    (results.TYPES, results.result_drafts, results.READS),
    (orders.TYPES, orders.order_drafts, orders.READS),
    (charges.TYPES, charges.charge_drafts, charges.READS),
    (drugs.TYPES, drugs.administration_drafts, drugs.READS),
    (clinical.TYPES | allergies.TYPES, lambda _source, _about, _trigger: [], frozenset()),
]
"""Types of message, what reads them, and the segments that it reads."""

_BY_TYPE = {type: (read, _CLINICAL | segments) for types, read, segments in _READERS for type in types}


def facts(read: Hl7Source) -> list[Fact] | None:
    """Say what a message means; None where there is no mapping for it.

    Raises:
        BadMessage: it has a mapping and cannot be understood.
    """
    context = read.context
    source = Source(read.message, read.raw, context.connector, context.zone, _tables(context.consults))
    type = source.message.header.type
    family, _, trigger = type.partition("^")
    if family == "ADT" and trigger in source.tables.adt:
        about = only_subject(source)
        drafts = [Draft(about, source.tables.adt[trigger]), *_clinical(source, about, trigger)]
        reads = _CLINICAL
    elif type in _BY_TYPE:
        about = only_subject(source)
        reader, reads = _BY_TYPE[type]
        drafts = [*reader(source, about, trigger), *_clinical(source, about, trigger)]
    elif type in adt.PATIENTS:
        drafts, reads = adt.patient_drafts(source, type), _COMMON | adt.READS
    else:
        return None
    read.take(reads, source.unread)
    return _made(read, source, drafts)


def _clinical(source: Source, about: Subject, trigger: str) -> list[Draft]:
    """Return what any message may say of the patient's state."""
    return [*clinical.drafts(source, about, trigger), *allergies.drafts(source, about)]


@lru_cache(maxsize=64)
def _tables(consults: frozenset[str]) -> Tables:
    return Tables(consults=consults)


def _made(read: Hl7Source, source: Source, drafts: list[Draft]) -> list[Fact]:
    """Make facts; what nothing read is kept on the first, so that nothing is lost."""
    rest = read.rest()
    # Only a segment's name is listed: what is none may be a patient's text.
    if any(segment.name == "?" for segment in rest):
        source.flag("malformed_segment")
    segments = [segment.text for segment in rest]
    made = [draft.fact(source.flags, [] if number else segments) for number, draft in enumerate(drafts)]
    read.flags += source.flags
    return made
