"""Say facts as HL7 2.5 messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hisbus_simulator.facts import (
    AdmissionCancelled,
    Admitted,
    Charged,
    DischargeCancelled,
    Discharged,
    Fact,
    Filed,
    Measured,
    Merged,
    Operation,
    Ordered,
    Place,
    Reading,
    Registered,
    Reported,
    Transferred,
    Updated,
)
from hisbus_simulator.people import Doctor, Patient

CHARSETS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}
"""What MSH-18 says, and Python's name for it."""

_ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "&": "\\T\\"})
_AUTHORITY = "HOSP"
_DIED = "20"


@dataclass(frozen=True, slots=True)
class Context:
    """What a message says besides its fact: who, where, by whom."""

    patient: Patient
    place: Place
    department: str
    doctor: Doctor
    surgeon: Doctor
    provisional: str = ""
    """The number that the patient goes by until the merge; empty: there is none."""

    def after(self, fact: Fact) -> "Context":
        """Return the context of what follows this fact."""
        match fact:
            case Transferred():
                return replace(self, place=fact.place)
            case Merged():
                return replace(self, provisional="")
            case _:
                return self


def say(fact: Fact, context: Context, control_id: str, charset: str) -> str:
    """Return the message that tells a fact, each segment ended by CR."""
    type, segments = _told(fact, context)
    header = f"MSH|^~\\&|EMR|{_AUTHORITY}|HISBUS|QC|{stamp(fact.at)}||{type}|{control_id}|P|2.5||||||{charset}"
    return "\r".join([header, *segments, ""])


def stamp(moment: datetime) -> str:
    """Return a time as HL7 writes it, to the second, with its offset."""
    return moment.strftime("%Y%m%d%H%M%S%z")


def escape(text: str) -> str:
    """Return a text with HL7's delimiters escaped."""
    return text.translate(_ESCAPES)


def _told(fact: Fact, context: Context) -> tuple[str, list[str]]:
    """Return MSH-9 and the segments after MSH."""
    after = context.after(fact)
    head = [f"EVN||{stamp(fact.at)}", _pid(after, died=isinstance(fact, Discharged) and fact.died)]
    match fact:
        case Admitted():
            visit = _pv1(fact, context, {44: stamp(fact.admitted)})
            allergies = [
                _segment("AL1", {1: str(n), 2: kind, 3: f"^{escape(name)}"})
                for n, (kind, name) in enumerate(fact.allergies, 1)
            ]
            return "ADT^A01^ADT_A01", [*head, visit, *allergies, *_dg1(fact.diagnoses, "A", fact.at)]
        case Registered():
            return "ADT^A04^ADT_A01", [*head, _pv1(fact, context, {2: "O"})]
        case AdmissionCancelled():
            return "ADT^A11^ADT_A09", [*head, _pv1(fact, context)]
        case Transferred():
            return "ADT^A02^ADT_A02", [*head, _pv1(fact, after)]
        case Updated():
            more = [*_dg1(fact.diagnoses, "W", fact.at), *_pr1(fact.operations, context)]
            return "ADT^A08^ADT_A01", [*head, _pv1(fact, context), *more]
        case Discharged():
            visit = _pv1(fact, context, {36: _DIED if fact.died else "01", 45: stamp(fact.discharged)})
            more = [*_dg1(fact.diagnoses, "F", fact.at), *_pr1(fact.operations, context)]
            return "ADT^A03^ADT_A03", [*head, visit, *more]
        case DischargeCancelled():
            return "ADT^A13^ADT_A01", [*head, _pv1(fact, context)]
        case Merged():
            return "ADT^A40^ADT_A39", [*head, _segment("MRG", {1: _cx(context.provisional, "MR")})]
        case Measured():
            obr = _obr(fact.number, ("VITALS", "生命体征"), fact.at, fact.at)
            return "ORU^R01^ORU_R01", [head[1], _pv1(fact, context), obr, *_readings(fact.readings, fact.at)]
        case Ordered():
            return "ORM^O01^ORM_O01", [head[1], _pv1(fact, context), *_order(fact, context)]
        case Charged():
            return "DFT^P03^DFT_P03", [*head, _pv1(fact, context), *_ft1(fact)]
        case Reported():
            obr = _obr(fact.number, fact.service, fact.ordered, fact.at)
            obx = _readings(fact.readings, fact.ordered) or _texts((s.code, s.title, s.text) for s in fact.sections)
            return "ORU^R01^ORU_R01", [head[1], _pv1(fact, context), obr, *obx]
        case Filed():
            lines = _texts((s.code, s.title, s.text) for s in fact.sections)
            fields = [_obx(n, "ST", name, value) for n, (name, value) in enumerate(fact.fields.items(), 1)]
            type = "MDM^T10^MDM_T02" if fact.replaces else "MDM^T02^MDM_T02"
            return type, [*head, _pv1(fact, context), _txa(fact, context), *(lines or fields)]
    raise TypeError(f"no message tells a {fact.__class__.__name__}")


