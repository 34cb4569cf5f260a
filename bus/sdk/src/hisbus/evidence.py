"""Evidence from a model: the words that it quotes count where they stand in the record, exactly so; else they do not.

An agent's answer model carries ``Quote``; ``grounded`` turns quotes into evidence::

    found = grounded(case.chart, answer.quotes)
    ... Finding(evidence=found.evidence, ...) if found.evidence else left out; Assessment(unverified=found.dropped)
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from hisbus.visible import comparable, places
from hisbus_schemas import LISTS, Chart, ChartDocument, Entry, Evidence


class Quote(BaseModel):
    """Words of a document, as the model gives them."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    document: Annotated[str, Field(max_length=8, description="Label of the document, such as D3")]
    text: Annotated[str, Field(max_length=300, description="Words of it, copied exactly")]


class Grounded(NamedTuple):
    """What came of quotes."""

    evidence: list[Evidence]
    dropped: int
    """Quotes that do not stand where they were said to."""


def labelled(chart: Chart) -> Iterator[tuple[str, Entry]]:
    """Yield the entries that a model is shown with their labels: ``D1`` is the document that was filed first.

    Left out is what no longer counts: documents that were replaced or withdrawn, readings that were withdrawn.
    """
    for part in LISTS:
        counting = (entry for entry in getattr(chart, part.name) if entry.counts)
        for number, entry in enumerate(sorted(counting, key=_place), 1):
            yield f"{part.letter}{number}", entry


def grounded(chart: Chart, quotes: Iterable[Quote]) -> Grounded:
    """Find each quote in the document that it names. Only runs of white space may differ.

    Evidence holds the words as the source has them, hidden characters included.
    """
    documents = {label: entry for label, entry in labelled(chart) if isinstance(entry, ChartDocument)}
    asked = list(quotes)
    found = [_find(documents.get(quote.document.strip().upper()), quote.text) for quote in asked]
    evidence = list({item.model_dump_json(): item for item in found if item is not None}.values())
    return Grounded(evidence, found.count(None))


def _find(document: ChartDocument | None, quote: str) -> Evidence | None:
    words = [re.escape(word) for word in comparable(quote).split()]
    if document is None or not words:
        return None
    pattern = re.compile(r"\s+".join(words))
    for index, section in enumerate(document.sections):
        match = pattern.search(comparable(section.text))
        if match is not None:
            at = places(section.text)
            begin, end = at[match.start()], at[match.end() - 1] + 1
            return Evidence(
                document=document.id,
                version=document.version,
                section=index,
                begin=begin,
                end=end,
                quote=section.text[begin:end],
            )
    return None


def _place(entry: Entry) -> tuple[str, int, str]:
    """Order by time, so that what comes later leaves the labels and the prompt before it as they are."""
    moment = getattr(entry, "filed", None) or getattr(entry, "time", None) or getattr(entry, "start", None)
    return moment.at.isoformat() if moment else "", getattr(entry, "rank", 0) or 0, entry.id
