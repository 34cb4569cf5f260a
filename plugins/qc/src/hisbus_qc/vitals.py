"""Vital signs."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property, lru_cache

from hisbus_qc import evidence
from hisbus_qc.record import Record
from hisbus_qc.rule import Limits, Rule, Said, takes
from hisbus_schemas import ChartReading

_UNITS: Mapping[str, str] = {
    "temperature": "°C",
    "pulse": "/min",
    "respiration": "/min",
    "systolic": "mmHg",
    "diastolic": "mmHg",
    "oxygen_saturation": "%",
}
"""The vital signs and the units of their limits."""


def _fahrenheit(value: Decimal) -> Decimal:
    return (value - 32) * 5 / 9


def _kilopascal(value: Decimal) -> Decimal:
    return value * Decimal("7.50062")


_FOREIGN: Mapping[str, Callable[[Decimal], Decimal]] = {
    **dict.fromkeys(["[degf]", "degf", "°f", "℉"], _fahrenheit),
    "kpa": _kilopascal,
}
"""Units, in lower case, that are not the limits' own; any other is taken for the limit's."""

_REMEMBERED = 2_000
"""Values with their units."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")


class Range(Limits):
    """The possible range of each vital sign, and the codes it comes under."""

    temperature: tuple[float, float]
    temperature_codes: tuple[str, ...]
    pulse: tuple[float, float]
    pulse_codes: tuple[str, ...]
    respiration: tuple[float, float]
    respiration_codes: tuple[str, ...]
    systolic: tuple[float, float]
    systolic_codes: tuple[str, ...]
    diastolic: tuple[float, float]
    diastolic_codes: tuple[str, ...]
    oxygen_saturation: tuple[float, float]
    oxygen_saturation_codes: tuple[str, ...]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield all of them as one: what is not there is not judged."""
        yield tuple(f"vital:{code}" for code in self.by_code)

    @cached_property
    def by_code(self) -> Mapping[str, tuple[str, Decimal, Decimal]]:
        """Name and ends of the range, by code."""
        return {
            code: (name, Decimal(str(low)), Decimal(str(high)))
            for name in _UNITS
            for low, high in [getattr(self, name)]
            for code in getattr(self, f"{name}_codes")
        }


@takes(Range)
def impossible(rule: Rule, record: Record, limits: Range) -> Said:
    """R27: a vital sign that cannot be, 0 or below or outside its range. What is no number is not judged here.

    A vital sign that came in one report with laboratory values stands among the results, and is judged there.
    """
    ranges = limits.by_code
    for part, readings in (("vitals", record.chart.vitals), ("results", record.chart.results)):
        for reading in readings:
            known = ranges.get(reading.item.among(ranges))
            if known is None or reading.withdrawn:
                continue
            name, least, most = known
            wrong = _first_outside(reading, least, most)
            if not wrong:
                continue
            low, high = rule.limits[name]
            unit = reading.unit if reading.unit.lower() in _FOREIGN else _UNITS[name]
            vital = rule.texts[name]
            ends = {"low": f"{low:g}", "high": f"{high:g}", "unit": _UNITS[name]}
            yield rule.finding(
                rule.say("found", vital=vital, value=f"{wrong} {unit}", **ends),
                title=rule.titled("found", vital=vital),
                subject=reading.id,
                evidence=[evidence.at(f"{part}/{reading.id}", ", ".join(reading.values))],
                reads=[reading.ref],
            )


def _first_outside(reading: ChartReading, low: Decimal, high: Decimal) -> str:
    """Return the first of a reading's values that cannot be, as it was sent; empty where all can."""
    for value in map(str.strip, reading.values):
        number = _number(value, reading.unit)
        if number is not None and (number <= 0 or not low <= number <= high):
            return value
    return ""


@lru_cache(maxsize=_REMEMBERED)
def _number(value: str, unit: str) -> Decimal | None:
    """Return a value in its limit's unit; None for what is no number."""
    if not _NUMBER.fullmatch(value):
        return None
    number = Decimal(value)
    convert = _FOREIGN.get(unit.lower())
    return convert(number) if convert else number
