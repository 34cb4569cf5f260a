"""The moments from which deadlines run: of the stay, of each operation, of whatever a rule file looks for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
    at: datetime
    """When, to the second."""
    path: str
    """Chart path of the moment."""
    facts: tuple[str, ...]
    """The facts of the stay that it rests on; empty: it rests on its entry."""
    subject: str = ""
    opens: datetime | None = None
    """A record that was signed then or earlier is of an earlier moment."""
    closes: datetime | None = None
    """One that was signed later is of a later moment."""
    operation: ChartProcedure | None = None
    fact: Fact | None = None

    @property
    def proof(self) -> list[Evidence]:
        """The moment with its value, and the fact that it is of."""
        return [evidence.at(self.path, self.moment.isoformat()), *(self.fact.proof if self.fact else ())]

    def reads(self, chart: Chart) -> list[str]:
        """Name what it rests on."""
        entry = self.operation or self.fact
        return [entry.ref] if entry else [chart.stay_ref(name) for name in self.facts]

    @property
    def surgeon(self) -> Person | None:
        """Who operated."""
        return self.operation.surgeon if self.operation else None

    def words(self, rule: Rule) -> dict[str, Text]:
        """Return what a sentence calls it."""
        if self.operation:
            return {"operation": operation_name(rule, self.operation)}
        if self.fact is None:
            return {}
        name, value = self.fact.name, self.fact.value
        return {"name": Text(zh=name, en=name), "value": Text(zh=value, en=value)}

    def owns(self, at: datetime) -> bool:
        """Tell whether what was signed at a time can be of this moment."""
        return (self.opens is None or self.opens < at) and (self.closes is None or at <= self.closes)


def starts(record: Record, after: After, search: Search | None = None) -> list[Start]:
    """Return the moments of a chart.

    Args:
        record: the chart.
        after: which moments.
        search: what to look for, for ``facts``.
    """
    if after == "facts":
        return record.once(("moments", id(search)), lambda: list(_found(record, search))) if search else []
    return record.once(("moments", after), lambda: list(_FINDERS[after](record)))


def _admitted(record: Record) -> Iterator[Start]:
    chart = record.chart
    if chart.admitted:
        yield Start(chart.admitted, whole(chart.admitted.at), "admitted", ("admitted",))


def _discharged(record: Record) -> Iterator[Start]:
    chart = record.chart
    if record.ended and chart.discharged:
        yield Start(chart.discharged, record.ended, "discharged", ("discharged", "died"))


def _died(record: Record) -> Iterator[Start]:
    if record.chart.died:
        yield from _discharged(record)


def _ends(record: Record) -> Iterator[Start]:
    """Yield the end of each operation. A record is of the operation that last started before it was signed.

    Operations that started in the same second are one sitting, and its record covers them all.
    """
    begun = sorted({whole(item.start.at) for item in record.operations if item.start})
    for item in record.operations:
        if item.start and item.end:
            start = whole(item.start.at)
            closes = next((other for other in begun if other > start), None)
            path = f"procedures/{item.id}/end"
            yield Start(item.end, whole(item.end.at), path, (), item.id, start, closes, item)


def _beginnings(record: Record) -> Iterator[Start]:
    """Yield the start of each operation. A record is of the operation that next starts after it was signed.

    What was signed while an operation went on came late for it; what was signed after the last one, for that.
    """
    spans = sorted((whole(item.start.at), _last(item, item.start)) for item in record.operations if item.start)
    for item in record.operations:
        if item.start:
            start = whole(item.start.at)
            opens = max((end for other, end in spans if other < start), default=None)
            closes = _last(item, item.start) if spans[-1][0] > start else None
            path = f"procedures/{item.id}/start"
            yield Start(item.start, start, path, (), item.id, opens, closes, item)


def _last(item: ChartProcedure, start: Moment) -> datetime:
    return whole((item.end or start).at)


_FINDERS: Mapping[str, Callable[[Record], Iterator[Start]]] = {
    "admitted": _admitted,
    "discharged": _discharged,
    "died": _died,
    "operation_start": _beginnings,
    "operation_end": _ends,
}


def operation_name(rule: Rule, item: ChartProcedure) -> Text:
    """Return what a sentence calls an operation."""
    name = item.title
    return rule.say("operation", name=name) if name else rule.say("unnamed")


def _found(record: Record, search: Search) -> Iterator[Start]:
    """Yield facts that have a time. Several may come before their record is written, and one record speak of all."""
    for fact in find(record, search):
        if fact.at and fact.moment:
            yield Start(fact.moment, fact.at, fact.clock, (), fact.id, fact=fact)
