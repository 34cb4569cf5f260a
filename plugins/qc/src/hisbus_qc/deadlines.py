"""Deadlines: something must be there within so long of an admission, an operation's end, an order, a discharge.

A deadline is judged once the time has passed it, to the second; signed exactly at the limit is in time. What counts is
when a record was signed, never when it arrived. A record that was replaced or withdrawn is judged by no rule, so where
a signed record was replaced the signature of what replaced it counts, and no other; an unsigned draft is not signed.

The same condition says that a document is required when something else is there, with the moment of that as its clock,
and that notes must speak of a result or an order.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import Literal

from pydantic import model_validator

from hisbus_qc import evidence
from hisbus_qc.clock import last_second, local, shown
from hisbus_qc.facts import Fact, Search, find, sentence
from hisbus_qc.moments import NAMES, After, Start, starts
from hisbus_qc.record import Record, about, written
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Person, Text, Wake

_SECOND = timedelta(seconds=1)
_INFERRED = Text(zh="（签名未带时间，按消息时间）", en=" (the time of its message, for the signature has none)")

_UNITS = {
    "limit_minutes": Text(zh="{}分钟", en="{} min"),
    "limit_hours": Text(zh="{}小时", en="{} h"),
    "limit_days": Text(zh="{}天", en="{} d"),
    "limit_workdays": Text(zh="{}个工作日", en="{} working days"),
}


_COMMON = frozenset({"document:C0037", "document:C0038"})
"""Notes of every stay."""


class Deadline(Limits):
    """What is due, after which moment, and what is excepted. Exactly one limit."""

    after: After
    facts: Search | None = None
    """For ``after = "facts"``: each of these starts a clock."""
    limit_minutes: float | None = None
    limit_hours: float | None = None
    limit_days: float | None = None
    limit_workdays: float | None = None
    """Working days: Monday to Friday, but for ``holidays``, and ``workdays`` that make up for them."""
    same_day: bool = False
    """Due by the end of the day, on the clock of the ward."""
    holidays: tuple[date, ...] = ()
    workdays: tuple[date, ...] = ()
    documents: DocumentTypes = ()
    """Types of documents that will do."""
    words: tuple[str, ...] = ()
    """Of which such a document must hold one."""
    without: tuple[str, ...] = ()
    """Of which it must hold none."""
    pattern: Regex = ""
    """A regular expression that it must match."""
    authors: tuple[str, ...] = ()
    """Ids or names of staff whose documents will do without the words."""
    by_surgeon: bool = False
    """Only what the surgeon wrote, or says that he was there (``seen``); without a surgeon nothing is judged."""
    seen: Regex = ""
    """How a note of another says that the surgeon saw the patient; ``{surgeon}`` stands for the surgeon's name."""
    mentions: bool = False
    """It must name the fact, or hold one of the words, or of the ``aliases`` of the fact's code."""
    aliases: Mapping[str, tuple[str, ...]] = {}
    needs: Search | None = None
    """Something else than a document that will do."""
    counts: Literal["signed", "written", "about"] = "signed"
    """Which time of a document: its signature; that of its message where it is not signed; what it is about."""
    own: bool = True
    """What will do comes after the moment, and of an operation does for it only; False: also what came earlier."""
    unless: Search | None = None
    """Nothing is due where there is one of these."""
    when: Search | None = None
    """Only due where there is one of these."""
    unless_ended: bool = False
    """Nothing is due if the stay ended before the limit."""
    first: bool = False
    """Only the first such moment."""
    once_a_day: bool = False
    """Of facts of one name on one day only the first."""
    days: int = 1
    """The facts must come on so many days in a row; the first of the last day starts the clock."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield what may be found to be missing, what calls for it, and the documents that make an exception.

        A document that may also stand in a common note must come by itself: that notes come does not say that this site
        writes it there.
        """
        due = [f"document:{type}" for type in self.documents]
        due += [item for items in (self.needs.needed() if self.needs else ()) for item in items]
        itself = list(takewhile(lambda item: item not in _COMMON, due))
        yield tuple(dict.fromkeys(itself or due))
        for search in filter(None, (self.facts, self.when)):
            yield from search.needed()
        if self.unless and self.unless.part == "documents":
            yield from self.unless.needed()
        if self.after in {"operation_start", "operation_end"}:
            yield ("procedure:*",)

    @cached_property
    def is_choosy(self) -> bool:
        """Whether not every document of the types will do."""
        return bool(self.words or self.without or self.pattern or self.by_surgeon or self.mentions)

    @model_validator(mode="after")
    def _one_limit(self) -> "Deadline":
        if sum(getattr(self, name) is not None for name in _UNITS) + self.same_day != 1:
            raise ValueError("needs exactly one of " + ", ".join(_UNITS) + ", same_day")
        if (self.after == "facts") != (self.facts is not None):
            raise ValueError("facts goes with after = facts")
        if not self.documents and not self.needs:
            raise ValueError("needs documents or needs")
        return self


