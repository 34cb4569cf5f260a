"""Sources: what the chart says, in words, with the place where it says so."""

from dataclasses import dataclass

from hisbus_schemas import ChartDocument, Entry, Evidence


@dataclass(frozen=True, slots=True)
class Source:
    """One statement that the record bears, and what it rests on."""

    text: str
    """A sentence: the record's own words, or a fact said in the draft's language."""
    evidence: tuple[Evidence, ...]
    reads: tuple[str, ...]
    """Refs of what it rests on."""


def at(path: str, value: str) -> Evidence:
    """Return a chart path with its value."""
    return Evidence(path=path, value=value)


def entry(part: str, item: Entry, value: str, name: str = "") -> Evidence:
    """Return a fact of an entry: ``vitals/ID``, ``procedures/ID/end`` ...."""
    return at("/".join(filter(None, (part, item.id, name))), value)


def span(document: ChartDocument, section: int, begin: int, end: int) -> Evidence:
    """Return the words of a section from ``begin`` up to, and without, ``end``."""
    return Evidence(
        document=document.id,
        version=document.version,
        section=section,
        begin=begin,
        end=end,
        quote=document.sections[section].text[begin:end],
    )
