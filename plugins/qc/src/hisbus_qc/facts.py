"""Facts: what a rule file looks for in a chart, and what was found there.

A search names a part of the chart and what an entry of it must be: a code, a word in its name, a number out of range.
Among documents it finds words, and passes over those that a negation stands before.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hisbus_qc import evidence
from hisbus_qc.clock import whole
from hisbus_qc.record import Record, named
from hisbus_qc.rule import Limits, Regex
from hisbus_schemas import ChartDocument, ChartReading, Code, Entry, Evidence, Moment

_NEGATED = re.compile(r"(?:否认|没有|未|无|不伴|排除|除外|禁忌)[^，。；,;\n]{0,6}$")
_ENTRIES = {
    "orders": "order:*",
    "results": "result:*",
    "diagnoses": "diagnosis:*",
    "procedures": "procedure:*",
    "charges": "charge:*",
}
_SENTENCE = re.compile(r"[^。；;\n]*")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


class Bounds(Limits):
    """A critical value: from where on, on either side."""

    above: float | None = None
    below: float | None = None


class Critical(Limits):
    """What makes a result a critical value: what the laboratory reports as one, or what the hospital's list says."""

    notes: tuple[str, ...] = ()
    """Words in a note on the result or its report."""
    flags: tuple[str, ...] = ()
    """Flags by which the hospital's laboratory reports one and nothing else."""
    bounds: Mapping[str, Bounds] = {}
    """The hospital's list, by the code of the item."""


class Search(Limits):
    """What to look for. An entry matches where it is of one of the codes or holds one of the words."""

    part: Literal["orders", "results", "vitals", "documents", "diagnoses", "procedures", "charges"]
    codes: tuple[str, ...] = ()
    """``I63*`` is all that begin so. Of a result: of the item or its service."""
    words: tuple[str, ...] = ()
    """Of which one stands in the name, or in the text of a document."""
    without: tuple[str, ...] = ()
    """Of which none may."""
    types: tuple[str, ...] = ()
    """Of documents: WS/T 500 or LOINC."""
    pattern: Regex = ""
    """Of documents: a regular expression; its first group is the fact's number where ``above`` or ``below`` ask."""
    flags: tuple[str, ...] = ()
    """Of results: HL7 v2 OBX-8."""
    critical: Critical | None = None
    """Of results: only critical values."""
    uncritical: Critical | None = None
    """Of results: none that is a critical value."""
    above: float | None = None
    below: float | None = None
    negated: bool = False
    """Of documents: words that are denied count as well."""
    operation: bool | None = None
    """Of procedures: whether it is an operation."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield what is looked through: the documents, the vital signs, else any entry of the part."""
        if self.part == "documents":
            yield tuple(f"document:{type}" for type in self.types) or ("document:*",)
        elif self.part == "vitals":
            yield tuple(f"vital:{code}" for code in self.codes if not self.words) or ("vital:*",)
        else:
            yield (_ENTRIES[self.part],)


_NEVER = datetime.max.replace(tzinfo=UTC)

Span = tuple[int, int, int]
"""Section, first character, first character after."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry that was found."""

    id: str
    ref: str
    name: str
    code: str
    at: datetime | None
    """UTC, whole seconds; None where the source gave no time."""
    moment: Moment | None
    path: str
    """The chart path of what it says."""
    said: str
    """What it says there."""
    clock: str
    """The chart path of its time."""
    value: str = ""
    document: ChartDocument | None = None
    span: Span | None = None
    """Where in the document its words stand."""

    @property
    def proof(self) -> list[Evidence]:
        """The entry with what it says, or the words of the document."""
        if self.document and self.span:
            return [evidence.span(self.document, *self.span)]
        return [evidence.at(self.path, self.said)]


def find(record: Record, search: Search) -> list[Fact]:
    """Return what is there, first first; entries without a time come last."""
    # A search lives as long as its rule, longer than any record.
    return record.once(("facts", id(search)), lambda: sorted(_FINDERS[search.part](record, search), key=_when))


def _when(fact: Fact) -> tuple[bool, datetime, str]:
    return fact.at is None, fact.at or _NEVER, fact.id


def mention(document: ChartDocument, words: tuple[str, ...], *, negated: bool = False) -> Evidence | None:
    """Return the sentence of a document that holds one of the words, not denied; None where none does."""
    span = sentence(document, words, negated=negated)
    return evidence.span(document, *span) if span else None


def sentence(document: ChartDocument, words: tuple[str, ...], *, negated: bool = False) -> Span | None:
    """Return where that sentence stands."""
    for index, section in enumerate(document.sections):
        for word in words:
            at = section.text.find(word)
            while at >= 0:
                begin = max(section.text.rfind(mark, 0, at) for mark in "。；;\n") + 1
                if negated or not _NEGATED.search(section.text, begin, at):
                    end = _SENTENCE.match(section.text, at + len(word))
                    return index, begin, end.end() if end else at + len(word)
                at = section.text.find(word, at + len(word))
    return None


def matches(text: str, code: str, search: Search) -> bool:
    """Tell whether a name and code are looked for."""
    if search.without and any(word in text for word in search.without):
        return False
    if not search.codes and not search.words:
        return True
    return bool(search.codes and code and named(code, search.codes)) or any(word in text for word in search.words)