class Discharge(Limits):
    """R13: what is due after a discharge, a death, and of a short stay."""

    limit_hours: float
    documents: DocumentTypes
    death_documents: DocumentTypes
    short_documents: DocumentTypes
    short_hours: float

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield nothing: a site whose patients rarely die is judged by its discharges."""
        yield from ()

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield what is due after a discharge and after a death; for a short stay its one record will do for either."""
        for part, types in (("discharge", self.documents), ("death", self.death_documents)):
            yield part, tuple(f"document:{type}" for type in (*types, *self.short_documents))


@dataclass(frozen=True)
class Done:
    """What was due, as it was done."""

    at: datetime
    ref: str
    document: ChartDocument | None
    fact: Fact | None = None

    @property
    def proof(self) -> list[Evidence]:
        """What shows it."""
        if self.fact or self.document is None:
            return self.fact.proof if self.fact else []
        return evidence.signature(self.document) if self.document.signed else evidence.shown(self.document)


@takes(Deadline, words=("hours", "operation", "name", "value"))
def deadline(rule: Rule, record: Record, limits: Deadline) -> Said:
    """Judge each moment of a chart: what is due after it must be there by the limit."""
    moments = starts(record, limits.after, limits.facts)
    if moments and limits.unless and find(record, limits.unless):
        return
    called_for = find(record, limits.when) if moments and limits.when else []
    if moments and limits.when and not called_for:
        return
    if limits.once_a_day:
        moments = _once_a_day(record, moments)
    if limits.days > 1:
        moments = _in_a_row(record, moments, limits.days)
    for start in moments[:1] if limits.first else moments:
        limit = _limit(rule, record, limits, start.at)
        if limits.unless_ended and record.ended and record.ended < limit:
            continue
        if limits.by_surgeon and start.surgeon is None:
            continue
        yield from _due(
            rule, record, limits.after, limit, start, _done(record, limits, start), _why(limits, start, called_for)
        )


@takes(Discharge, words=("hours", "short"))
def since_discharge(rule: Rule, record: Record, limits: Discharge) -> Said:
    """R13: a discharge record, a death record for who died; for a short stay its one record will do for either."""
    for start in starts(record, "discharged"):
        types, name = limits.documents, "discharge"
        if record.chart.died:
            types, name = limits.death_documents, "death"
        if not any(record.brings(f"document:{type}") for type in (*types, *limits.short_documents)):
            continue
        if not record.brings("disposition"):
            types = (*types, *limits.death_documents)  # nobody says whether the patient died
        if record.hours is not None and record.hours < limits.short_hours:
            types, name = (*types, *limits.short_documents), f"short_{name}"
        named = rule.say(name, short=f"{limits.short_hours:g}")
        limit = start.at + _hours(rule)
        done = (_of_document(item, written(item)) for item in record.signed(types))
        yield from _due(rule, record, "discharged", limit, start, done, document=named)


def _why(limits: Deadline, start: Start, called_for: list[Fact]) -> tuple[list[Evidence], list[str]]:
    """Return what shows why something is due beside its moment: the operation or its surgeon, what calls for it."""
    proof = [item for fact in called_for[:1] for item in fact.proof]
    of = start.operation
    if of and limits.by_surgeon and start.surgeon:
        proof.append(evidence.at(f"procedures/{of.id}/surgeon", start.surgeon.name or start.surgeon.id))
    elif of and limits.after == "operation_start" and of.title:
        proof.append(evidence.at(f"procedures/{of.id}/code", of.title))
    return proof, [fact.ref for fact in called_for[:1]]


def _due(
    rule: Rule,
    record: Record,
    after: After,
    limit: datetime,
    start: Start,
    done: Iterator[Done],
    why: tuple[list[Evidence], list[str]] = ([], []),
    **words: Text,
) -> Said:
    """Judge one deadline; of what was done, the first in time."""
    first, judged = next(done, None), limit + timedelta(seconds=rule.grace_s)
    if first and first.at <= judged:
        return
    if record.now <= judged:
        yield Wake(name=rule.key(start.subject), due=judged + _SECOND)
        return
    chart = record.chart
    said: dict[str, str | Text] = {
        "hours": f"{rule.limits.get('limit_hours', 0):g}",
        "limit_text": length(rule),
        "start": shown(chart, start.moment.at),
        "limit": shown(chart, limit),
        **(named := start.words(rule)),
        **words,
    }
    said["after"] = _filled(rule.texts.get("clock", NAMES[after]), named)
    if "document" in rule.texts and "document" not in said:
        said["document"] = rule.texts["document"]
    proof, reads = [*start.proof, *why[0]], [*start.reads(chart), *why[1]]
    if first:
        said["signed"] = _signed_at(record, first)
        proof += first.proof
        reads.append(first.ref)
    state = "late" if first else "absent"
    text = f"{state}_before" if limit == start.at else state
    yield rule.finding(
        rule.say(text, **said),
        subject=start.subject,
        state=state,
        evidence=proof,
        reads=reads,
        due=limit,
        title=rule.titled(state, **said),
    )


