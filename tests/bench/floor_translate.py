"""The floor of translating: the bench's one message read by hand-written Python, with the same reader and contracts.

It knows what this message holds and nothing else: no other type, no code that no table has, no flag, nothing emptied.
"""

from datetime import UTC, date, datetime, timedelta

from hisbus_hl7v2.message import Message, Segment
from hisbus_schemas import (
    Allergy,
    Code,
    Demographics,
    Diagnoses,
    Diagnosis,
    Fact,
    Location,
    Moment,
    NameParts,
    PatientId,
    Person,
    Procedure,
    Stay,
    VisitId,
)

READ = frozenset({"MSH", "EVN", "PID", "PV1", "DG1", "PR1", "AL1"})
LENGTHS = {8: "day", 12: "minute"}


def translate(body: bytes) -> list[Fact]:
    """Return the facts of the bench's message."""
    message = Message.read(body, "utf-8")
    evn, pid, pv1, dg1, pr1, al1 = (message.by_name[name][0] for name in ("EVN", "PID", "PV1", "DG1", "PR1", "AL1"))
    about = {
        "time": moment(evn.get(6)),
        "patient": PatientId(authority=pid.get(3, 4), number=pid.get(3)),
        "visit": VisitId(authority=pv1.get(19, 4), number=pv1.get(19)),
        "flags": message.flags,
        "demographics": demographics(pid),
        "stay": stay(pv1),
    }
    facts = [
        ("encounter.admitted", None),
        ("diagnosis.recorded", diagnoses(dg1)),
        ("procedure.ended", procedure(pr1)),
        ("allergy.recorded", allergy(al1)),
    ]
    rest = [one.text for one in message.segments if one.name not in READ]
    return [
        Fact(kind=kind, data=data, **about, segments=() if number else rest)
        for number, (kind, data) in enumerate(facts)
    ]


def demographics(pid: Segment) -> Demographics:
    """Return what PID says."""
    family, given, middle, suffix, prefix = pid.values(5, 5)
    born = pid.get(7)
    return Demographics(
        name=f"{family} {given}",
        name_parts=NameParts(family=family, given=given, middle=middle, suffix=suffix, prefix=prefix),
        number_type=pid.get(3, 5),
        birth_date=date(int(born[:4]), int(born[4:6]), int(born[6:8])),
        sex={"M": "male", "F": "female"}[pid.get(8)],
        marital_status=pid.get(16),
        died=moment(pid.get(29)),
        dead=pid.get(30) == "Y",
        deleted=(),
    )


def stay(pv1: Segment) -> Stay:
    """Return what PV1 says."""
    ward, room, bed = pv1.values(3, 3)
    return Stay(
        patient_class={"I": "inpatient", "P": "preadmit"}[pv1.get(2)],
        location=Location(ward=ward, room=room, bed=bed),
        attending=person(pv1, 7),
        department=pv1.get(10),
        admitted=moment(pv1.get(44)),
        disposition=pv1.get(36),
        deleted=(),
    )


def diagnoses(dg1: Segment) -> Diagnoses:
    """Return what DG1 says."""
    item = Diagnosis(code=code(dg1, 3), time=moment(dg1.get(5)), rank=int(dg1.get(15)))
    return Diagnoses(status={"A": "admitting"}[dg1.get(6)], items=[item])


def procedure(pr1: Segment) -> Procedure:
    """Return what PR1 says."""
    start = moment(pr1.get(5))
    end = start.model_copy(update={"at": start.at + timedelta(minutes=int(pr1.get(7)))})
    return Procedure(key=pr1.get(19), code=code(pr1, 3), start=start, end=end, surgeon=person(pr1, 11))


def allergy(al1: Segment) -> Allergy:
    """Return what AL1 says."""
    what = code(al1, 3)
    return Allergy(
        key=f"{what.system}|{what.code}",
        what=what,
        kind={"EA": "environment"}[al1.get(2)],
        severity={"MI": "mild"}[al1.get(4)],
        reactions=[al1.get(5)],
        time=moment(al1.get(6)),
        deleted=(),
    )


def person(segment: Segment, number: int) -> Person:
    """Return a member of staff."""
    id, family, given, _, _, prefix, degree = segment.values(number, 7)
    return Person(id=id, name=f"{family} {given}", title=f"{prefix} {degree}")


def code(segment: Segment, number: int) -> Code:
    """Return a coded value."""
    code, text, system = segment.values(number, 3)
    return Code(code=code, text=text, system=system)


def moment(text: str) -> Moment:
    """Return a time."""
    digits = text.partition("+")[0].partition(".")[0]
    local = datetime.fromisoformat(f"{text[:8]}T{text[8:] or '00+0800'}")
    east = local.utcoffset() or timedelta()
    at = local.replace(tzinfo=UTC) - east
    return Moment(at=at, precision=LENGTHS.get(len(digits), "second"), offset=east // timedelta(minutes=1))
