"""Who and which stay: PID and PV1."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hisbus_hl7v2.mapping.source import FUTURE, Source, joined, source_time
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Demographics, Fact, Location, Moment, PatientId, Stay, Unknown, VisitId


@dataclass(slots=True)
class Subject:
    """What every fact of a message carries."""

    time: Moment
    patient: PatientId | None
    visit: VisitId | None
    demographics: Demographics | None
    stay: Stay | None
    unknown: list[Unknown] = field(default_factory=list)
    """Codes of the stay that have no word of ours."""


class Draft(NamedTuple):
    """A fact whose message has not been read to its end."""

    about: Subject
    kind: str
    data: Any = None
    unknown: tuple[Unknown, ...] = ()
    """Codes of ``data`` that have no word of ours."""

    def fact(self, flags: list[str], segments: list[str]) -> Fact:
        """Return the fact."""
        about = self.about
        return Fact(
            kind=self.kind,
            time=about.time,
            patient=about.patient,
            visit=about.visit,
            flags=flags,
            demographics=about.demographics,
            stay=about.stay,
            data=self.data,
            unknown=[*about.unknown, *self.unknown],
            segments=segments,
        )


def only_subject(source: Source) -> Subject:
    """Read who and which stay a message is about that is about one."""
    return subject(source, source.message.first("PID"), source.message.first("PV1"))


def subject(source: Source, pid: Segment | None, pv1: Segment | None) -> Subject:
    """Read who and which stay these segments name."""
    patient = source.patient_id(pid, 3) if pid is not None else None
    if patient is None:
        source.flag("no_patient_id")
    unknown = _unknown(source, pv1) if pv1 is not None else []
    return Subject(
        time=_time(source),
        patient=patient,
        visit=source.visit_id(pv1, 19) if pv1 is not None else None,
        demographics=_demographics(source, pid) if pid is not None else None,
        stay=_stay(source, pv1, bool(unknown)) if pv1 is not None else None,
        unknown=unknown,
    )


def _time(source: Source) -> Moment:
    time, flags = source_time(source.message, source.zone)
    for flag in flags:
        source.flag(flag)
    if time is None:
        source.flag("no_source_time")
        return Moment(at=source.raw.recorded)
    if time.at - source.raw.recorded > FUTURE or "future_time" in source.raw.flags:
        source.flag("future_time")
    return time


def _demographics(source: Source, pid: Segment) -> Demographics:
    cards = source.tables.identity_cards
    card = next((number for number, _, type in source.numbers(pid, 3) if type in cards), None)
    dead = pid.get(30).upper()
    return Demographics(
        name=joined(*pid.values(5, 2)) or None,
        birth_date=source.date(pid, 7),
        sex=source.word(source.tables.sexes, pid, 8),
        id_card=card,
        marital_status=pid.get(16) or None,
        died=source.time(pid, 29),
        dead={"Y": True, "N": False}.get(dead),
        deleted=_deleted(pid, _PATIENT_FIELDS),
    )


def _stay(source: Source, pv1: Segment, unclassed: bool) -> Stay:
    ward, room, bed = pv1.values(3, 3)
    disposition = pv1.get(36)
    return Stay(
        patient_class=source.tables.classes.get(pv1.get(2)),
        location=Location(ward=ward, room=room, bed=bed) if ward or room or bed else None,
        attending=source.person(pv1, 7),
        department=pv1.get(10) or None,
        admitted=source.time(pv1, 44),
        discharged=source.time(pv1, 45),
        disposition=source.tables.dispositions.get(disposition, disposition) or None,
        # A class that is not known takes the place of the one that was.
        deleted=[*_deleted(pv1, _STAY_FIELDS), *(["patient_class"] if unclassed else [])],
    )


def _unknown(source: Source, pv1: Segment) -> list[Unknown]:
    code = pv1.get(2)
    if not code or code in source.tables.classes or code in _SAYS_NO_CLASS:
        return []
    source.flag("unknown_code.PV1-2")
    return [Unknown(item="class", code=source.code(pv1, 2))]


_PATIENT_FIELDS = {5: "name", 7: "birth_date", 8: "sex", 16: "marital_status", 29: "died", 30: "dead"}

_SAYS_NO_CLASS = frozenset("NU")
"""PV1-2 of a message about a person, which must have a PV1 and says nothing with it (A28, A31); or not known."""

_STAY_FIELDS = {
    2: "patient_class",
    3: "location",
    7: "attending",
    10: "department",
    36: "disposition",
    44: "admitted",
    45: "discharged",
}


def _deleted(segment: Segment, names: dict[int, str]) -> list[str]:
    if '""' not in segment.text:
        return []
    return [name for number, name in names.items() if segment.is_null(number)]
