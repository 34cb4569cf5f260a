"""R59, R60: a disease's indicators, each abstracted from the chart with its evidence, or said not to be determinable.

A set of indicators is data (``sets/*.toml``). An indicator that needs a moment which the chart does not hold, a part of
the chart of which nothing arrived, or one that this site's feeds do not bring, is never *missed*: nobody can tell.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files
from typing import Literal

from hisbus_qc import evidence, pages
from hisbus_qc.clock import last_second, shown, whole
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.frontpage import years
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_schemas import Evidence, Finding, Text, Wake

Status = Literal["met", "missed", "not_determinable", "not_applicable", "pending"]

_NOTES = (("C0034",), ("C0037", "C0038", "C0039"), ("C0046", "C0047"), ("C0048",), ("C0049",))
"""What a record consists of: the admission, the course, before and after an operation, the discharge. Of each one type
will do, for not every hospital tells them apart."""


class Indicator(Limits):
    """One indicator: what must be found, and when."""

    label: Text
    groups: tuple[tuple[Search, ...], ...] = ()
    """Of each group something must be found; any search of a group will do."""
    after: Literal["", "arrival", "admitted", "operation_start", "operation_end"] = ""
    """The moment from which the limits run; empty: something must be found by discharge."""
    within_minutes: float | None = None
    same_day: bool = False
    """By the end of the day of that moment."""
    not_before_minutes: float | None = None
    """So long before the moment at most: a prophylaxis."""
    before: tuple[Search, ...] = ()
    """Before the first of these, which come at least once."""
    not_after_hours: float | None = None
    """Nothing may be found later than so long after the moment."""
    most_days: float | None = None
    """The stay lasts no longer."""
    told: tuple[Search, ...] = ()
    """Notes that speak of it: that it was done, not when. One in time meets it; by a later one it cannot be told."""
    if_found: tuple[Search, ...] = ()
    """Only asked where one of these is there."""
    unless: tuple[Search, ...] = ()
    """Not asked where one of these is: a contraindication."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield what must come here for it to be missed: where it or its excuse may stand; of each set any will do."""
        for group in (*self.groups, self.before, self.unless, self.told):
            yield from _places(group)


def _places(group: tuple[Search, ...]) -> list[tuple[str, ...]]:
    """Return what every stay brings of what a group is looked for in; where none does, what will do."""
    searched = [items for search in group for items in search.needed()]
    regular = [place for items in searched for place in _regular(items)]
    return list(dict.fromkeys(regular)) or [tuple(item for items in searched for item in items)] * bool(searched)


