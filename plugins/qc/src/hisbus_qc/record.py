"""A chart, indexed once for all rules that judge it."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from hisbus_qc.clock import local, whole
from hisbus_qc.watched import COVERAGE, NOW, TERMS, Stamps, Watched
from hisbus_schemas import Chart, ChartDocument, ChartOrder, ChartProcedure, ChartReading, Code, Coverage

T = TypeVar("T")

Known = dict[Any, tuple[Any, frozenset[str]]]
"""What was worked out of a chart, and the parts that it rests on, by what it is."""

EVERYTHING = Coverage()
"""What is connected where nobody said anything: everything."""


class Record:
    """The chart of a stay at one time: looked up, not searched, and what a rule looks at is noted."""

    def __init__(self, chart: Chart, now: datetime, terms: Path | None = None, coverage: Coverage = EVERYTHING) -> None:
        self.chart = cast("Chart", Watched(chart, self._look))
        self.encounter, self.version = chart.encounter, chart.version
        self.present = whole(now)
        """The present, UTC, to the second, for whoever runs rules."""
        self.stamps = Stamps(chart, coverage, terms)
        """How what rules look at stands."""
        self._coverage, self._terms = coverage, terms
        self._looked_at: set[str] = set()
        self._known: Known = {}
        self._by_type: dict[str, list[ChartDocument]] = {}
        for document in chart.documents:
            if document.counts:
                self._by_type.setdefault(document.type.code, []).append(document)

    def _look(self, part: str) -> None:
        self._looked_at.add(part)

    def watched(self, work: Callable[[], T]) -> tuple[T, frozenset[str]]:
        """Return what some work comes to, and which parts it looked at, itself or by what was known already."""
        outer, self._looked_at = self._looked_at, set()
        try:
            return work(), frozenset(self._looked_at)
        finally:
            self._looked_at |= outer

    @property
    def known(self) -> Known:
        """What was worked out for all rules so far."""
        return self._known

    def recall(self, known: Known) -> None:
        """Take over what was worked out of an earlier chart of the stay, and holds of this one as well."""
        self._known |= known

    def once(self, key: Any, work: Callable[[], T]) -> T:
        """Return what some work comes to, which is done once for all rules; each of them has looked at its parts."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.watched(work)
        self._looked_at |= known[1]
        value: T = known[0]
        return value

    @property
    def now(self) -> datetime:
        """The present, UTC, to the second."""
        self._look(NOW)
        return self.present

    @property
    def terms(self) -> Path | None:
        """The site's file of terminologies; it may not exist."""
        self._look(TERMS)
        return self._terms

    @property
    def coverage(self) -> Coverage:
        """What this site's feeds bring."""
        self._look(COVERAGE)
        return self._coverage

    def brings(self, item: str) -> bool:
        """Tell whether this site's feeds bring an item of this department's stays, as a ``Need`` names it."""
        return self.coverage.brings(item, self.chart.department)

    def documents(self, types: tuple[str, ...]) -> list[ChartDocument]:
        """Return the documents of some types that were neither replaced nor withdrawn, first written first."""
        return self.once(("documents", types), lambda: self._of_types(types))

    def _of_types(self, types: tuple[str, ...]) -> list[ChartDocument]:
        self._looked_at |= {f"documents:{type}" for type in types}
        found = [document for type in types for document in self._by_type.get(type, ())]
        if len(found) > 1:
            found.sort(key=lambda item: (written(item), item.id))
        return found

    def signed(self, types: tuple[str, ...]) -> list[ChartDocument]:
        """Return the signed ones of them, first signed first."""
        return self.once(("signed", types), lambda: self._signed(types))

    def _signed(self, types: tuple[str, ...]) -> list[ChartDocument]:
        return [item for item in self.documents(types) if item.status == "signed" and item.signed]

    @property
    def orders(self) -> list[tuple[str, ChartOrder]]:
        """The orders that were not cancelled, with their names."""
        return self.once("orders", lambda: [(item.title, item) for item in self.chart.orders if item.counts])

    @property
    def order_names(self) -> str:
        """All their names, for a quick look whether a word is there at all."""
        return self.once("order names", lambda: "\n".join(name for name, _ in self.orders))

    def readings(self, part: str) -> Mapping[tuple[Code, Code], list[ChartReading]]:
        """Return the results or vital signs by what they are of, item and service: many readings, few kinds."""
        return self.once(("readings", part), lambda: self._readings(part))

    def _readings(self, part: str) -> Mapping[tuple[Code, Code], list[ChartReading]]:
        found: dict[tuple[Code, Code], list[ChartReading]] = {}
        for item in self.chart.results if part == "results" else self.chart.vitals:
            found.setdefault((item.item, item.service), []).append(item)
        return found

    def reading_names(self, part: str) -> tuple[set[str], str]:
        """Return all codes of the results or vital signs, and all their names, for a quick look."""
        return self.once(("names", part), lambda: self._reading_names(part))

    def _reading_names(self, part: str) -> tuple[set[str], str]:
        named = {code for kind in self.readings(part) for code in kind}
        codes = {code for each in named for code, _ in each.codes}
        return codes, "\n".join(f"{each.text} {each.alternate_text}" for each in named)

    @property
    def operations(self) -> list[ChartProcedure]:
        """The operations that have started."""
        return self.once("operations", lambda: [one for one in self.chart.procedures if one.operation and one.start])

    @property
    def ended(self) -> datetime | None:
        """When the stay ended, None while it goes on."""
        chart = self.chart
        return whole(chart.discharged.at) if chart.status == "discharged" and chart.discharged else None

    @property
    def hours(self) -> float | None:
        """How long a stay that ended was."""
        if self.ended is None or self.chart.admitted is None:
            return None
        return (self.ended - whole(self.chart.admitted.at)).total_seconds() / 3600

    @property
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
