"""Numbers with their units: read from text, compared across units, and looked for in sources."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hisbus_documentation.grounding import dates, rates
from hisbus_documentation.grounding.facts import Facts

_MASS = {"kg": "1e3", "公斤": "1e3", "g": "1", "克": "1", "gram": "1", "mg": "1e-3", "毫克": "1e-3", "milligram": "1e-3",
         "ug": "1e-6", "μg": "1e-6", "mcg": "1e-6", "微克": "1e-6", "microgram": "1e-6", "ng": "1e-9"}  # fmt: skip
_VOLUME = {"l": "1", "升": "1", "liter": "1", "litre": "1", "dl": "1e-1", "ml": "1e-3", "毫升": "1e-3", "milliliter": "1e-3",
           "ul": "1e-6", "μl": "1e-6"}  # fmt: skip
_LENGTH = {
    "m": "1",
    "米": "1",
    "cm": "1e-2",
    "厘米": "1e-2",
    "centimeter": "1e-2",
    "mm": "1e-3",
    "毫米": "1e-3",
    "millimeter": "1e-3",
}
_SPAN = {"周": "168", "星期": "168", "week": "168", "天": "24", "日": "24", "d": "24", "day": "24", "小时": "1", "h": "1",
         "hr": "1", "hour": "1", "分钟": "1/60", "min": "1/60", "minute": "1/60"}  # fmt: skip
_MONTHS = {"个月": "1", "月": "1", "month": "1", "年": "12", "year": "12", "yr": "12"}
_OTHER = {
    "age": ("岁", "-year-old", "year-old", "years old", "year old", "y/o", "yo"),
    "percent": ("%", "percent"),
    "rate": (
        "次/分钟",
        "次/分",
        "次/min",
        "/分",
        "/min",
        "bpm",
        "beats per minute",
        "breaths per minute",
        "per minute",
    ),
    "times": ("次", "time"),
    "piece": ("片", "粒", "支", "枚", "颗", "tablet", "tab", "capsule", "cap", "puff", "pill"),
    "unit": ("iu", "u", "unit", "单位"),
    "point": ("分", "point"),
    "celsius": ("°c", "摄氏度", "度", "cel", "degrees celsius"),
    "fahrenheit": ("°f", "[degf]", "degrees fahrenheit"),
    "mmhg": ("mmhg", "毫米汞柱", "mm hg", "mm[hg]"),
    "kpa": ("kpa",),
}

_UNITS: Mapping[str, tuple[str, Decimal]] = {
    unit: (dimension, Decimal(factor) if "/" not in factor else Decimal(1) / 60)
    for dimension, table in (
        ("mass", _MASS), ("volume", _VOLUME), ("length", _LENGTH), ("span", _SPAN), ("months", _MONTHS),
    )
    for unit, factor in table.items()
} | {unit: (dimension, Decimal(1)) for dimension, units in _OTHER.items() for unit in units}  # fmt: skip

_PLURAL = {f"{unit}s": of for unit, of in _UNITS.items() if unit.isascii() and unit.isalpha() and len(unit) > 2}
_ALL = dict(_UNITS) | _PLURAL
_UNIT = "|".join(
    re.escape(unit) + (r"(?![a-z])" if unit[-1].isascii() and unit[-1].isalpha() else "")
    for unit in sorted(_ALL, key=len, reverse=True)
)
_PER = r"(?:mmol|umol|μmol|nmol|pmol|mg|ug|μg|ng|pg|g|miu|iu|u|meq|ml|个)/(?:dl|ml|l|ul|μl|kg/min|kg/h|kg/d|kg|min|h|hpf|d)(?![a-z])"
_POWER = r"(?:(?:[x×*] ?)?10 ?[\^*] ?\d{1,2} ?/ ?u?l)"
_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_QUANTITY = re.compile(
    rf"(?<![\d.])(?P<value>{_NUMBER})(?P<upper>/\d+(?:\.\d+)?)?[ -]?(?P<unit>{_POWER}|{_PER}|{_UNIT})?"
)
_NAME = re.compile(r"(?<![a-z0-9])(?:[a-z]{2,}-?\d+[a-z0-9]*|[a-z]\d+\.\d+(?!\d*[a-z°%])[a-z0-9]*)(?![a-z0-9])")
"""Names with a number in them: SpO2, CURB-65, J18.900. They are no values."""
_ITEM = re.compile(r"(?:^|\n)\s*\(?\d{1,2}[.、)](?!\d)")
"""The number of an item of a list."""

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE = re.compile(
    r"(?<![第每一二三四五六七八九十])(?P<digits>[一二两三四五六七八九十百]{1,5}|半)(?=个?(?:天|日|周|月|年|小时|分钟|次|岁|片|粒|支|枚))"
)
_WORDS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)} | {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_WORD = re.compile(
    rf"\b(?P<word>{'|'.join(_WORDS)})(?=[ -](?:day|week|month|year|hour|minute|time|tablet|capsule|pill|puff|point|mg|ml))"
)


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
    text = spelled(_blank(_ITEM, _blank(_NAME, rates.without(dates.without(text)))))
    for match in _QUANTITY.finditer(text):
        dimension, factor = _unit(match["unit"])
        for number in (match["value"], (match["upper"] or "").lstrip("/")):
            if number:
                value = Decimal(number.replace(",", "")) * factor
                yield Quantity(_celsius(value, dimension), _common(dimension), match.start(), match.end())


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
    return quantity.dimension == "span" and quantity.value % 24 == 0 and int(quantity.value / 24) in between


def _close(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= abs(other) * Decimal("0.002")


def _unit(unit: str | None) -> tuple[str, Decimal]:
    if unit is None:
        return "", Decimal(1)
    if unit in _ALL:
        return _ALL[unit]
    squeezed = unit.replace(" ", "")
    if squeezed.lstrip("x×*").startswith("10"):
        return squeezed.lstrip("x×*").replace("*", "^"), Decimal(1)
    over, _, under = squeezed.partition("/")
    if over in _MASS and under in _VOLUME:
        return "mass/volume", Decimal(_MASS[over]) / Decimal(_VOLUME[under])
    moles = {"mmol": "1", "umol": "1e-3", "μmol": "1e-3", "nmol": "1e-6", "pmol": "1e-9"}
    if over in moles and under in _VOLUME:
        return "moles/volume", Decimal(moles[over]) / Decimal(_VOLUME[under])
    return squeezed.replace("μ", "u"), Decimal(1)


def _common(dimension: str) -> str:
    return {"fahrenheit": "celsius", "kpa": "mmhg"}.get(dimension, dimension)


def _celsius(value: Decimal, dimension: str) -> Decimal:
    """Return degrees Celsius, or mmHg, of what is given in Fahrenheit or kPa."""
    if dimension == "fahrenheit":
        return ((value - 32) * 5 / 9).quantize(Decimal("0.1"))
    return value * Decimal("7.50062") if dimension == "kpa" else value


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)


def spelled(text: str) -> str:
    """Return a plain text with the numbers that are written as words as digits. Done twice it changes nothing more."""
    text = _CHINESE.sub(lambda match: _chinese(match["digits"]), text)
    return _WORD.sub(lambda match: str(_WORDS[match["word"]]), text)


def _chinese(digits: str) -> str:
    if digits == "半":
        return "0.5"
    total, number = 0, 0
    for c in digits:
        if c in _DIGITS:
            number = _DIGITS[c]
        else:
            total, number = total + (number or 1) * (10 if c == "十" else 100), 0
    return str(total + number)
