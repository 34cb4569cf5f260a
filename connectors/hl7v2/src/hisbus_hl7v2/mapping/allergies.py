"""Allergies (AL1, IAM), in whatever message they come."""

from hisbus_hl7v2.mapping.clinical import named
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Allergy, AllergyKind, AllergyStatus, Code, Severity

TYPES = frozenset({"ADT^A60"})
"""Types of message that say allergies, and nothing else that a chart holds."""

READS = frozenset({"AL1", "IAM"})
"""Segments that ``drafts`` reads."""

_KINDS: dict[str, AllergyKind] = {
    "DA": "drug",
    "FA": "food",
    "EA": "environment",
    "AA": "animal",
    "PA": "plant",
    "LA": "pollen",
    "MC": "contraindication",
    "MA": "other",
}
"""AL1-2, IAM-2 (table 0127)."""

_SEVERITIES: dict[str, Severity | None] = {"MI": "mild", "MO": "moderate", "SV": "severe", "U": None}
"""AL1-4, IAM-4 (table 0128)."""

_STATUSES: dict[str, AllergyStatus] = {
    "C": "confirmed",
    "S": "suspected",
    "P": "unconfirmed",
    "U": "unconfirmed",
    "I": "inactive",
    "D": "refuted",
    "E": "refuted",
}
"""IAM-17 (table 0438)."""


def drafts(source: Source, about: Subject) -> list[Draft]:
    """Return one draft for each AL1 and IAM; one that does not say what is not borne is left unread."""
    found = []
    for segment in (*source.message.all("AL1"), *source.message.all("IAM")):
        what = named(source, segment, 3, 3)
        if what == Code():
            source.unread.append(segment)
        else:
            found.append(Draft(about, "allergy.recorded", _allergy(source, segment, what)))
    return found


def _allergy(source: Source, segment: Segment, what: Code) -> Allergy:
    adverse = segment.name == "IAM"
    own = segment.get(7) if adverse else ""
    began = (source.time(segment, 11) or source.time(segment, 13)) if adverse else source.time(segment, 6)
    return Allergy(
        key=own or (f"{what.system}|{what.code}" if what.code else what.text),
        what=what,
        kind=source.word(_KINDS, segment, 2) or "",
        severity=source.word(_SEVERITIES, segment, 4) or "",
        reactions=[text for item in segment.repetitions(5) if (text := _reaction(source, item))],
        status=(source.word(_STATUSES, segment, 17) or "") if adverse else "",
        time=began,
        withdrawn=adverse and segment.get(6) == "D",
        deleted=[name for name, number in (("severity", 4), ("reactions", 5)) if segment.is_null(number)],
    )


def _reaction(source: Source, repetition: str) -> str:
    """Return a reaction as a person would read it: the text of a code, else the code."""
    return source.message.part(repetition, 2) or source.message.part(repetition)
