"""Numbers with their units: read from text, compared across units, and looked for in sources."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from string import ascii_lowercase

from hisbus_documentation.grounding import dates, numerals, rates
from hisbus_documentation.grounding.facts import Facts

_TABLES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    files("hisbus_documentation.grounding").joinpath("units.toml").read_text(encoding="utf-8")
)
_WRITTEN = {unit: (dimension, Decimal(factor)) for dimension, of in _TABLES.items() for unit, factor in of.items()}
_PLURAL = {f"{unit}s": of for unit, of in _WRITTEN.items() if unit.isascii() and unit.isalpha() and len(unit) > 2}
_UNITS: Mapping[str, tuple[str, Decimal]] = _WRITTEN | _PLURAL


def _any(units: Iterable[str]) -> str:
    """Return the pattern of any of some units, none of them the beginning of a longer word."""
    longest = sorted(units, key=len, reverse=True)
    return "|".join(re.escape(unit) + ("(?![a-z])" if unit[-1] in ascii_lowercase else "") for unit in longest)


_UNIT = _any(_UNITS)
_PER = (
    rf"(?:{_any([*_TABLES['moles'], *_TABLES['mass'], 'miu', 'iu', 'u', 'meq', '个'])})/"
    rf"(?:{_any([*_TABLES['volume'], 'kg/min', 'kg/h', 'kg/d', 'kg', 'min', 'h', 'hpf', 'd'])})"
)
_POWER = r"(?:(?:[x×*] ?)?10 ?[\^*] ?\d{1,2} ?/ ?u?l)"
_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_QUANTITY = re.compile(
    rf"(?<![\d.])(?P<value>{_NUMBER})(?P<upper>/\d+(?:\.\d+)?)?[ -]?(?P<unit>{_POWER}|{_PER}|{_UNIT})?"
)
_NAME = re.compile(r"(?<![a-z0-9])(?:[a-z]{2,}-?\d+[a-z0-9]*|[a-z]\d+\.\d+(?!\d*[a-z°%])[a-z0-9]*)(?![a-z0-9])")
"""Names with a number in them: SpO2, CURB-65, J18.900. They are no values."""
_ITEM = re.compile(r"(?:^|\n)\s*\(?\d{1,2}[.、)](?!\d)")
"""The number of an item of a list."""

_MINUTES = Decimal(24 * 60)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit."""

    value: Decimal
    """In the smallest common unit of its dimension."""
    dimension: str
    """Empty: without a unit."""
    begin: int
    end: int


def quantities(text: str) -> Iterator[Quantity]:
    """Yield the numbers of a plain text; dates, times, rates of a dose, list numbers and names are none."""
    text = bare(text)
    for match in _QUANTITY.finditer(text):
        dimension, factor = _unit(match["unit"])
        for number in (match["value"], (match["upper"] or "").lstrip("/")):
            if number:
                value = Decimal(number.replace(",", "")) * factor
                yield Quantity(*_celsius(value, dimension), match.start(), match.end())


def without(text: str) -> str:
    """Return a plain text without its numbers, dates, times and rates."""
    return _QUANTITY.sub(" ", bare(text))


def digits(text: str) -> frozenset[str]:
    """Return the numbers of a plain text as they are written."""
    return frozenset(re.findall(_NUMBER, numerals.digits(text)))


def names(text: str) -> set[str]:
    """Return the names with a number in them that a plain text holds."""
    return set(_NAME.findall(text))


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each number stands in a source, in that unit or in one that it converts to, or follows from one."""
    known = [quantity for source in sources for quantity in quantities(source)]
    between = dates.differences(sources)
    named = {name for source in sources for name in names(source)}
    return names(text) <= named and all(
        any(_equal(quantity, other) for other in known) or _computed(quantity, facts, between)
        for quantity in quantities(text)
    )


def bare(text: str) -> str:
    """Return a text with its numbers as digits, and without those that are no values."""
    return numerals.digits(_blank(_ITEM, _blank(_NAME, rates.without(dates.without(text)))))


def same(one: Quantity, other: Quantity) -> bool:
    """Tell whether two quantities are equal, both with a unit."""
    return one.dimension == other.dimension and _close(one.value, other.value)


def _equal(quantity: Quantity, other: Quantity) -> bool:
    if quantity.dimension and other.dimension:
        return same(quantity, other)
    # Without a unit on one side the bare numbers are compared, so a dose of 1 g is not 1 of anything.
    return quantity.value == other.value and (quantity.dimension or other.dimension) not in {"mass", "volume"}


def _computed(quantity: Quantity, facts: Facts, between: frozenset[int]) -> bool:
    if quantity.dimension == "age":
        return quantity.value in facts.ages
    return quantity.dimension == "span" and quantity.value % _MINUTES == 0 and int(quantity.value / _MINUTES) in between


def _close(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= abs(other) * Decimal("0.002")


def _unit(unit: str | None) -> tuple[str, Decimal]:
    if unit is None:
        return "", Decimal(1)
    if unit in _UNITS:
        return _UNITS[unit]
    squeezed = unit.replace(" ", "")
    if squeezed.lstrip("x×*").startswith("10"):
        return squeezed.lstrip("x×*").replace("*", "^"), Decimal(1)
    over, _, under = squeezed.partition("/")
    for part in ("mass", "moles"):
        if over in _TABLES[part] and under in _TABLES["volume"]:
            return f"{part}/volume", Decimal(_TABLES[part][over]) / Decimal(_TABLES["volume"][under])
    return squeezed.replace("μ", "u"), Decimal(1)


def _celsius(value: Decimal, dimension: str) -> tuple[Decimal, str]:
    """Return a value and its dimension, degrees Fahrenheit as Celsius to a tenth."""
    if dimension != "fahrenheit":
        return value, dimension
    return ((value - 32) * 5 / 9).quantize(Decimal("0.1")), "celsius"


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)
