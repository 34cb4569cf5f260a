"""What the labels stand for by which a model names entries of the record, and which of their words bear a sentence."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from hisbus.evidence import labelled
from hisbus_documentation.gather import Material
from hisbus_documentation.grounding import Statements
from hisbus_documentation.quotes import sentences
from hisbus_documentation.source import Source
from hisbus_schemas import Chart, ChartDocument, Entry

STAY = "stay"
"""The label of what the record says of the stay itself."""


class Cited:
    """The entries that a document may rest on, by their labels. Of a document each sentence may be cited."""

    def __init__(self, material: Material, chart: Chart) -> None:
        feeding: dict[str, list[Source]] = defaultdict(list)
        for source in material.sources:
            for ref in source.reads:
                feeding[STAY if ref.startswith("stay.") else ref].append(source)
        entries: dict[str, Entry] = {label: entry for label, entry in labelled(chart) if entry.ref in feeding}
        self.ids = frozenset(entry.id for entry in entries.values())
        """Of the entries."""
        self._sources: Mapping[str, Sequence[Source]] = {
            label: list(dict.fromkeys([*feeding[entry.ref], *_words(entry)])) for label, entry in entries.items()
        } | ({STAY: list(dict.fromkeys(feeding[STAY]))} if STAY in feeding else {})

    def labels(self, sources: Collection[Source]) -> list[str]:
        """Return the labels of what some sources rest on, in the order of the record."""
        return [label for label, of in self._sources.items() if not set(of).isdisjoint(sources)]

    def bearing(self, text: str, labels: Collection[str]) -> tuple[Source, ...]:
        """Return the words of the entries named that say most of what a sentence says. A label may be unknown."""
        named = dict.fromkeys(label.strip() for label in labels)
        said = list(dict.fromkeys(source for label in named for source in self._sources.get(label, ())))
        return tuple(said[n] for n in Statements([source.text for source in said]).nearest(text))


def _words(entry: Entry) -> Sequence[Source]:
    return list(sentences(entry)) if isinstance(entry, ChartDocument) else []