def _regular(items: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return what every stay brings of what one search looks through: no operation, report or outpatient's note."""
    if items[0].startswith("document:"):
        parts = (tuple(f"document:{type}" for type in part if f"document:{type}" in items) for part in _NOTES)
        return [part for part in parts if part]
    return [] if items[0].startswith("procedure:") else [items]


class Indicators(Limits):
    """A disease's set."""

    title: Text
    version: str
    codes: tuple[str, ...] = ()
    """Diagnoses of which the stay has one, the principal one unless ``secondary``."""
    secondary: bool = False
    with_principal: tuple[str, ...] = ()
    """The principal diagnosis is one of these."""
    procedures: Search | None = None
    """Or the operations whose set it is."""
    least_years: int = 0
    arrival_field: str = "FP.ARRIVAL"
    arrival_documents: DocumentTypes = ("C0002", "C0003", "C0034")
    arrival_pattern: str = r"(?:到院|到达医院|来院)时间[:：]\s*(\d{4}-\d\d-\d\d \d\d:\d\d)"
    items: dict[str, Indicator]


class Chosen(Limits):
    """Which sets a rule judges by."""

    pages: DocumentTypes
    sets: tuple[str, ...]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the front page; while there is none, any diagnosis says which disease it is."""
        yield (*(f"document:{type}" for type in self.pages), "diagnosis:*")

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield, for each indicator, what must come for it to be missed, and by what it is asked for."""
        for name in self.sets:
            field = f"field:{SETS[name].arrival_field}"
            yield name, (field, *(f"document:{type}" for type in SETS[name].arrival_documents))
            for id, asked in SETS[name].items.items():
                asks = tuple(item for search in asked.if_found for items in search.needed() for item in items)
                for one in dict.fromkeys((*asked.needed(), asks)):
                    yield f"{name}.{id}", one


@dataclass(frozen=True)
class Item:
    """One indicator as abstracted."""

    id: str
    label: Text
    status: Status
    why: str = ""
    """``late``, ``absent``, ``unknown_start``, ``no_data``, ``not_connected``, ``no_time``, ``too_long`` ...."""
    at: datetime | None = None
    limit: datetime | None = None
    proof: list[Evidence] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Abstraction:
    """A disease's indicators of one stay."""

    set: str
    version: str
    title: Text
    proof: list[Evidence]
    reads: list[str]
    items: list[Item]


def _load() -> Mapping[str, Indicators]:
    folder = files("hisbus_qc").joinpath("sets")
    return {
        file.name.removesuffix(".toml"): Indicators.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        for file in sorted(folder.iterdir(), key=lambda item: item.name)
    }


SETS: Mapping[str, Indicators] = _load()
"""Every set by its name."""


@takes(Chosen)
def indicators(rule: Rule, record: Record, limits: Chosen) -> Said:
    """Yield each missed indicator; after discharge, one finding for what of a set is not determinable."""
    if not record.chart.diagnoses and not record.operations and not record.documents(limits.pages):
        return
    for name in limits.sets:
        abstraction = abstract(name, record, limits.pages)
        if abstraction is None:
            continue
        due = [item.limit for item in abstraction.items if item.status == "pending" and item.limit]
        for item in abstraction.items:
            if item.status == "missed":
                yield rule.finding(
                    rule.say("missed", set=abstraction.title, item=item.label, why=_why(rule, record, item)),
                    title=rule.titled("missed", set=abstraction.title, item=item.label),
                    subject=f"{name}.{item.id}",
                    state=item.why,
                    evidence=[*abstraction.proof, *item.proof],
                    reads=sorted({*abstraction.reads, *item.reads}),
                    due=item.limit,
                    set=name,
                    version=abstraction.version,
                    item=item.id,
                    status=item.status,
                )
        if due:
            yield Wake(name=rule.key(name), due=min(due) + timedelta(seconds=1))
        unknown = [
            item
            for item in abstraction.items
            if item.status == "not_determinable" and _could_come(record, SETS[name], item)
        ]
        if unknown and record.ended:
            yield _unknown(rule, record, abstraction, unknown)


def _could_come(record: Record, disease: Indicators, item: Item) -> bool:
    """Tell whether the record could say what is not determinable: what this site's feeds never bring it cannot."""
    asked = disease.items[item.id]
    if item.why == "unknown_start" and asked.after == "arrival" and not record.brings(f"field:{disease.arrival_field}"):
        return False
    return _comes(record, asked)


def _comes(record: Record, asked: Indicator) -> bool:
    """Tell whether this site's feeds bring all that an indicator, or its excuse, may stand in."""
    return all(any(record.brings(item) for item in items) for items in asked.needed())


def _unknown(rule: Rule, record: Record, abstraction: Abstraction, unknown: list[Item]) -> Finding:
    what = Text(zh="、".join(item.label.zh for item in unknown), en=", ".join(item.label.en for item in unknown))
    found = rule.finding(
        rule.say("unknown", set=abstraction.title, items=what),
        title=rule.titled("unknown", set=abstraction.title),
        subject=abstraction.set,
        state="not_determinable",
        evidence=abstraction.proof,
        reads=[*abstraction.reads, record.chart.stay_ref("discharged")],
        points=0,
        set=abstraction.set,
        version=abstraction.version,
        items={item.id: {"status": item.status, "why": item.why} for item in abstraction.items},
    )
    return found.model_copy(update={"severity": "info"})


def _why(rule: Rule, record: Record, item: Item) -> Text:
    """Return in words why an indicator was missed; without a limit it was to be done by discharge."""
    words = {"at": shown(record.chart, item.at) if item.at else ""}
    words["limit"] = shown(record.chart, item.limit) if item.limit else ""
    return rule.say(item.why if item.limit or item.why == "too_long" else f"{item.why}_by_discharge", **words)


def abstract(name: str, record: Record, page_types: tuple[str, ...]) -> Abstraction | None:
    """Abstract one set from a chart; None where the stay is none of its disease.

    Raises:
        KeyError: there is no such set.
    """
    disease = SETS[name]
    included = _included(disease, record, page_types)
    if included is None:
        return None
    proof, reads = included
    # An indicator lives as long as the program, longer than any record.
    found = (
        (record.once(("indicator", id(asked)), partial(_item, its, asked, disease, record)), asked)
        for its, asked in disease.items.items()
    )
    items = [_fair(item, asked, record) for item, asked in found]
    return Abstraction(name, disease.version, disease.title, proof, reads, items)


def _included(
    disease: Indicators, record: Record, page_types: tuple[str, ...]
) -> tuple[list[Evidence], list[str]] | None:
    """Return what makes the stay one of the disease."""
    patient, day = record.chart.patient, record.day_admitted
    age = years(patient.birth_date, day) if patient and patient.birth_date and day else None
    if disease.least_years and age is not None and age < disease.least_years:
        return None
    if disease.procedures:
        facts = [fact for fact in find(record, disease.procedures) if fact.at]
        return (facts[0].proof, [facts[0].ref]) if facts else None
    there = pages.diagnoses(record, page_types)
    if not there:  # not yet final: the working and admitting diagnoses
        there = [
            pages.Coded(
                item.code.code, item.code.text, item.rank in {1, None},
                f"diagnoses/{item.id}/code", item.title or "-", item.ref, item.id,
            )
            for item in record.chart.diagnoses
        ]  # fmt: skip
    own = next((i for i in there if named(i.code, disease.codes) and (disease.secondary or i.principal)), None)
    if own is None:
        return None
    if disease.with_principal:
        main = next((item for item in there if item.principal and named(item.code, disease.with_principal)), None)
        if main is None or main is own:
            return None
        return [own.proof, main.proof], sorted({own.ref, main.ref})
    return [own.proof], [own.ref]


def _fair(item: Item, asked: Indicator, record: Record) -> Item:
    """Return an indicator without the blame for what was never sent."""
    if item.status != "missed" or _comes(record, asked):
        return item
    return replace(item, status="not_determinable", why="not_connected")


def _item(id: str, asked: Indicator, disease: Indicators, record: Record) -> Item:
    """Abstract one indicator."""
    blank = Item(id, asked.label, "not_applicable")
    if asked.if_found and not _facts(record, asked.if_found):
        return blank
    contra = _facts(record, asked.unless)
    if contra:
        return replace(blank, why="contraindicated", proof=contra[0].proof, reads=[contra[0].ref])
    if asked.most_days is not None:
        return _length(blank, asked.most_days, record)
    start, proof, reads = _start(asked.after, disease, record)
    if asked.after and start is None:
        return replace(blank, status="not_determinable", why="unknown_start")
    blank = replace(blank, proof=proof, reads=reads)
    if asked.not_after_hours is not None and start:
        return _stopped(blank, asked, start, record)
    limit = _limit(asked, start, record)
    items = [_group(blank, group, asked, start, limit, record) for group in asked.groups]
    items = [_told(item, asked, record) if item.status == "missed" else item for item in items]
    order: tuple[Status, ...] = ("missed", "not_determinable", "pending", "not_applicable", "met")
    return min(items, key=lambda item: order.index(item.status))


def _group(
    blank: Item,
    group: tuple[Search, ...],
    asked: Indicator,
    start: datetime | None,
    limit: datetime | None,
    record: Record,
) -> Item:
    """Abstract one group of an indicator: the first fact decides."""
    facts = _facts(record, group)
    timed = [fact for fact in facts if fact.at]
    if asked.not_before_minutes is not None and start:
        opens = start - timedelta(minutes=asked.not_before_minutes)
        timed = [fact for fact in timed if fact.at and fact.at >= opens]
        facts = [fact for fact in facts if fact.at is None] + timed
    if limit is None and asked.before:
        later = [fact for fact in _facts(record, asked.before) if fact.at]
        if not later:
            return replace(blank, status="not_determinable", why="unknown_start")
        limit = later[0].at
        blank = replace(blank, proof=[*blank.proof, *later[0].proof], reads=[*blank.reads, later[0].ref])
    blank = replace(blank, limit=limit)
    if facts and (limit is None or (timed and timed[0].at and timed[0].at <= limit)):
        fact = facts[0]
        return replace(
            blank, status="met", at=fact.at, proof=[*blank.proof, *fact.proof], reads=[*blank.reads, fact.ref]
        )
    if facts and not timed:
        return replace(blank, status="not_determinable", why="no_time", proof=[*blank.proof, *facts[0].proof])
    if limit is None or asked.before:
        if record.ended is None and not timed:
            return replace(blank, status="pending", limit=None)
    elif record.ended and record.ended < limit and not timed:
        return replace(blank, status="not_applicable", why="ended")
    elif record.now <= limit:
        return replace(blank, status="pending")
    if timed:
        fact = timed[0]
        proof, reads = [*blank.proof, *fact.proof], [*blank.reads, fact.ref]
        return replace(blank, status="missed", why="late", at=fact.at, proof=proof, reads=reads)
    if not _carried(record, group):
        return replace(blank, status="not_determinable", why="no_data")
    return replace(blank, status="missed", why="absent")


def _told(item: Item, asked: Indicator, record: Record) -> Item:
    """Return a missed indicator as met, or not determinable, where a note says that it was done."""
    facts = _facts(record, asked.told) if asked.told else []
    if not facts:
        return item
    fact = facts[0]
    in_time = bool(item.limit and fact.at and fact.at <= item.limit)
    return replace(
        item,
        status="met" if in_time else "not_determinable",
        why="" if in_time else "no_time",
        at=fact.at,
        proof=[*item.proof, *fact.proof],
        reads=[*item.reads, fact.ref],
    )


def _stopped(blank: Item, asked: Indicator, start: datetime, record: Record) -> Item:
    """Abstract what must have stopped by some hours after a moment."""
    limit = start + timedelta(hours=asked.not_after_hours or 0)
    searched = [search for group in asked.groups for search in group]
    if not _carried(record, tuple(searched)):
        return replace(blank, status="not_determinable", why="no_data", limit=limit)
    later = [fact for fact in _facts(record, tuple(searched)) if fact.at and fact.at > limit]
    if later:
        proof, reads = [*blank.proof, *later[0].proof], [*blank.reads, later[0].ref]
        return replace(blank, status="missed", why="late", at=later[0].at, limit=limit, proof=proof, reads=reads)
    return replace(blank, status="met" if record.now > limit else "pending", limit=None)


def _length(blank: Item, days: float, record: Record) -> Item:
    if record.hours is None:
        return replace(blank, status="pending" if record.ended is None else "not_determinable", why="unknown_start")
    chart = record.chart
    proof = [evidence.at(name, chart.stay(name)) for name in ("admitted", "discharged")]
    reads = [chart.stay_ref(name) for name in ("admitted", "discharged")]
    too_long = record.hours > days * 24
    return replace(
        blank, status="missed" if too_long else "met", why="too_long" if too_long else "", proof=proof, reads=reads
    )


def _start(after: str, disease: Indicators, record: Record) -> tuple[datetime | None, list[Evidence], list[str]]:
    """Return the moment from which an indicator's limits run."""
    chart = record.chart
    if after == "admitted" and chart.admitted:
        return whole(chart.admitted.at), [evidence.at("admitted", chart.stay("admitted"))], [chart.stay_ref("admitted")]
    if after == "arrival":
        return _arrival(disease, record)
    for item in record.operations if after and disease.procedures else ():
        found = {fact.id for fact in find(record, disease.procedures)} if disease.procedures else set()
        form, at = ("start", item.start) if after == "operation_start" else ("end", item.end)
        if item.id in found and at:
            return whole(at.at), [evidence.at(f"procedures/{item.id}/{form}", at.isoformat())], [item.ref]
    return None, [], []


def _arrival(disease: Indicators, record: Record) -> tuple[datetime | None, list[Evidence], list[str]]:
    """Return when the patient came to the hospital, as the front page or a record says; never the admission."""
    for document in record.documents(("C0032", "C0033", *disease.arrival_documents)):
        value = pages.first(document, disease.arrival_field)
        at = pages.moment(record, value.text) if value else None
        if value and at:
            return at, [value.proof], [document.ref]
        for index, section in enumerate(document.sections):
            match = re.search(disease.arrival_pattern, section.text)
            at = pages.moment(record, match[1]) if match else None
            if match and at:
                return at, [evidence.span(document, index, match.start(), match.end())], [document.ref]
    return None, [], []


def _limit(asked: Indicator, start: datetime | None, record: Record) -> datetime | None:
    if start is None:
        return None
    if asked.same_day:
        return last_second(record.chart, start)
    if asked.within_minutes is not None:
        return start + timedelta(minutes=asked.within_minutes)
    return start if asked.not_before_minutes is not None else None


def _facts(record: Record, searches: tuple[Search, ...]) -> list[Fact]:
    found = [fact for search in searches for fact in find(record, search)]
    return sorted(found, key=lambda fact: (fact.at is None, fact.at or record.now, fact.id))


def _carried(record: Record, searches: tuple[Search, ...]) -> bool:
    """Tell whether anything arrived of a part of the chart that was searched; without it nothing can be missed."""
    return any(_any(record, search) for search in searches)


def _any(record: Record, search: Search) -> bool:
    if search.part == "documents":
        return bool(record.documents(search.types))
    return bool(getattr(record.chart, search.part))
