"""The moments from which deadlines run: of the stay, of each operation, of whatever a rule file looks for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hisbus_qc import evidence
from hisbus_qc.clock import whole
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.record import Record
from hisbus_qc.rule import Rule
from hisbus_schemas import Chart, ChartProcedure, Evidence, Moment, Person, Text

After = Literal["admitted", "discharged", "died", "operation_start", "operation_end", "facts"]

NAMES: dict[str, Text] = {
    "admitted": Text(zh="入院", en="admission"),
    "discharged": Text(zh="出院", en="discharge"),
    "died": Text(zh="死亡", en="death"),
    "operation_start": Text(zh="{operation}开始", en="the start of {operation}"),
    "operation_end": Text(zh="{operation}结束", en="the end of {operation}"),
    "facts": Text(zh="“{name}”", en="“{name}”"),
}
"""What a sentence calls each."""


@dataclass(frozen=True)
class Start:
    """One moment from which a clock runs, and which records can be those of it."""

    moment: Moment
    proof: list[Evidence]
    reads: list[str]
    subject: str = ""
    words: dict[str, Text] = field(default_factory=dict)
    opens: datetime | None = None
    """A record that was signed then or earlier is of an earlier moment."""
    closes: datetime | None = None
    """One that was signed later is of a later moment."""
    surgeon: Person | None = None
    fact: Fact | None = None

    @property
    def at(self) -> datetime:
        """When, to the second."""
        return whole(self.moment.at)

    def owns(self, at: datetime) -> bool:
        """Tell whether what was signed at a time can be of this moment."""
        return (self.opens is None or self.opens < at) and (self.closes is None or at <= self.closes)


def starts(rule: Rule, record: Record, after: After, search: Search | None, *, own: bool) -> Iterator[Start]:
    """Yield the moments of a chart.

    Args:
        rule: whose texts name an operation.
        record: the chart.
        after: which moments.
        search: what to look for, for ``facts``.
        own: each moment has a record of its own; else one record may do for many.
    """
    chart = record.chart
    match after:
        case "admitted":
            if chart.admitted:
                yield _of_stay(chart, chart.admitted, "admitted")
        case "discharged" | "died":
            if record.ended and chart.discharged and (after == "discharged" or chart.died):
                yield _of_stay(chart, chart.discharged, "discharged", "died")
        case "operation_end":
            yield from _ends(rule, record)
        case "operation_start":
            yield from _beginnings(rule, record)
        case "facts":
            if search:
                yield from _found(record, search, own=own)


def _of_stay(chart: Chart, moment: Moment, *fields: str) -> Start:
    proof = [evidence.at(fields[0], moment.isoformat())]
    return Start(moment, proof, [chart.stay_ref(name) for name in fields])


def _ends(rule: Rule, record: Record) -> Iterator[Start]:
    """Yield the end of each operation. A record is of the operation that last started before it was signed.

    Operations that started in the same second are one sitting, and its record covers them all.
    """
    begun = sorted({whole(item.start.at) for item in record.operations if item.start})
    for item in record.operations:
        if item.start and item.end:
            start = whole(item.start.at)
            closes = next((other for other in begun if other > start), None)
            yield _of_operation(rule, item, item.end, "end", opens=start, closes=closes)


def _beginnings(rule: Rule, record: Record) -> Iterator[Start]:
    """Yield the start of each operation. A record is of the operation that next starts after it was signed.

    What was signed while an operation went on came late for it; what was signed after the last one, for that.
    """
    spans = sorted((whole(item.start.at), _last(item, item.start)) for item in record.operations if item.start)
    for item in record.operations:
        if item.start:
            start = whole(item.start.at)
            opens = max((end for other, end in spans if other < start), default=None)
            closes = _last(item, item.start) if spans[-1][0] > start else None
            yield _of_operation(rule, item, item.start, "start", opens=opens, closes=closes)


def _last(item: ChartProcedure, start: Moment) -> datetime:
    return whole((item.end or start).at)


def _of_operation(
    rule: Rule, item: ChartProcedure, moment: Moment, name: str, *, opens: datetime | None, closes: datetime | None
) -> Start:
    return Start(
        moment,
        [evidence.at(f"procedures/{item.id}/{name}", moment.isoformat())],
        [item.ref],
        item.id,
        {"operation": operation_name(rule, item)},
        opens,
        closes,
        item.surgeon,
    )


def operation_name(rule: Rule, item: ChartProcedure) -> Text:
    """Return what a sentence calls an operation."""
    name = item.code.text or item.code.code
    return rule.say("operation", name=name) if name else rule.say("unnamed")


def _found(record: Record, search: Search, *, own: bool) -> Iterator[Start]:
    """Yield facts that have a time; with ``own`` a record is of the fact that last came before it was signed."""
    facts = [fact for fact in find(record, search) if fact.at and fact.moment]
    times = sorted({fact.at for fact in facts if fact.at})
    for fact in facts:
        if fact.at and fact.moment:
            proof = [evidence.at(fact.clock, fact.moment.isoformat()), *fact.proof]
            closes = next((time for time in times if time > fact.at), None) if own else None
            words = {"name": Text(zh=fact.name, en=fact.name)}
            yield Start(fact.moment, proof, [fact.ref], fact.id, words, None, closes, fact=fact)
