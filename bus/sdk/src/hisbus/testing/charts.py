"""Charts, events and cases by hand."""

from datetime import UTC, datetime
from typing import Any

from hisbus.agent import Case
from hisbus_schemas import (
    Chart,
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartMove,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    ChartUnknown,
    Code,
    Coverage,
    Entry,
    Event,
    Location,
    Moment,
    Patient,
    PatientId,
    Person,
    Position,
    Section,
    VisitId,
)

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
"""The present of a chart that is given none."""

LOINC = "LN"


def moment(at: datetime | str) -> Moment:
    """Return a moment in its own offset. Texts are ISO 8601 with an offset: ``2026-03-01T08:00+08:00``."""
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    offset = time.utcoffset()
    if offset is None:
        raise ValueError("give the time an offset")
    return Moment(at=time, offset=int(offset.total_seconds() // 60))


def make_document(
    type: str,
    text: str = "",
    *,
    id: str = "",
    at: datetime | str = NOW,
    signed: datetime | str | None = None,
    author: str = "",
    **more: Any,
) -> ChartDocument:
    """Return a document of one section.

    Args:
        type: ``C0037`` ....
        text: its text; for several sections give ``sections``.
        id: of the entry; default: the type.
        at: when it was filed, received, and what it is about.
        signed: None leaves it a draft.
        author: name.
        more: further fields of ``ChartDocument``.
    """
    filed = moment(at)
    fields: dict[str, Any] = {
        "id": id or type,
        "version": f"{id or type}-1",
        "number": id or type,
        "type": Code(code=type),
        "status": "draft" if signed is None else "signed",
        "about": filed,
        "author": Person(name=author) if author else None,
        "signed": None if signed is None else moment(signed),
        "received": filed.at,
        "filed": filed,
        "sections": [Section(name="text", text=text)] if text else [],
    }
    return ChartDocument(**(fields | more))


def make_vital(code: str, value: str, *, id: str = "", at: datetime | str = NOW, unit: str = "") -> ChartReading:
    """Return a vital sign by its LOINC code; ``id`` defaults to the code."""
    item = Code(code=code, system=LOINC)
    return ChartReading(
        id=id or code, version=f"{id or code}-1", report="R1", service=item, item=item, values=[value], unit=unit,
        status="final", time=moment(at),
    )  # fmt: skip


def make_operation(
    id: str, *, start: datetime | str, end: datetime | str | None = None, text: str = "", **more: Any
) -> ChartProcedure:
    """Return an operation; without ``end`` it goes on."""
    fields: dict[str, Any] = {
        "id": id,
        "version": f"{id}-1",
        "key": id,
        "code": Code(code=id, text=text),
        "start": moment(start),
        "end": None if end is None else moment(end),
        "operation": True,
    }
    return ChartProcedure(**(fields | more))


def make_order(id: str, text: str, *, at: datetime | str = NOW, **more: Any) -> ChartOrder:
    """Return a placed order.

    Args:
        id: of the entry, and its number.
        text: what is ordered.
        at: when it was ordered.
        more: further fields of ``ChartOrder``: ``order_class``, ``dose``, ``unit``, ``frequency``, ``notes`` ....
    """
    fields: dict[str, Any] = {
        "id": id, "version": f"{id}-1", "key": id, "status": "placed", "what": Code(text=text), "time": moment(at),
    }  # fmt: skip
    return ChartOrder(**(fields | more))


def make_result(code: str, value: str, *, id: str = "", at: datetime | str = NOW, **more: Any) -> ChartReading:
    """Return one value of a laboratory report; ``id`` defaults to the code. ``more``: ``unit``, ``flags`` ...."""
    fields: dict[str, Any] = {
        "id": id or code, "version": f"{id or code}-1", "report": "R1", "service": Code(text="laboratory"),
        "item": Code(code=code), "values": [value], "status": "final", "time": moment(at),
    }  # fmt: skip
    return ChartReading(**(fields | more))


def make_diagnosis(code: str, text: str = "", *, id: str = "", at: datetime | str = NOW, **more: Any) -> ChartDiagnosis:
    """Return a final diagnosis; ``id`` defaults to its code. ``rank=1`` makes it the principal one."""
    fields: dict[str, Any] = {
        "id": id or code, "version": f"{id or code}-1", "status": "final", "code": Code(code=code, text=text),
        "time": moment(at),
    }  # fmt: skip
    return ChartDiagnosis(**(fields | more))


def make_charge(id: str, text: str, *, at: datetime | str = NOW, **more: Any) -> ChartCharge:
    """Return a charge. ``more``: ``quantity`` and ``amount``, texts as the source wrote them."""
    fields: dict[str, Any] = {
        "id": id, "version": f"{id}-1", "key": id, "code": Code(code=id, text=text), "time": moment(at),
    }  # fmt: skip
    return ChartCharge(**(fields | more))


def make_allergy(text: str, *, id: str = "", **more: Any) -> ChartAllergy:
    """Return a confirmed allergy to a drug; ``id`` defaults to the drug. ``more``: ``reactions``, ``severity`` ...."""
    fields: dict[str, Any] = {
        "id": id or text, "version": f"{id or text}-1", "key": text, "what": Code(text=text), "kind": "drug",
        "status": "confirmed",
    }  # fmt: skip
    return ChartAllergy(**(fields | more))


def make_administration(
    text: str, amount: str = "", *, id: str = "", at: datetime | str = NOW, order: ChartOrder | None = None, **more: Any
) -> ChartAdministration:
    """Return a dose that was given; ``id`` defaults to the drug.

    Args:
        text: the drug.
        amount: as its source writes it; the ``unit`` goes with ``more``.
        id: of the entry.
        at: when it was given.
        order: that it belongs to.
        more: further fields of ``ChartAdministration``: ``unit``, ``route``, ``status`` ....
    """
    fields: dict[str, Any] = {
        "id": id or text, "version": f"{id or text}-1", "key": id or text, "order": order.key if order else "",
        "what": Code(text=text), "amount": amount, "status": "given", "time": moment(at),
    }  # fmt: skip
    return ChartAdministration(**(fields | more))


def make_move(ward: str, *, id: str = "", since: datetime | str = NOW, **more: Any) -> ChartMove:
    """Return that the patient lay in a ward from a time on. ``more``: ``department``, ``patient_class`` ...."""
    fields: dict[str, Any] = {
        "id": id or ward, "version": f"{id or ward}-1", "since": moment(since), "kind": "encounter.transferred",
        "location": Location(ward=ward),
    }  # fmt: skip
    return ChartMove(**(fields | more))


def make_unknown(item: str, code: str, *, entry: Entry | None = None, id: str = "") -> ChartUnknown:
    """Return a code that has no word of ours: of an entry, or of the stay.

    Args:
        item: what cannot be known for it: ``class``, ``document:*`` ....
        code: as it was sent.
        entry: what it was said of; None: the stay.
        id: of its own entry; default: the item.
    """
    of = entry.id if entry else ""
    return ChartUnknown(id=id or item, version=f"{id or item}-1", item=item, code=Code(code=code), entry=of)


def make_patient(name: str = "", **more: Any) -> Patient:
    """Return a patient."""
    return Patient(**({"id": PatientId(authority="TEST", number="P1"), "name": name} | more))


def make_chart(
    *,
    now: datetime | str = NOW,
    admitted: datetime | str | None = NOW,
    discharged: datetime | str | None = None,
    patient: Patient | None = None,
    **more: Any,
) -> Chart:
    """Return the chart of an inpatient.

    Args:
        now: the present.
        admitted: None: registered only.
        discharged: None: still there.
        patient: default: one without a name.
        more: further fields of ``Chart``: ``documents``, ``vitals``, ``procedures``, ``died`` ....
    """
    fields: dict[str, Any] = {
        "encounter": "encounter-1",
        "version": 1,
        "now": moment(now).at,
        "timezone": "Asia/Shanghai",
        "connector": "test",
        "visit": VisitId(authority="TEST", number="V1"),
        "patient": patient or make_patient(),
        "status": "registered" if admitted is None else "admitted" if discharged is None else "discharged",
        "patient_class": "inpatient",
        "admitted": None if admitted is None else moment(admitted),
        "discharged": None if discharged is None else moment(discharged),
    }
    return Chart(**(fields | more))


def make_event(kind: str, *, at: datetime | str = NOW, **more: Any) -> Event:
    """Return an event."""
    fields: dict[str, Any] = {
        "id": f"event-{kind}",
        "kind": kind,
        "time": moment(at),
        "message": "message-1",
        "revision": 1,
        "ordinal": 0,
        "connector": "test",
        "position": Position(recorded=moment(at).at, partition=0, offset=0),
    }
    return Event(**(fields | more))


def make_coverage(*missing: str, version: int = 1) -> Coverage:
    """Return the coverage of a site whose feeds bring everything but these items: ``document:C0026`` ...."""
    return Coverage(version=version, site=dict.fromkeys(missing, False))


def make_case(chart: Chart | None = None, *, kind: str = "", **more: Any) -> Case:
    """Return a case whose present is the chart's.

    Args:
        chart: default: an inpatient's, without a record.
        kind: of the event that wakes; none without it.
        more: further fields of ``Case``: ``coverage``, ``settings``, ``llm`` ....
    """
    chart = chart or make_chart()
    event = make_event(kind, at=chart.now) if kind else None
    return Case(**({"event": event, "chart": chart, "now": chart.now} | more))
