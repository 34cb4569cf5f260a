"""Questions to the clinician where documentation is short of a diagnosis (R58).

As the AHIMA/ACDIS brief on compliant queries asks: with the indicators of this record, without leading to one answer,
with "other" and "unable to determine" among the options, and without a word about payment or quality figures.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from hisbus.terms import plain
from hisbus.terms.words import key
from hisbus_coding.codes import Coded
from hisbus_coding.edits.claim import inside
from hisbus_coding.mentions import Mention
from hisbus_schemas import Chart, ChartReading, Contract, Evidence, Finding, Text

RULE = "R58"

_NUMBER = re.compile(r"[<>≤≥]?\s*(\d+(?:\.\d+)?)")
_NARROW = 2
"""Most ranges of codes that an indicator may have for its diagnosis to be nothing else."""
_LOW, _HIGH = frozenset({"L", "LL", "A", "AA"}), frozenset({"H", "HH", "A", "AA"})
"""Flags of a reading outside of the laboratory's own range (HL7 table 0078)."""
_SHOWN = 3
"""Most readings that a question cites: the first, and those farthest out."""


class Indicator(Contract):
    """One kind of reading that may call for a question."""

    id: str
    what: Text
    items: list[str]
    units: dict[str, float]
    below: float | None = None
    above: float | None = None
    codes: list[str]
    option: Text

    def calls(self, value: float) -> bool:
        """Tell whether a value calls for a question."""
        return (self.below is not None and value < self.below) or (self.above is not None and value > self.above)

    def shows(self, reading: ChartReading) -> bool:
        """Tell whether the laboratory itself calls a reading too low or too high: it bears the diagnosis, if mildly."""
        flags = {flag.strip().upper() for flag in reading.flags}
        value = self.value(reading)
        called = value is not None and self.calls(value)
        return called or bool(flags & (_LOW if self.below is not None else _HIGH))

    def value(self, reading: ChartReading) -> float | None:
        """Return a reading's value in the unit of the limits; None where it is of another kind or cannot be read."""
        names = {name.casefold() for name in self.items}
        item = reading.item
        if (
            not {word.casefold() for word in (item.text, item.alternate_text, *(code for code, _ in item.codes))}
            & names
        ):
            return None
        factor = self.units.get(reading.unit)
        match = _NUMBER.fullmatch(reading.values[0].strip()) if len(reading.values) == 1 else None
        return None if factor is None or match is None else float(match[1]) * factor


_DATA: Mapping[str, Any] = tomllib.loads(files("hisbus_coding").joinpath("queries.toml").read_text(encoding="utf-8"))
_TEXTS = {name: Text.model_validate(text) for name, text in _DATA["texts"].items()}
INDICATORS = [Indicator(id=name, **table) for name, table in _DATA.items() if name != "texts"]


def queries(chart: Chart, codes: Sequence[Coded], mentions: Sequence[Mention]) -> Iterator[Finding]:
    """Yield the questions that a chart calls for.

    Args:
        chart: with its results.
        codes: those of the diagnoses that are documented.
        mentions: all that documents name.
    """
    for indicator in INDICATORS:
        readings = [
            (reading, value)
            for reading in chart.results
            if not reading.withdrawn and (value := indicator.value(reading)) is not None
        ]
        calling = [(reading, value) for reading, value in readings if indicator.calls(value)]
        documented = [coded for coded in codes if inside(coded.code, indicator.codes)]
        if calling and not documented:
            yield _short(indicator, calling)
        elif readings and documented and not any(indicator.shows(reading) for reading, _ in readings):
            yield from _unsupported(indicator, readings, documented)
    if chart.discharged is not None:
        yield from _uncertain(mentions)


def _short(indicator: Indicator, calling: Sequence[tuple[ChartReading, float]]) -> Finding:
    cited = _farthest(indicator, calling)
    options = [indicator.option, _TEXTS["insignificant"], _TEXTS["other"], _TEXTS["undetermined"]]
    return _query(f"short:{indicator.id}", "short", options, indicator, cited)


