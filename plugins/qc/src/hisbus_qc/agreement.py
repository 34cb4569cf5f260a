"""Values that must agree wherever the record states them: a side, an operation's name, a surgeon, a count."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from hisbus_qc import evidence
from hisbus_qc.clock import shown as local_time
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Text

_MINUTE = 5
"""Numbers of a date and time down to the minute."""


class Source(Limits):
    """Where a value stands: in the text or fields of documents, or in the operation itself."""

    name: Text
    documents: DocumentTypes = ()
    patterns: tuple[GroupRegex, ...] = ()
    """Regular expressions; the first group of the first that matches is the value."""
    fields: tuple[str, ...] = ()
    """Of a front page."""
    operation: Literal["", "name", "surgeon", "start"] = ""


class Agree(Limits):
    """What must agree, and how two values are known to be the same."""

    sources: tuple[Source, ...]
    values: Mapping[str, tuple[str, ...]] = {}
    """Words by value: the value of a source is what of these stands in it; a source with none or two is not judged."""
    digits: bool = False
    """Only numbers are compared, however a date is written; a time of the day agrees with that of any date."""
    contained: bool = False
    """One value inside the other is the same."""
    within: bool = False
    """All values of one document must be the same as well."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the documents of all sources as one: what is not there disagrees with nothing."""
        items = (item for source in self.sources for items in source.needed() for item in items)
        yield tuple(dict.fromkeys(items))

    @model_validator(mode="after")
    def _sources(self) -> "Agree":
        for source in self.sources:
            if sum(map(bool, (source.patterns, source.fields, source.operation))) != 1:
                raise ValueError("a source has patterns, fields or operation")
        return self


@dataclass(frozen=True)
class Stated:
    """One statement of the value."""

    name: Text
    value: str
    """As it is compared."""
    words: Text
    """As it stands there, or as the rule's texts call the value."""
    ref: str
    path: str = ""
    said: str = ""
    document: ChartDocument | None = None
    span: tuple[int, int, int] = (0, 0, 0)

    @property
    def proof(self) -> Evidence:
        """Where it stands, with its words."""
        return evidence.span(self.document, *self.span) if self.document else evidence.at(self.path, self.said)


@takes(Agree, needs=("what",))
def agree(rule: Rule, record: Record, limits: Agree) -> Said:
    """Compare all statements; one finding names those that differ. With several operations none can be told whose."""
    started = record.operations
    if len(started) > 1:
        return
    stated = [item for source in limits.sources for item in _stated(rule, record, limits, source)]
    if len(stated) < 2 or not _differ(stated, limits):
        return
    where = Text(
        zh="，".join(f"{item.name.zh}为“{item.words.zh}”" for item in stated),
        en="; ".join(f"{item.name.en} “{item.words.en}”" for item in stated),
    )
    yield rule.finding(
        rule.say("found", what=rule.texts["what"], where=where),
        title=rule.titled("found", what=rule.texts["what"]),
        subject=started[0].id if started else "",
        evidence=[item.proof for item in stated],
        reads=sorted({item.ref for item in stated}),
    )


def _stated(rule: Rule, record: Record, limits: Agree, source: Source) -> Iterator[Stated]:
    for operation in record.operations if source.operation else ():
        value, form = operation.code.text, "code"
        if source.operation == "surgeon":
            value, form = operation.surgeon.name if operation.surgeon else "", "surgeon"
        elif source.operation == "start" and operation.start:
            value, form = operation.start.isoformat(), "start"
        if value and (same := _value(value, limits)):
            path = f"procedures/{operation.id}/{form}"
            shown = local_time(record.chart, operation.start.at) if form == "start" and operation.start else value
            yield Stated(source.name, same, _words(rule, same, shown), operation.ref, path, value)
    for document in record.documents(source.documents):
        yield from _in_fields(rule, document, limits, source)
        yield from _in_text(rule, document, limits, source)


def _in_fields(rule: Rule, document: ChartDocument, limits: Agree, source: Source) -> Iterator[Stated]:
    for name in source.fields:
        value = document.fields.get(name, "")
        if same := _value(value, limits):
            path = f"documents/{document.id}/fields/{name}"
            yield Stated(source.name, same, _words(rule, same, value), document.ref, path, value)


def _in_text(rule: Rule, document: ChartDocument, limits: Agree, source: Source) -> Iterator[Stated]:
    for index, section in enumerate(document.sections):
        for pattern in source.patterns:
            for match in re.finditer(pattern, section.text):
                if same := _value(match[1], limits):
                    span = (index, match.start(), match.end())
                    words = _words(rule, same, match[1])
                    yield Stated(source.name, same, words, document.ref, document=document, span=span)
                if not limits.within:
                    return


def _words(rule: Rule, value: str, said: str) -> Text:
    """Return what a sentence calls a value: as the rule's texts do, else as it stands there."""
    return rule.texts.get(value) or Text(zh=said.strip(), en=said.strip())


def _value(text: str, limits: Agree) -> str:
    """Return what is compared of a value; empty where it says nothing that can be."""
    if limits.values:
        there = [value for value, words in limits.values.items() if any(word in text for word in words)]
        return there[0] if len(there) == 1 else ""
    if limits.digits:
        return " ".join(str(int(number)) for number in re.findall(r"\d+", text)[:_MINUTE])
    return re.sub(r"\s", "", text)


def _differ(stated: list[Stated], limits: Agree) -> bool:
    first, *others = stated
    if limits.digits:
        return any(not _ends_alike(first.value, item.value) for item in others)
    if limits.contained:
        return any(first.value not in item.value and item.value not in first.value for item in others)
    return any(item.value != first.value for item in others)


def _ends_alike(one: str, other: str) -> bool:
    """Tell whether one list of numbers ends as the other does."""
    return f" {one}".endswith(f" {other}") or f" {other}".endswith(f" {one}")
