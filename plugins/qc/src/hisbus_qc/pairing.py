"""Orders and reports: what was ordered has a report, what was reported an order."""

from collections.abc import Iterator
from datetime import timedelta

from hisbus_qc import evidence
from hisbus_qc.clock import shown, whole
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.record import Record
from hisbus_qc.rule import Limits, Rule, Said, takes
from hisbus_schemas import ChartOrder, ChartReading, Evidence, Wake, called


class Pairing(Limits):
    """Which orders are examinations, and how long their report may take.

    A report belongs to an order that has its number (OBR-2 or OBR-3), or whose service has its code or name.
    """

    orders: Search
    reports: Search
    documents: Search | None = None
    """Documents that are reports too; they belong by the name of the service."""
    limit_hours: float

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield orders, and what may be reports."""
        yield from self.orders.needed()
        yield from self.reports.needed()
        yield from self.documents.needed() if self.documents else ()


@takes(Pairing)
def pairing(rule: Rule, record: Record, limits: Pairing) -> Said:
    """Judge both ways. A chart without any order, or any report, says nothing of them and is not judged."""
    readings = record.chart.results
    orders = [item for _, item in record.orders]
    if orders:
        yield from _unreported(rule, record, limits)
    if orders and readings:
        yield from _unordered(rule, record, limits, orders)


def _unreported(rule: Rule, record: Record, limits: Pairing) -> Said:
    facts = find(record, limits.orders)
    if not facts:
        return
    orders = {item.id: item for _, item in record.orders}
    told = find(record, limits.documents) if limits.documents else []
    reports = {reading.report: reading for reading in record.chart.results if reading.report}
    for fact in facts:
        order = orders[fact.id]
        if fact.at is None or order.placer in reports or order.filler in reports or order.key in reports:
            continue
        if any(_of_service(order, reading) for reading in reports.values()):
            continue
        if any(_names(item, fact) for item in told):
            continue
        limit = fact.at + timedelta(hours=limits.limit_hours)
        if record.ended and record.ended < limit:
            continue
        if record.now <= limit:
            yield Wake(name=rule.key(f"unreported:{fact.id}"), due=limit + timedelta(seconds=1))
            continue
        time, until = shown(record.chart, fact.at), shown(record.chart, limit)
        yield rule.finding(
            rule.say("unreported", name=fact.name, time=time, limit=until),
            title=rule.titled("unreported", name=fact.name),
            subject=f"unreported:{fact.id}",
            state="absent",
            evidence=[evidence.at(fact.clock, fact.moment.isoformat() if fact.moment else ""), *fact.proof],
            reads=[fact.ref],
            due=limit,
        )


def _unordered(rule: Rule, record: Record, limits: Pairing, orders: list[ChartOrder]) -> Said:
    reports: dict[str, ChartReading] = {}
    for reading in record.chart.results:
        reports.setdefault(reading.report, reading)
    numbers = {number for order in orders for number in (order.placer, order.filler, order.key)}
    unpaired = {
        number: reading
        for number, reading in reports.items()
        if number not in numbers and not any(_of_service(order, reading) for order in orders)
    }
    there = {fact.id for fact in find(record, limits.reports)} if unpaired else set()
    for number, reading in unpaired.items():
        if reading.id not in there or _is_earlier(record, reading):
            continue
        time = shown(record.chart, whole(reading.time.at)) if reading.time else ""
        values = ", ".join(reading.values)
        name = called(reading.service) or number
        yield rule.finding(
            rule.say("unordered" if time else "untimed", name=name, time=time),
            title=rule.titled("unordered", name=name),
            subject=f"unordered:{reading.id}",
            state="absent",
            evidence=[evidence.at(f"results/{reading.id}", values)] if values else [_item(reading)],
            reads=[reading.ref],
        )


def _is_earlier(record: Record, reading: ChartReading) -> bool:
    """Tell whether a report is of before admission: it was ordered elsewhere."""
    admitted = record.chart.admitted
    return bool(admitted and reading.time and reading.time.at < admitted.at)


def _item(reading: ChartReading) -> Evidence:
    return evidence.at(f"results/{reading.id}/item", reading.title or "-")


def _of_service(order: ChartOrder, reading: ChartReading) -> bool:
    service = reading.service
    same_code = bool(service.code) and service.code == order.what.code
    return same_code or bool(service.text and (service.text in order.what.text or order.what.text == service.text))


def _names(told: Fact, order: Fact) -> bool:
    """Tell whether a document of after the order speaks of what was ordered."""
    later = told.at is not None and order.at is not None and told.at >= order.at
    return later and told.document is not None and order.name[:2] in told.document.text
