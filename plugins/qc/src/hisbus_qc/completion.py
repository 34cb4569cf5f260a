"""Completion of a record as 42 CFR 482.24 asks for it: every entry signed (R18), a current examination (R17)."""

from datetime import timedelta

from hisbus_qc import documents, evidence
from hisbus_qc.clock import shown
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_schemas import ChartDocument, Wake


class Complete(Limits):
    """When every document must be signed."""

    limit_days: float


class Update(Limits):
    """How old an examination may be, and when its update is due."""

    documents: DocumentTypes
    updates: DocumentTypes
    """Types of an update; an addendum to the examination is one too."""
    limit_hours: float
    limit_days: float


@takes(Complete)
def unsigned(rule: Rule, record: Record, limits: Complete) -> Said:
    """R18: a document that is still a draft so long after discharge."""
    if record.ended is None:
        return
    drafts = [item for item in record.chart.documents if item.status == "draft"]
    limit = record.ended + timedelta(days=limits.limit_days)
    for item in drafts:
        if record.now <= limit:
            yield Wake(name=rule.key(item.id), due=limit + timedelta(seconds=1))
            continue
        yield rule.finding(
            rule.say("found", days=f"{limits.limit_days:g}", document=documents.named(item)),
            title=rule.titled("found", document=documents.named(item)),
            subject=item.id,
            state="absent",
            evidence=[evidence.at("discharged", record.chart.stay("discharged")), *evidence.shown(item)],
            reads=[item.ref, record.chart.stay_ref("discharged")],
            due=limit,
        )


@takes(Update)
def update(rule: Rule, record: Record, limits: Update) -> Said:
    """R17: an examination of before admission is at most 30 days old and has an update after it."""
    if record.chart.admitted is None:
        return
    admitted = record.chart.admitted.at.replace(microsecond=0)
    there = record.signed(limits.documents)
    before = [item for item in there if written(item) < admitted]
    if not before or len(before) < len([item for item in there if not item.parent]):
        return
    item = before[-1]
    time, days = shown(record.chart, written(item)), f"{limits.limit_days:g}"
    proof = [*evidence.signature(item), evidence.at("admitted", record.chart.stay("admitted"))]
    reads = [item.ref, record.chart.stay_ref("admitted")]
    if written(item) < admitted - timedelta(days=limits.limit_days):
        yield rule.finding(rule.say("old", time=time, days=days), subject="old", evidence=proof, reads=reads)
        return
    limit = admitted + timedelta(hours=limits.limit_hours)
    updates = [other for other in record.signed((*limits.documents, *limits.updates)) if _updates(other, item.number)]
    if any(admitted <= written(other) <= limit for other in updates):
        return
    if record.now <= limit:
        yield Wake(name=rule.key("update"), due=limit + timedelta(seconds=1))
        return
    said = rule.say("absent", time=time, limit=shown(record.chart, limit))
    yield rule.finding(said, subject="update", state="absent", evidence=proof, reads=reads, due=limit)


def _updates(other: ChartDocument, number: str) -> bool:
    return other.number != number and (other.parent == number or not other.parent)
