"""R05: how long a ward may go without a progress note, by how ill the patient is."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from hisbus_qc import evidence
from hisbus_qc.clock import last_second, shown, whole
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_schemas import Evidence, Text, Wake

_DAILY = frozenset({"C0038", "C0039"})
"""Notes of the day: where a site sends none of them, nothing is told of gaps between them."""


class Gaps(Limits):
    """Which documents are progress notes, and the days between two by the level that an order set."""

    documents: DocumentTypes
    critical: Search
    critical_days: float
    severe: Search
    severe_days: float
    stable_days: float
    calendar: tuple[str, ...] = ()
    """Levels whose days are the calendar's: a note is due by the end of the last one."""
    critical_ended: Search | None = None
    """Orders that end the level; so does the end of the order that set it."""
    severe_ended: Search | None = None

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the notes: where no order sets a level, the patient is taken for stable."""
        daily = [type for type in self.documents if type in _DAILY]
        yield tuple(f"document:{type}" for type in daily or self.documents)


@takes(Gaps)
def gaps(rule: Rule, record: Record, limits: Gaps) -> Said:
    """Judge each pair of neighbouring notes, and the time since the last one. The level is that of the orders in force.

    A level that an order set between two notes starts a clock of its own, which stops when the level ends. An order
    that was cancelled sets none.
    """
    notes = [item for item in record.documents(limits.documents) if item.signed]
    levels = (("critical", limits.critical, limits.critical_days), ("severe", limits.severe, limits.severe_days))
    ended = {"critical": limits.critical_ended, "severe": limits.severe_ended}
    orders = [
        (level, days, fact, _end(record, fact, ended[level]))
        for level, search, days in (levels if notes else ())
        for fact in find(record, search)
    ]
    for note, following in pairwise([*notes, None]):
        if note is None:
            continue
        due, days, level, proof, reads = min(_dues(record, limits, orders, written(note)), key=lambda item: item[0])
        if (following and written(following) <= due) or (not following and record.ended and record.ended <= due):
            continue
        if following is None and record.now <= due:
            yield Wake(name=rule.key(note.id), due=due + timedelta(seconds=1))
            continue
        state = "late" if following else "absent"
        words: dict[str, str | Text] = {
            "start": shown(record.chart, written(note)),
            "limit": shown(record.chart, due),
            "days": f"{days:g}",
            "level": rule.texts[level],
        }
        proof = [*evidence.signature(note), *proof]
        reads = [note.ref, *reads]
        if following:
            words["signed"] = shown(record.chart, written(following))
            proof += evidence.signature(following)
            reads.append(following.ref)
        yield rule.finding(
            rule.say(state, **words),
            title=rule.titled(state, **words),
            subject=note.id,
            state=state,
            evidence=proof,
            reads=reads,
            due=due,
        )


_Due = tuple[datetime, float, str, list[Evidence], list[str]]


def _end(record: Record, fact: Fact, ended: Search | None) -> datetime | None:
    """Return when a level ended that an order set: by an order after it, or with that order itself."""
    stopped = next((order.stopped for _, order in record.orders if order.id == fact.id), None)
    ends = [one.at for one in (find(record, ended) if ended else ()) if one.at and fact.at and one.at >= fact.at]
    return min([*ends, *([whole(stopped.at)] if stopped else [])], default=None)


def _dues(
    record: Record, limits: Gaps, orders: list[tuple[str, float, Fact, datetime | None]], at: datetime
) -> Iterator[_Due]:
    """Yield when the note after that of a time is due: of a stable patient, and by each order that sets a level."""
    yield _until(record, limits, "stable", at, limits.stable_days), limits.stable_days, "stable", [], []
    for level, days, fact, end in orders:
        due = _until(record, limits, level, max(at, fact.at), days) if fact.at else None
        if due and (end is None or due <= end):
            yield due, days, level, fact.proof, [fact.ref]


def _until(record: Record, limits: Gaps, level: str, at: datetime, days: float) -> datetime:
    later = at + timedelta(days=days)
    return last_second(record.chart, later) if level in limits.calendar else later
