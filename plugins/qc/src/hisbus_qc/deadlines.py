"""Deadlines: a record must be signed within so many hours of an admission, an operation's end, a discharge.

A deadline is judged once the time has passed it, to the second; signed exactly at the limit is in time. What counts is
when a record was signed, never when it arrived. A record that was replaced or withdrawn is judged by no rule, so where
a signed record was replaced the signature of what replaced it counts, and no other; an unsigned draft is not signed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from hisbus_qc import evidence
from hisbus_qc.clock import shown, whole
from hisbus_qc.rule import Rule
from hisbus_schemas import Chart, ChartDocument, ChartProcedure, Finding, Moment, Text, Wake

_SECOND = timedelta(seconds=1)
_INFERRED = Text(zh="（签名未带时间，按消息时间）", en=" (the time of its message, for the signature has none)")


def since_admission(rule: Rule, chart: Chart, now: datetime) -> Iterator[Finding | Wake]:
    """R01, R02: a record is due some hours after admission. Not judged if the stay ended before that."""
    if chart.admitted is None:
        return
    ended = chart.status == "discharged" and chart.discharged
    if ended and whole(ended.at) < _limit(rule, chart.admitted):
        return
    records = _signed(chart, rule.limits["documents"])
    yield from _due(rule, chart, now, chart.admitted, "admitted", records, reads=[chart.stay_ref("admitted")])


def since_operation(rule: Rule, chart: Chart, now: datetime) -> Iterator[Finding | Wake]:
    """R10: each operation that ended has a record of its own.

    A record belongs to the operation that last started before it was signed, whether or not that one has ended.
    Operations that started in the same second are one sitting, and its record covers them all.
    """
    operations = [item for item in chart.procedures if item.operation and item.start]
    starts = [whole(item.start.at) for item in operations if item.start]
    records = _signed(chart, rule.limits["documents"])
    owners = [max((start for start in starts if start < _time(record)), default=None) for record in records]
    for operation in operations:
        if operation.start is None or operation.end is None:
            continue
        start = whole(operation.start.at)
        yield from _due(
            rule,
            chart,
            now,
            operation.end,
            f"procedures/{operation.id}/end",
            [record for record, owner in zip(records, owners, strict=True) if owner == start],
            reads=[operation.ref],
            subject=operation.id,
            operation=_name(rule, operation),
        )


def since_discharge(rule: Rule, chart: Chart, now: datetime) -> Iterator[Finding | Wake]:
    """R13: a discharge record, a death record for who died; for a short stay its one record will do for either."""
    if chart.status != "discharged" or chart.discharged is None:
        return
    types, name = list(rule.limits["documents"]), "discharge"
    if chart.died:
        types, name = list(rule.limits["death_documents"]), "death"
    hours = rule.limits["short_hours"]
    if chart.admitted and whole(chart.discharged.at) - whole(chart.admitted.at) < timedelta(hours=hours):
        types, name = types + rule.limits["short_documents"], f"short_{name}"
    yield from _due(
        rule,
        chart,
        now,
        chart.discharged,
        "discharged",
        _signed(chart, types),
        reads=[chart.stay_ref("discharged"), chart.stay_ref("died")],
        document=rule.say(name, short=f"{hours:g}"),
    )


def _due(
    rule: Rule,
    chart: Chart,
    now: datetime,
    start: Moment,
    path: str,
    records: list[ChartDocument],
    *,
    reads: list[str],
    subject: str = "",
    **words: Text,
) -> Iterator[Finding | Wake]:
    """Judge one deadline whose clock started at ``start``; ``records`` are the signed ones that count, in order."""
    limit = _limit(rule, start)
    first = records[0] if records else None
    if first and _time(first) <= limit:
        return
    if now <= limit:
        yield Wake(name=rule.key(subject), due=limit + _SECOND)
        return
    said: dict[str, str | Text] = {
        "hours": f"{rule.limits['limit_hours']:g}",
        "start": shown(chart, start.at),
        "limit": shown(chart, limit),
        **words,
    }
    proof = [evidence.at(path, start.isoformat())]
    if first:
        said["signed"] = _signed_at(chart, first)
        proof += evidence.signature(first)
        reads = [*reads, first.ref]
    state = "late" if first else "absent"
    yield rule.finding(rule.say(state, **said), subject=subject, state=state, evidence=proof, reads=reads, due=limit)


def _limit(rule: Rule, start: Moment) -> datetime:
    return whole(start.at) + timedelta(hours=rule.limits["limit_hours"])


def _signed(chart: Chart, types: list[str]) -> list[ChartDocument]:
    """Return the signed documents of some types, first signed first."""
    signed = [item for item in chart.documents if item.type.code in types and item.status == "signed" and item.signed]
    return sorted(signed, key=lambda item: (_time(item), item.id))


def _time(record: ChartDocument) -> datetime:
    """Return when a record was signed; where the signature carries no time, its message's."""
    return whole((record.signed or record.filed).at)


def _signed_at(chart: Chart, record: ChartDocument) -> Text:
    at = shown(chart, _time(record))
    return Text(zh=at + _INFERRED.zh, en=at + _INFERRED.en) if record.signed_inferred else Text(zh=at, en=at)


def _name(rule: Rule, operation: ChartProcedure) -> Text:
    name = operation.code.text or operation.code.code
    return rule.say("operation", name=name) if name else rule.say("unnamed")