def _segment(name: str, fields: Mapping[int, str]) -> str:
    return "|".join([name, *(fields.get(position, "") for position in range(1, max(fields) + 1))])


def _cx(number: str, type: str) -> str:
    return f"{number}^^^{_AUTHORITY}^{type}"


def _xcn(doctor: Doctor) -> str:
    return f"{doctor.id}^{escape(doctor.family)}^{escape(doctor.given)}"


def _pid(context: Context, *, died: bool) -> str:
    who = context.patient
    known = "" if context.provisional else f"~{who.card}^^^CN^NI"
    fields = {
        1: "1",
        3: _cx(context.provisional or who.number, "MR") + known,
        5: f"{escape(who.family)}^{escape(who.given)}",
        7: who.birth.strftime("%Y%m%d"),
        8: "M" if who.male else "F",
        16: "M" if who.married else "S",
    }
    return _segment("PID", fields | ({30: "Y"} if died else {}))


def _pv1(fact: Fact, context: Context, more: Mapping[int, str] | None = None) -> str:
    place = context.place
    fields = {
        1: "1",
        2: "I",
        3: f"{place.ward}^{place.room}^{place.bed}^{_AUTHORITY}",
        7: _xcn(context.doctor),
        10: context.department,
        19: f"{fact.visit}^^^{_AUTHORITY}",
    }
    return _segment("PV1", fields | dict(more or {}))


def _dg1(diagnoses: tuple[tuple[str, str], ...], type: str, at: datetime) -> list[str]:
    return [
        _segment("DG1", {1: str(n), 3: f"{code}^{escape(text)}^I10", 5: stamp(at), 6: type, 15: str(n)})
        for n, (code, text) in enumerate(diagnoses, 1)
    ]


def _pr1(operations: tuple[Operation, ...], context: Context) -> list[str]:
    return [
        _segment(
            "PR1",
            {
                1: str(n),
                3: f"{operation.code}^{escape(operation.name)}^I9C",
                5: stamp(operation.start),
                6: operation.kind,
                7: str(operation.minutes),
                11: _xcn(context.surgeon),
                19: operation.number,
            },
        )
        for n, operation in enumerate(operations, 1)
    ]


def _order(fact: Ordered, context: Context) -> list[str]:
    number, what = f"{fact.number}^EMR", f"{fact.code}^{escape(fact.name)}^L"
    orc = _segment("ORC", {1: "NW", 2: number, 9: stamp(fact.ordered), 12: _xcn(context.doctor)})
    if fact.medicine:
        return [orc, _segment("RXO", {1: what})]
    return [orc, _segment("OBR", {1: "1", 2: number, 4: what, 7: stamp(fact.ordered)})]


def _ft1(fact: Charged) -> list[str]:
    return [
        _segment(
            "FT1",
            {
                1: str(n),
                2: f"{fact.visit}-C{n:03}",
                4: stamp(fact.at),
                6: "CG",
                7: f"{code}^{escape(name)}^L",
                10: "1",
                11: f"{amount}.00",
            },
        )
        for n, (code, name, amount) in enumerate(fact.items, 1)
    ]


def _obr(number: str, service: tuple[str, str], taken: datetime, reported: datetime) -> str:
    fields = {1: "1", 3: f"{number}^LIS", 4: f"{service[0]}^{escape(service[1])}^L", 7: stamp(taken)}
    return _segment("OBR", fields | {22: stamp(reported), 25: "F"})


def _obx(n: int, type: str, item: str, value: str, more: Mapping[int, str] | None = None) -> str:
    return _segment("OBX", {1: str(n), 2: type, 3: item, 5: escape(value), 11: "F"} | dict(more or {}))


def _readings(readings: tuple[Reading, ...], at: datetime) -> list[str]:
    told: list[str] = []
    for n, reading in enumerate(readings, 1):
        more = {
            6: escape(reading.unit),
            7: f"{reading.low:g}-{reading.high:g}",
            8: reading.flag,
            14: stamp(at),
        }
        told.append(_obx(n, "NM", f"{reading.code}^{escape(reading.name)}^LN", reading.text, more))
        if reading.note:
            told.append(_segment("NTE", {1: "1", 2: "L", 3: escape(reading.note)}))
    return told


def _texts(sections: Iterable[tuple[str, str, str]]) -> list[str]:
    lines = [(code, title, line) for code, title, text in sections for line in text.splitlines()]
    return [_obx(n, "TX", f"{code}^{escape(title)}", line) for n, (code, title, line) in enumerate(lines, 1)]


def _txa(fact: Filed, context: Context) -> str:
    author = _xcn(context.surgeon if fact.by == "surgeon" else context.doctor)
    fields = {1: "1", 2: f"{fact.type}^{escape(fact.title)}", 3: "TX", 4: stamp(fact.about), 9: author}
    fields |= {12: fact.number, 13: fact.replaces, 17: "AU" if fact.signed else "IP", 19: "AV"}
    if fact.signed:
        fields[22] = author + "^" * 12 + stamp(fact.signed)
    return _segment("TXA", fields)