def _unsupported(
    indicator: Indicator, readings: Sequence[tuple[ChartReading, float]], documented: Sequence[Coded]
) -> Iterator[Finding]:
    """Ask for the basis of a diagnosis that is nothing but its indicator, where no reading shows it."""
    if len(indicator.codes) > _NARROW:
        return  # the diagnosis rests on more than this indicator
    for coded in {plain(coded.code): coded for coded in reversed(documented)}.values():
        cited = _farthest(indicator, readings)
        options = [_TEXTS["present"], _TEXTS["excluded"], _TEXTS["other"], _TEXTS["undetermined"]]
        finding = _query(f"unsupported:{coded.code}", "unsupported", options, indicator, cited, coded.display)
        yield finding.model_copy(
            update={
                "evidence": [*coded.evidence[:1], *finding.evidence],
                "reads": sorted({*finding.reads, *coded.reads}),
            }
        )


def _uncertain(mentions: Sequence[Mention]) -> Iterator[Finding]:
    """Ask for the state of what a discharge list names as uncertain."""
    uncertain = [one for one in mentions if one.heading in {"discharge", "final"} and one.status == "uncertain"]
    for mention in {key(one.text): one for one in reversed(uncertain)}.values():
        options = [_TEXTS[name] for name in ("confirmed", "excluded", "remains", "other", "undetermined")]
        evidence = mention.evidence()
        text = _filled("uncertain", diagnosis=Text(zh=mention.text, en=mention.text))
        # A key names what it is about in hashes: a diagnosis, as somebody wrote it down, is a patient's.
        name = hashlib.sha256(key(mention.text).encode()).hexdigest()[:16]
        yield _finding(f"uncertain:{name}", text, options, [], [evidence], {mention.ref})


def _farthest(indicator: Indicator, readings: Sequence[tuple[ChartReading, float]]) -> list[ChartReading]:
    outward = sorted(readings, key=lambda item: (item[1] if indicator.below is not None else -item[1], item[0].id))
    return [reading for reading, _ in outward[:_SHOWN]]


def _query(
    name: str, text: str, options: list[Text], indicator: Indicator, cited: list[ChartReading], diagnosis: str = ""
) -> Finding:
    said = [f"{reading.values[0]} {reading.unit}{_when(reading)}" for reading in cited]
    shown = Text(zh=f"{indicator.what.zh} {'、'.join(said)}", en=f"{indicator.what.en} {', '.join(said)}")
    filled = _filled(text, indicators=shown, diagnosis=Text(zh=diagnosis, en=diagnosis))
    evidence = [Evidence(path=f"results/{reading.id}", value=reading.values[0]) for reading in cited]
    return _finding(name, filled, options, [shown], evidence, {reading.ref for reading in cited})


def _when(reading: ChartReading) -> str:
    return "" if reading.time is None else f" ({reading.time.isoformat()[:16].replace('T', ' ')})"


def _filled(name: str, **values: Text) -> Text:
    text = _TEXTS[name]
    return Text(
        zh=text.zh.format(**{key: value.zh for key, value in values.items()}),
        en=text.en.format(**{key: value.en for key, value in values.items()}),
    )


def _finding(
    name: str, draft: Text, options: list[Text], indicators: list[Text], evidence: list[Evidence], reads: set[str]
) -> Finding:
    return Finding(
        key=f"{RULE}:{name}",
        rule=RULE,
        subject=name,
        severity="info",
        message=draft,
        evidence=evidence,
        reads=sorted(reads),
        payload={
            "title": _TEXTS["title"].model_dump(),
            "query": {
                "draft": draft.model_dump(),
                "indicators": [indicator.model_dump() for indicator in indicators],
                "options": [option.model_dump() for option in options],
            },
        },
    )
