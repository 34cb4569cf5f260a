"""A chart, indexed once for all rules that judge it."""

from datetime import date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from hisbus_qc.clock import local, whole
from hisbus_schemas import Chart, ChartDocument, ChartOrder, ChartProcedure, Coverage

EVERYTHING = Coverage()
"""What is connected where nobody said anything: everything."""


class Record:
    """The chart of a stay at one time. What a rule needs of it is looked up, not searched."""

    def __init__(self, chart: Chart, now: datetime, terms: Path | None = None, coverage: Coverage = EVERYTHING) -> None:
        self.chart = chart
        self.coverage = coverage
        """What this site's feeds bring."""
        self.terms = terms
        """The site's file of terminologies; it may not exist."""
        self.now = whole(now)
        """The present, UTC, to the second."""
        self.found: dict[int, Any] = {}
        """What was looked for and found, by what was asked: many rules ask for the same."""
        self.kept: dict[Any, Any] = {}
        """What was worked out of a document or part, for all rules that need it."""
        self.moments: dict[str, Any] = {}
        """The moments of the stay and its operations, by kind."""
        self._documents: dict[tuple[str, ...], list[ChartDocument]] = {}
        self._signed: dict[tuple[str, ...], list[ChartDocument]] = {}
        self._by_type: dict[str, list[ChartDocument]] = {}
        for document in chart.documents:
            if document.counts:
                self._by_type.setdefault(document.type.code, []).append(document)

    def brings(self, item: str) -> bool:
        """Tell whether this site's feeds bring an item of this department's stays, as a ``Need`` names it."""
        return self.coverage.brings(item, self.chart.department)

    def documents(self, types: tuple[str, ...]) -> list[ChartDocument]:
        """Return the documents of some types that were neither replaced nor withdrawn, first written first."""
        found = self._documents.get(types)
        if found is None:
            found = [document for type in types for document in self._by_type.get(type, ())]
            if len(found) > 1:
                found.sort(key=lambda item: (written(item), item.id))
            self._documents[types] = found
        return found

    def signed(self, types: tuple[str, ...]) -> list[ChartDocument]:
        """Return the signed ones of them, first signed first."""
        found = self._signed.get(types)
        if found is None:
            found = [item for item in self.documents(types) if item.status == "signed" and item.signed]
            self._signed[types] = found
        return found

    @cached_property
    def orders(self) -> list[tuple[str, ChartOrder]]:
        """The orders that were not cancelled, with their names."""
        there = self.chart.orders
        return [(item.title, item) for item in there if item.counts]

    @cached_property
    def order_names(self) -> str:
        """All their names, for a quick look whether a word is there at all."""
        return "\n".join(name for name, _ in self.orders)

    def reading_names(self, part: str) -> tuple[set[str], str]:
        """Return all codes of the results or vital signs, and all their names, for a quick look."""
        found = self.kept.get(part)
        if found is None:
            there = self.chart.results if part == "results" else self.chart.vitals
            named = {code for item in there for code in (item.item, item.service)}
            codes = {code for each in named for code, _ in each.codes}
            found = self.kept[part] = codes, "\n".join(f"{each.text} {each.alternate_text}" for each in named)
        names: tuple[set[str], str] = found
        return names

    @cached_property
    def operations(self) -> list[ChartProcedure]:
        """The operations that have started."""
        return [item for item in self.chart.procedures if item.operation and item.start]

    @cached_property
    def ended(self) -> datetime | None:
        """When the stay ended, None while it goes on."""
        chart = self.chart
        return whole(chart.discharged.at) if chart.status == "discharged" and chart.discharged else None

    @cached_property
    def hours(self) -> float | None:
        """How long a stay that ended was."""
        if self.ended is None or self.chart.admitted is None:
            return None
        return (self.ended - whole(self.chart.admitted.at)).total_seconds() / 3600

    @cached_property
    def day_admitted(self) -> date | None:
        """The day of admission, on the clock of the ward."""
        return self.day(self.chart.admitted.at) if self.chart.admitted else None

    def day(self, at: datetime) -> date:
        """Return the day of a time, on the clock of the ward."""
        return local(self.chart, at).date()


def written(document: ChartDocument) -> datetime:
    """Return when a document was signed; the source time of its message for one that is not."""
    return whole((document.signed or document.filed).at)


def about(document: ChartDocument) -> datetime:
    """Return the time that a document is about; where it says none, when it was written."""
    return whole(document.about.at) if document.about else written(document)


def named(code: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a code is one of those named; ``I63*`` names all that begin so."""
    whole, beginnings = _split(patterns)
    return code in whole or code.startswith(beginnings)


@lru_cache(maxsize=1024)
def _split(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the codes that are named whole, and how the others begin."""
    begin = tuple(item[:-1] for item in patterns if item.endswith("*"))
    return frozenset(item for item in patterns if not item.endswith("*")), begin
