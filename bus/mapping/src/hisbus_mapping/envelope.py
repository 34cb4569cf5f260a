"""What is decided of a message before it is stored, without a database: whose it is, and whether it is taken."""

from dataclasses import dataclass

from hisbus import Source
from hisbus_mapping.profile import Envelope, Numbers, Refusal
from hisbus_schemas import PatientId


@dataclass(frozen=True, slots=True)
class Judged:
    """What an envelope says."""

    code: str = ""
    """Empty: it is taken. Else the stable code it is refused with."""
    patient: PatientId | None = None
    """Whose message it is, which decides its key."""
    flags: tuple[str, ...] = ()


def judge(envelope: Envelope, source: Source, type: str, authority: str) -> Judged:
    """Judge a message that could be read.

    Args:
        envelope: of the profile.
        source: the message.
        type: of the message.
        authority: of numbers that name none.
    """
    refused = (one.code for one in envelope.refuse if type in one.types and _refuses(one, envelope, source, authority))
    found = patient(envelope.patient, source, envelope.patient.each, authority)
    return Judged(next(refused, ""), found, tuple(source.flags))


def patient(numbers: Numbers, source: Source, each: str, authority: str) -> PatientId | None:
    """Return the patient's number that a path names: the preferred one, else the first; None where there is none."""
    first: tuple[str, Source] | None = None
    for group in source.groups(each):
        number = _first(group, numbers.number)
        if not number:
            continue
        if numbers.prefer is None or _first(group, numbers.prefer.path) in numbers.prefer.among:
            first = (number, group)
            break
        first = first or (number, group)
    if first is None:
        return None
    number, group = first
    named = next(filter(None, (_first(group, path) for path in numbers.authority)), authority)
    return PatientId(authority=named, number=number)


def _refuses(refusal: Refusal, envelope: Envelope, source: Source, authority: str) -> bool:
    for group in source.groups(refusal.each):
        one, other = (patient(envelope.patient, group, path, authority) for path in refusal.same)
        if one is not None and one == other:
            return True
    return False


def _first(source: Source, path: str) -> str:
    texts = source.texts(path)
    return texts[0] if texts else ""