def _done(record: Record, limits: Deadline, start: Start) -> Iterator[Done]:
    """Yield what would do for a moment, first first."""
    if limits.counts == "signed" and not limits.needs:
        for item in record.signed(limits.documents):
            if _belongs(limits, start, at := written(item)) and _is_wanted(limits, start, item):
                yield _of_document(item, at)
        return
    found: list[Done] = []
    for item in record.documents(limits.documents) if limits.counts == "written" else record.signed(limits.documents):
        at = about(item) if limits.counts == "about" else written(item)
        if _belongs(limits, start, at) and _is_wanted(limits, start, item):
            found.append(_of_document(item, at))
    for fact in find(record, limits.needs) if limits.needs else ():
        if fact.at and _belongs(limits, start, fact.at):
            found.append(Done(fact.at, fact.ref, fact.document, fact))
    yield from sorted(found, key=lambda item: item.at)


def _belongs(limits: Deadline, start: Start, at: datetime) -> bool:
    """Tell whether a time can be that of the moment's record."""
    if limits.after == "facts":
        return not limits.own or start.at <= at
    return not limits.own or start.owns(at)


def _is_wanted(limits: Deadline, start: Start, item: ChartDocument) -> bool:
    """Tell whether a document says, or is by whom, what the rule asks for."""
    if not limits.is_choosy:
        return True
    if limits.by_surgeon and not (_is_one(item.author, start.surgeon) or _was_there(item, limits.seen, start.surgeon)):
        return False
    if limits.without and sentence(item, limits.without, negated=True):
        return False
    if limits.pattern and not any(re.search(limits.pattern, section.text) for section in item.sections):
        return False
    if limits.authors and item.author and {item.author.id, item.author.name} & set(limits.authors):
        return True
    words = limits.words
    if limits.mentions and start.fact:
        words = (*words, *filter(None, [start.fact.name]), *limits.aliases.get(start.fact.code, ()))
    return not words or sentence(item, words, negated=True) is not None


def _is_one(author: Person | None, surgeon: Person | None) -> bool:
    """Tell whether two names of staff are of one person."""
    if author is None or surgeon is None:
        return False
    return bool(author.id and author.id == surgeon.id) or bool(author.name and author.name == surgeon.name)


def _was_there(item: ChartDocument, seen: str, surgeon: Person | None) -> bool:
    """Tell whether a note of another says that the surgeon saw the patient."""
    if not seen or surgeon is None:
        return False
    pattern = seen.replace("{surgeon}", re.escape(surgeon.name) if surgeon.name else "(?!)")
    return any(re.search(pattern, section.text) for section in item.sections)


def _once_a_day(record: Record, moments: list[Start]) -> list[Start]:
    """Return, of the facts of one name on one day, the first."""
    first: dict[tuple[str, date], Start] = {}
    for start in moments:
        first.setdefault((start.fact.name if start.fact else "", record.day(start.at)), start)
    return list(first.values())


def _in_a_row(record: Record, moments: list[Start], days: int) -> list[Start]:
    """Return, of facts on so many days in a row, the first of the day that completes the first such row."""
    first: dict[date, Start] = {}
    for start in moments:
        first.setdefault(record.day(start.at), start)
    for day, start in sorted(first.items()):
        if all(day - timedelta(days=back) in first for back in range(days)):
            return [start]
    return []


def _limit(rule: Rule, record: Record, limits: Deadline, at: datetime) -> datetime:
    if limits.limit_hours is not None:
        return at + _hours(rule)
    if limits.limit_minutes is not None:
        return at + timedelta(minutes=limits.limit_minutes)
    if limits.limit_days is not None:
        return at + timedelta(days=limits.limit_days)
    if limits.limit_workdays is not None:
        return _workdays(record, limits, at)
    return last_second(record.chart, at)


def _hours(rule: Rule) -> timedelta:
    return timedelta(hours=rule.limits["limit_hours"])


def _workdays(record: Record, limits: Deadline, at: datetime) -> datetime:
    """Return the same time of the day so many working days later."""
    there, left = local(record.chart, at), limits.limit_workdays or 0
    while left > 0:
        there += timedelta(days=1)
        day = there.date()
        is_work = day in limits.workdays or (day.weekday() < 5 and day not in limits.holidays)
        left -= is_work
    return there.astimezone(at.tzinfo)


def length(rule: Rule) -> Text:
    """Return the limit in words."""
    for name, text in _UNITS.items():
        if rule.limits.get(name) is not None:
            number = f"{rule.limits[name]:g}"
            return Text(zh=text.zh.format(number), en=text.en.format(number))
    return Text(zh="当日", en="the same day")


def _filled(text: Text, words: Mapping[str, Text]) -> Text:
    return Text(
        zh=text.zh.format(**{name: word.zh for name, word in words.items()}),
        en=text.en.format(**{name: word.en for name, word in words.items()}),
    )


def _of_document(item: ChartDocument, at: datetime) -> Done:
    return Done(at, item.ref, item)


def _signed_at(record: Record, done: Done) -> Text:
    at = shown(record.chart, done.at)
    inferred = done.document and done.document.signed_inferred
    return Text(zh=at + _INFERRED.zh, en=at + _INFERRED.en) if inferred else Text(zh=at, en=at)
