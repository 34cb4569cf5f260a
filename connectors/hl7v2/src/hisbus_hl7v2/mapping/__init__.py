"""What an HL7 v2 message means: a pure function from a message to facts."""

from hisbus import Translation
from hisbus_hl7v2.mapping import adt, documents, results
from hisbus_hl7v2.mapping.profile import Profile
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Fact

__all__ = ["Profile", "Source", "translate"]


def translate(source: Source) -> Translation:
    """Say what a message means; ``mapped`` is false where there is no mapping for its type.

    Raises:
        BadMessage: it has a mapping and cannot be understood.
    """
    family, _, trigger = source.message.header.type.partition("^")
    unread: list[Segment] = []
    if family == "ADT" and trigger in source.profile.adt:
        facts, reads = adt.stay_facts(source, source.profile.adt[trigger]), adt.READS
    elif source.message.header.type in adt.MERGES:
        facts, reads = adt.merge_facts(source), adt.MERGE_READS
    elif family == "MDM" and trigger in documents.ACTIONS:
        (facts, unread), reads = documents.document_facts(source, trigger), documents.READS
    elif family == "ORU" and trigger == "R01":
        (facts, unread), reads = results.result_facts(source), results.READS
    else:
        return Translation(mapped=False, flags=source.message.flags)
    return _with_segments(source, facts, reads, unread)


def _with_segments(source: Source, facts: list[Fact], reads: frozenset[str], unread: list[Segment]) -> Translation:
    """Keep what nothing read on the first fact, so that nothing is lost."""
    kept = [segment for segment in source.message.segments if segment.text[:3] not in reads or segment in unread]
    # Only a segment's name is listed: what is none may be a patient's text.
    names = dict.fromkeys(segment.name for segment in kept)
    if "?" in names:
        source.flag("malformed_segment")
    facts[0] = facts[0].model_copy(update={"segments": [segment.text for segment in kept], "flags": source.flags})
    return Translation(True, facts, list(names), [*source.message.flags, *source.flags])