def _orders(record: Record, search: Search) -> Iterator[Fact]:
    names = record.order_names
    if search.words and not search.codes and not any(word in names for word in search.words):
        return
    for name, item in record.orders:
        if matches(name, item.what.code, search):
            yield _fact("orders", "what", item, name, item.what.code, item.time)


def _readings(record: Record, search: Search) -> Iterator[Fact]:
    if not _may_be_there(record, search):
        return
    kinds = record.readings(search.part)
    for item in (item for kind, items in kinds.items() if _is_named(*kind, search) for item in items):
        if search.flags and not any(flag in search.flags for flag in item.flags):
            continue
        if search.critical and not _is_critical(item, search.critical):
            continue
        if search.uncritical and _is_critical(item, search.uncritical):
            continue
        if item.withdrawn or not _within(item, search):
            continue
        name, value = item.title, item.value
        yield _fact(search.part, "" if value else "item", item, name, item.item.code, item.time, value)


def _may_be_there(record: Record, search: Search) -> bool:
    """Tell, by one quick look at all codes and names, whether a reading can match."""
    codes, names = record.reading_names(search.part)
    if any(word in names for word in search.words) or any(map(codes.__contains__, search.codes)):
        return True
    return not (search.words or search.codes) or any(code.endswith("*") for code in search.codes)


def _is_named(code: Code, service: Code, search: Search) -> bool:
    names = " ".join(filter(None, (code.text, code.alternate_text, service.text, service.alternate_text)))
    if search.codes and any(named(each, search.codes) for each, _ in (*code.codes, *service.codes)):
        return not any(word in names for word in search.without)
    if search.codes and not search.words:
        return False
    return matches(names, "", search)


def _is_critical(item: ChartReading, critical: Critical) -> bool:
    if any(flag in critical.flags for flag in item.flags):
        return True
    if any(word in note for note in (*item.notes, *item.report_notes) for word in critical.notes):
        return True
    bounds = [critical.bounds[code] for code, _ in item.item.codes if code in critical.bounds]
    numbers = [float(value) for value in map(str.strip, item.values) if bounds and _NUMBER.fullmatch(value)]
    return any(_is_out(number, one) for number in numbers for one in bounds)


def _is_out(number: float, bounds: Bounds) -> bool:
    too_high = bounds.above is not None and number >= bounds.above
    return too_high or (bounds.below is not None and number <= bounds.below)


def _within(item: ChartReading, search: Search) -> bool:
    if search.above is None and search.below is None:
        return True
    return any(_beyond(value, search) for value in map(str.strip, item.values) if _NUMBER.fullmatch(value))


def _beyond(value: str, search: Search) -> bool:
    number = float(value)
    return (search.above is None or number > search.above) and (search.below is None or number < search.below)


def _documents(record: Record, search: Search) -> Iterator[Fact]:
    for item in record.documents(search.types):
        span, value = _told(item, search)
        if span and not (search.without and sentence(item, search.without, negated=True)):
            at = item.about or item.signed or item.filed
            clock = "about" if item.about else "signed" if item.signed else "filed"
            name = item.type.text or item.type.code
            path = f"documents/{item.id}"
            shown = span if span[2] else None
            yield Fact(
                item.id, item.ref, name, item.type.code, whole(at.at), at, f"{path}/type", name, f"{path}/{clock}",
                value, item, shown,
            )  # fmt: skip


def _told(item: ChartDocument, search: Search) -> tuple[Span | None, str]:
    """Return the words of a document that were looked for and, where a number was, that."""
    if search.pattern:
        for index, section in enumerate(item.sections):
            for match in re.finditer(search.pattern, section.text):
                value = match[match.lastindex or 0]
                if (search.above is None and search.below is None) or (
                    _NUMBER.fullmatch(value) and _beyond(value, search)
                ):
                    return (index, match.start(), match.end()), value
        return None, ""
    if search.words:
        return sentence(item, search.words, negated=search.negated), ""
    return (0, 0, 0), ""


def _diagnoses(record: Record, search: Search) -> Iterator[Fact]:
    for item in record.chart.diagnoses:
        if matches(item.code.text, item.code.code, search):
            name = item.title
            yield _fact("diagnoses", "code", item, name, item.code.code, item.time)


def _procedures(record: Record, search: Search) -> Iterator[Fact]:
    for item in record.chart.procedures:
        wanted = search.operation is None or item.operation == search.operation
        if wanted and matches(item.code.text, item.code.code, search):
            name = item.title
            yield _fact("procedures", "code", item, name, item.code.code, item.start, clock="start")


def _charges(record: Record, search: Search) -> Iterator[Fact]:
    for item in record.chart.charges:
        if matches(item.code.text, item.code.code, search):
            name = item.title
            yield _fact("charges", "code", item, name, item.code.code, item.time)


def _fact(
    part: str, form: str, item: Entry, name: str, code: str, time: Moment | None, value: str = "", clock: str = "time"
) -> Fact:
    path, said = f"{part}/{item.id}", value or name or "-"
    at = whole(time.at) if time else None
    return Fact(
        item.id, item.ref, name, code, at, time, f"{path}/{form}" if form else path, said, f"{path}/{clock}", value
    )


_FINDERS = {
    "orders": _orders,
    "results": _readings,
    "vitals": _readings,
    "documents": _documents,
    "diagnoses": _diagnoses,
    "procedures": _procedures,
    "charges": _charges,
}
