"""Who and which stay: PID and PV1."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from hisbus_hl7v2.mapping.source import FUTURE, Source, joined, source_time
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Demographics, Fact, Location, Moment, PatientId, Stay, VisitId


@dataclass(slots=True)
class Subject:
    """What every fact of a message carries."""

    time: Moment
    patient: PatientId | None
    visit: VisitId | None
    demographics: Demographics | None
    stay: Stay | None


class Draft(NamedTuple):
    """A fact whose message has not been read to its end."""

    about: Subject
    kind: str
    data: Any = None

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
    return Subject(
        time=_time(source),
        patient=patient,
        visit=source.visit_id(pv1, 19) if pv1 is not None else None,
        demographics=_demographics(source, pid) if pid is not None else None,
        stay=_stay(source, pv1) if pv1 is not None else None,
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
    cards = source.profile.identity_cards
    card = next((number for number, _, type in source.numbers(pid, 3) if type in cards), None)
    dead = pid.get(30).upper()
    return Demographics(
        name=joined(*pid.values(5, 2)) or None,
        birth_date=source.date(pid, 7),
        sex=pid.get(8) or None,
        id_card=card,
        marital_status=pid.get(16) or None,
        died=source.time(pid, 29),
        dead={"Y": True, "N": False}.get(dead),
        deleted=_deleted(pid, _PATIENT_FIELDS),
    )


def _stay(source: Source, pv1: Segment) -> Stay:
    ward, room, bed = pv1.values(3, 3)
    patient_class = pv1.get(2)
    return Stay(
        patient_class=patient_class if patient_class not in ("", _NOT_APPLICABLE) else None,
        location=Location(ward=ward, room=room, bed=bed) if ward or room or bed else None,
        attending=source.person(pv1, 7),
        department=pv1.get(10) or None,
        admitted=source.time(pv1, 44),
        discharged=source.time(pv1, 45),
        disposition=pv1.get(36) or None,
        deleted=_deleted(pv1, _STAY_FIELDS),
    )


_PATIENT_FIELDS = {5: "name", 7: "birth_date", 8: "sex", 16: "marital_status", 29: "died", 30: "dead"}

_NOT_APPLICABLE = "N"
"""PV1-2 of a message about a person, which must have a PV1 and says nothing with it (A28, A31)."""

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
