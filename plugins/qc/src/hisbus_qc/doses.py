"""R64: an order by which a patient gets more of a drug in a day than the hospital's table allows."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from hisbus.terms import Concept, Release, Terms, opened
from hisbus.terms.words import key
from hisbus_qc import evidence
from hisbus_qc.record import Record
from hisbus_qc.rule import Limits, Rule, Said, takes
from hisbus_schemas import ChartOrder

_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_MOST = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) (\S+)")
_NAME = re.compile(r"^[^\s\d(（]+")
"""A drug's name, up to its strength or dose."""
_UNITS: Mapping[str, tuple[str, Decimal]] = {
    **dict.fromkeys(("g", "克", "gm"), ("mg", Decimal(1000))),
    **dict.fromkeys(("mg", "毫克"), ("mg", Decimal(1))),
    **dict.fromkeys(("ug", "μg", "µg", "mcg", "微克"), ("mg", Decimal("0.001"))),
    **dict.fromkeys(("ml", "毫升"), ("ml", Decimal(1))),
    **dict.fromkeys(("l", "升"), ("ml", Decimal(1000))),
    **dict.fromkeys(("u", "iu", "单位", "国际单位", "[iu]"), ("iu", Decimal(1))),
    **dict.fromkeys(("万u", "万iu", "万单位"), ("iu", Decimal(10000))),
}
"""Units by what they are compared in, and how much of that one is; any other is compared with itself alone."""


class Doses(Limits):
    """How often a frequency is in a day."""

    table: str = ""
    """Name of the table of drugs (``hisbus terms load --kind drug``); empty: the only one that is loaded."""
    times: Mapping[str, float]
    """By the frequency as an order has it, in lower case; an order of any other is not judged."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield orders."""
        yield ("order:*",)


@takes(Doses)
def doses(rule: Rule, record: Record, limits: Doses) -> Said:
    """Judge each order whose drug the table has, where dose, unit and frequency are known. Without a table none is."""
    terms = opened(record.terms)
    releases = (
        [one for one in terms.releases() if one.kind == "drug" and limits.table in {"", one.system}] if terms else []
    )
    if terms is None or len(releases) != 1:
        return
    for _, order in record.orders:
        times = limits.times.get(order.frequency.strip().lower())
        if times is None or not _NUMBER.fullmatch(order.dose.strip()):
            continue
        concept = _drug(terms, releases[0], order)
        most = _MOST.fullmatch(next((note.text for note in terms.notes(concept, "daily")), "")) if concept else None
        if concept is None or most is None:
            continue
        daily = Decimal(order.dose.strip()) * Decimal(str(times))
        if _amount(daily, order.unit) > _amount(Decimal(most[1]), most[2]) and _kind(order.unit) == _kind(most[2]):
            said = {
                "name": order.title,
                "daily": f"{daily.normalize():f} {order.unit}",
                "most": f"{most[1]} {most[2]}",
                "frequency": order.frequency.strip(),
            }
            yield rule.finding(
                rule.say("found", **said),
                title=rule.titled("found", **said),
                subject=order.id,
                evidence=[evidence.at(f"orders/{order.id}/what", order.title)],
                reads=[order.ref],
            )


def _drug(terms: Terms, release: Release, order: ChartOrder) -> Concept | None:
    """Return what the table has of an ordered drug: by its code, else by its whole name."""
    for code, _ in order.what.codes:
        if code and (found := terms.concept(release, code)):
            return found
    name = _NAME.match(order.title)
    hits = [hit for hit in terms.named(release, key(name[0])) if hit.exact] if name else []
    return hits[0].concept if len({hit.concept.code for hit in hits}) == 1 else None


def _kind(unit: str) -> str:
    low = unit.strip().lower()
    return _UNITS.get(low, (low, Decimal(1)))[0]


def _amount(number: Decimal, unit: str) -> Decimal:
    low = unit.strip().lower()
    return number * _UNITS.get(low, (low, Decimal(1)))[1]
