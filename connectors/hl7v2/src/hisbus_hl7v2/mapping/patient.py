"""Who and which stay: PID and PV1."""

from dataclasses import dataclass
from typing import Any

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
    flags: list[str]

    def fact(self, kind: str, data: Any = None) -> Fact:
        """Return a fact about this patient and stay."""
        return Fact(
            kind=kind,
            time=self.time,
            patient=self.patient,
            visit=self.visit,
            flags=self.flags,
            demographics=self.demographics,
            stay=self.stay,
            data=data,
            segments=[],  # given, for pydantic copies a default deeply
        )


def only_subject(source: Source) -> Subject:
    """Read who and which stay a message is about that is about one."""
    return subject(source, source.message.first("PID"), source.message.first("PV1"))


def subject(source: Source, pid: Segment | None, pv1: Segment | None) -> Subject:
    """Read who and which stay these segments name."""
    patient = source.patient_id(pid, 3) if pid else None
    if patient is None:
        source.flag("no_patient_id")
    return Subject(
        time=_time(source),
        patient=patient,
        visit=source.visit_id(pv1, 19) if pv1 else None,
        demographics=_demographics(source, pid) if pid else None,
        stay=_stay(source, pv1) if pv1 else None,
        flags=source.flags,
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
    part = source.message.part
    card = next((part(item) for item in pid.repetitions(3) if part(item, 5) in source.profile.identity_cards), None)
    dead = pid.get(30).upper()
    return Demographics(
        name=joined(pid.get(5), pid.get(5, 2)) or None,
        birth_date=source.date(pid, 7),
        sex=pid.get(8) or None,
        id_card=card or None,
        marital_status=pid.get(16) or None,
        died=source.time(pid, 29),
        dead={"Y": True, "N": False}.get(dead),
        deleted=_deleted(pid, {5: "name", 7: "birth_date", 8: "sex", 16: "marital_status", 29: "died", 30: "dead"}),
    )


def _stay(source: Source, pv1: Segment) -> Stay:
    location = None
    if pv1.repetitions(3):
        location = Location(ward=pv1.get(3), room=pv1.get(3, 2), bed=pv1.get(3, 3))
    return Stay(
        patient_class=pv1.get(2) or None,
        location=location,
        attending=source.person(pv1, 7),
        department=pv1.get(10) or None,
        admitted=source.time(pv1, 44),
        discharged=source.time(pv1, 45),
        disposition=pv1.get(36) or None,
        deleted=_deleted(pv1, _STAY_FIELDS),
    )


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
