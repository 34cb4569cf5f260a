"""Doses: a drug, how much of it, how often and by which way. They stand together in one source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hisbus_documentation.grounding import names, numerals, rates
from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.quantities import Quantity, quantities, same
from hisbus_documentation.plain import CJK

_AMOUNTS = frozenset({"mass", "unit", "piece"})
_ROUTES = {
    "oral": r"口服|\bp\.?o\b|by mouth|\borally\b|\boral\b",
    "intravenous": r"静脉|静滴|静注|静推|\bi\.?v\b|intravenous",
    "intramuscular": r"肌肉注射|肌注|\bi\.?m\b|intramuscular",
    "subcutaneous": r"皮下|\bs\.?c\b|subcutaneous",
    "inhaled": r"吸入|雾化|inhal|nebuli[sz]",
    "topical": r"外用|涂抹|topical",
}
_ROUTE = {name: re.compile(form) for name, form in _ROUTES.items()}
_NAMES = re.compile(rf"[{CJK}]+|[a-z][a-z-]{{2,}}")
_NO_NAME = re.compile(
    r"口服|静脉|滴注|静滴|静注|静推|肌肉|肌注|皮下|注射|雾化|吸入|外用|继续|给予|予以|改为|加用|改用|启动|调整|减量|加量|剂量|每次|一次|单次|首剂|起始|维持|用量|约|予|[至到为]$"
    r"|\b(?:the|and|was|with|give|given|take|taking|start|started|continue|dose|of|at|to|on|increase[d]?|decrease[d]?|from|about|milligrams?|oral|orally|intravenous|tablets?)\b"
)


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose."""

    drug: str
    """What stands before the amount: the name of a drug, else the last word."""
    words: frozenset[str]
    """All that stands before it, and what follows after an "of"."""
    amount: Quantity
    hours: float | None
    route: str


def doses(text: str) -> Iterator[Dose]:
    """Yield the doses of a plain text. What is said up to the next amount belongs to one."""
    text = numerals.digits(text)
    amounts = [quantity for quantity in quantities(text) if quantity.dimension in _AMOUNTS]
    ends = [later.begin for later in amounts[1:]] + [len(text)]
    begin = 0
    for amount, end in zip(amounts, ends, strict=False):
        after = re.split(r"[;。!?\n]", text[amount.end : end])[0]
        before = re.split(r"[;。!?\n]", text[begin : amount.begin])[-1]
        hours = next((rate.hours for rate in rates.rates(after)), None)
        way = re.split(r"[,、]", before)[-1] + " " + after
        route = next((name for name, form in _ROUTE.items() if form.search(way)), "")
        of = re.match(r" of (?:the |your )?([a-z-]{3,})", after)
        words = _words(before) + ([of[1]] if of else [])
        known = [name for name in names.names(" ".join(words)) if name in words]
        drug = known[-1] if known else words[-1] if words else ""
        yield Dose(drug, frozenset(words), amount, hours, route)
        begin = amount.end


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each dose stands in a source: that much of that drug, and that often where it says so."""
    known = [dose for source in sources for dose in doses(source)]
    return all(any(_borne(dose, other) for other in known) for dose in doses(text))


def _borne(dose: Dose, other: Dose) -> bool:
    return (
        same(dose.amount, other.amount)
        and (_same_drug(dose.drug, other.drug) or any(_same_drug(dose.drug, word) for word in other.words))
        and dose.hours in {None, other.hours}
        and dose.route in {"", other.route}
    )


def _words(before: str) -> list[str]:
    """Return the words before an amount that may name what it is of."""
    return [name for name in _NAMES.findall(_NO_NAME.sub(" ", before)) if len(name) > 1]


def _same_drug(one: str, other: str) -> bool:
    """Tell whether two names are of one drug; what precedes a Chinese name may be a verb."""
    if not one or not other:
        return one == other
    if one.isascii() or other.isascii():
        return one == other
    return one[-2:] == other[-2:] and (one.endswith(other) or other.endswith(one) or one[-3:] == other[-3:])
