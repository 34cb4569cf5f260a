"""What a proposal rests on, as a doctor reads it: a document or a fact by its name, its time and its words; no path."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from hisbus import payloads
from hisbus.resolve import cited
from hisbus_schemas import Chart, ChartDocument, Entry, Evidence, Ground, Moment, Proposal, Text

_FACTS = {
    "admitted": Text(zh="入院时间", en="Admitted"),
    "discharged": Text(zh="出院时间", en="Discharged"),
    "status": Text(zh="住院状态", en="Status of the stay"),
    "patient_class": Text(zh="患者类别", en="Class"),
    "department": Text(zh="科室", en="Department"),
    "location": Text(zh="病区床位", en="Place"),
    "attending": Text(zh="主治医师", en="Attending"),
    "disposition": Text(zh="离院方式", en="Disposition"),
    "sex": Text(zh="性别", en="Sex"),
    "birth_date": Text(zh="出生日期", en="Born"),
    "died": Text(zh="死亡时间", en="Died"),
    "dead": Text(zh="死亡", en="Died"),
    "name": Text(zh="姓名", en="Name"),
}
"""Of the stay and the patient, by the last part of a path."""
_FIELDS = {
    "start": Text(zh="开始", en="begun"),
    "end": Text(zh="结束", en="ended"),
    "stop": Text(zh="停止", en="until"),
    "stopped": Text(zh="停止", en="stopped"),
    "signed": Text(zh="签名", en="signed"),
    "author": Text(zh="书写者", en="author"),
    "type": Text(zh="类型", en="type"),
    "surgeon": Text(zh="术者", en="surgeon"),
    "about": Text(zh="所记时间", en="about"),
    "filed": Text(zh="提交", en="filed"),
    "time": Text(zh="时间", en="time"),
}
"""Of an entry."""
_TIMES = ("signed", "time", "start", "since", "filed")
"""The fields that say when an entry was, the first that it has."""
_OTHER = Text(zh="病历", en="Record")


def evidence_of(proposal: Proposal) -> Iterator[Evidence]:
    """Yield what a proposal rests on: its own evidence, and of a set of codes that of each."""
    yield from proposal.cites()
    coded = payloads.coded(proposal)
    for entry in coded.codes if coded else ():
        yield from entry.evidence


def grounds(chart: Chart, evidence: Iterable[Evidence]) -> list[Ground]:
    """Return each piece of evidence once, in words."""
    once = {one.model_dump_json(): one for one in evidence}
    return [_ground(chart, one, ZoneInfo(chart.timezone)) for one in once.values()]


def _ground(chart: Chart, evidence: Evidence, zone: ZoneInfo) -> Ground:
    if evidence.quote is not None:
        document = next((one for one in chart.documents if one.id == evidence.document), None)
        what = _named(document) if document else _OTHER
        return Ground(evidence=evidence, what=what, at=_when(document), words=evidence.quote)
    path, words = evidence.path or "", _local(evidence.value or "", zone)
    entry = cited(chart, path)
    if entry is None:
        return Ground(evidence=evidence, what=_FACTS.get(path.rpartition("/")[2], _OTHER), words=words)
    field = path.partition("/")[2].removeprefix(entry.id).strip("/")
    return Ground(evidence=evidence, what=_field_of(entry, field), at=None if field else _when(entry), words=words)


def _field_of(entry: Entry, field: str) -> Text:
    """Return an entry's name with a field's: of a form it is the form's own word."""
    named = _named(entry)
    if not field:
        return named
    form = field.removeprefix("fields/")
    own = _FIELDS.get(field, Text(zh=form, en=form))
    return Text(zh=f"{named.zh} {own.zh}", en=f"{named.en} {own.en}")


def _named(entry: Entry) -> Text:
    name = entry.title or _OTHER.zh
    return Text(zh=name, en=entry.title or _OTHER.en)


def _when(entry: Entry | ChartDocument | None) -> datetime | None:
    times = (getattr(entry, name, None) for name in _TIMES)
    return next((time.at for time in times if isinstance(time, Moment)), None)


def _local(value: str, zone: ZoneInfo) -> str:
    """Return a time as it reads in a zone; everything else as it is."""
    try:
        time = datetime.fromisoformat(value) if len(value) > len("2026-03-02T08") else None
    except ValueError:
        return value
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M}" if time is not None and time.tzinfo else value
