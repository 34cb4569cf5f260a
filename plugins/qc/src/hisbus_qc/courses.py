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


class Gaps(Limits):
    """Which documents are progress notes, and the days between two by the level that an order set."""

    documents: DocumentTypes
    critical: Search
    critical_days: float
    severe: Search
    severe_days: float
    stable_days: float
    """Days are the calendar's, on the clock of the ward: “at least once a day” is once on each day."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the notes: where no order sets a level, the patient is taken for stable."""
        yield tuple(f"document:{type}" for type in self.documents)


@takes(Gaps)
def gaps(rule: Rule, record: Record, limits: Gaps) -> Said:
    """Judge each pair of neighbouring notes, and the time since the last one. The level is that of the orders in force.

    A level that an order set between two notes starts a clock of its own. An order that was cancelled sets none, and
    one that says that it ends (停病危) ends it.
    """
    notes = [item for item in record.documents(limits.documents) if item.signed]
    levels = (("critical", limits.critical, limits.critical_days), ("severe", limits.severe, limits.severe_days))
    orders = [
        (level, days, fact, _ended(record, search, fact))
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


def _dues(
    record: Record, limits: Gaps, orders: list[tuple[str, float, Fact, datetime | None]], at: datetime
) -> Iterator[_Due]:
    """Yield when the note after that of a time is due: of a stable patient, and by each order that sets a level."""
    yield _by(record, at, limits.stable_days), limits.stable_days, "stable", [], []
    for level, days, fact, ended in orders:
        if fact.at is None:
            continue
        due = _by(record, max(at, fact.at), days)
        if ended is None or (at < ended and due <= ended):
            yield due, days, level, fact.proof, [fact.ref]


def _by(record: Record, at: datetime, days: float) -> datetime:
    """Return the end of the day so many days later."""
    return last_second(record.chart, at + timedelta(days=days))


def _ended(record: Record, search: Search, level: Fact) -> datetime | None:
    """Return when an order ended that sets a level; None: it holds."""
    ends = [
        whole(stop.time.at)
        for name, stop in record.stops
        if stop.time and level.at and whole(stop.time.at) >= level.at and any(word in name for word in search.words)
    ]
    return min(ends, default=None)
