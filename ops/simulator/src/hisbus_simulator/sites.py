"""Kinds of hospital: what of a stay each one's feed sends, and what of the truth can be seen in that.

None sends reports of examinations as documents: they come as results, which only its people can know of all of them.
``full`` sends everything else. ``plain`` has no consents, no operative records and notes after an operation, and no
costs. ``small`` sends admissions and discharges with their records, vital signs and results, and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from hisbus_simulator.facts import Charged, Fact, Filed, Ordered
from hisbus_simulator.oracle import RULES, Expected

Kind = Literal["full", "plain", "small"]
Answer = Literal["expected", "not expected", "not connected"]


@dataclass(frozen=True, slots=True)
class Site:
    """What one kind of hospital does not send."""

    only: frozenset[str] = frozenset()
    """Types of documents that it sends; empty: all."""
    without: frozenset[str] = frozenset()
    """Types that it does not."""
    fields_without: frozenset[str] = frozenset()
    """Fields that its front pages do not have."""
    orders: bool = True
    charges: bool = True

    def sends(self, what: str) -> bool:
        """Tell whether something comes: a type of document, ``order``, ``charge``, a field; anything else always."""
        if what in {"order", "charge"}:
            return self.orders if what == "order" else self.charges
        if what.startswith("FP."):
            return self.sends("C0032") and what not in self.fields_without
        is_document = what.startswith("C0")
        return not is_document or (what not in self.without and (not self.only or what in self.only))

    def told(self, fact: Fact) -> Fact | None:
        """Return a fact as this hospital sends it; None where it does not."""
        match fact:
            case Ordered():
                return fact if self.orders else None
            case Charged():
                return fact if self.charges else None
            case Filed():
                if not self.sends(fact.type):
                    return None
                fields = {name: value for name, value in fact.fields.items() if name not in self.fields_without}
                return replace(fact, fields=fields)
        return fact


SITES: dict[Kind, Site] = {
    "full": Site(without=frozenset({"C0006"})),
    "plain": Site(
        without=frozenset({"C0006", "C0008", "C0009", "C0026", "C0027", "C0028", "C0048"}),
        fields_without=frozenset({"FP.TOTAL_COST"}),
        charges=False,
    ),
    "small": Site(only=frozenset({"C0034", "C0035", "C0049", "C0050"}), orders=False, charges=False),
}

BY_HAND: dict[Kind, dict[str, Literal["connected", "not_connected"]]] = {
    "full": {"document:C0006": "connected"},
    "plain": {"document:C0019": "not_connected"},
    "small": {"disposition": "not_connected"},
}
"""What each site's own people say of one item, whatever was seen: all reports of examinations come, as results; the
count sheets come of one theatre only; how a patient left is a constant."""

_RESTS: dict[str, str] = {
    "R01": "C0034", "R02": "C0037", "R03": "C0039", "R04": "C0039", "R05": "C0037", "R07": "order C0044",
    "R08": "order C0042", "R09": "order C0045", "R10": "C0009", "R11": "C0048", "R12": "C0038",
    "R13": "C0049 disposition", "R14": "C0050 disposition", "R15": "C0032", "R16": "C0046", "R21": "C0034",
    "R23": "C0034 C0032", "R24": "C0034", "R26": "C0034", "R27": "", "R29": "C0038", "R30": "C0032",
    "R31": "order C0038", "R33": "order C0006", "R34": "order C0028", "R35": "C0045 C0038", "R36": "C0026",
    "R37": "C0008", "R38": "charge C0009", "R39": "C0009", "R40": "C0026", "R41": "C0019", "R42": "C0009 C0038",
    "R43": "C0017 C0038", "R44": "order C0049", "R45": "C0038", "R46": "C0037 C0039", "R47": "C0034",
    "R48": "C0032", "R49": "C0032", "R50": "FP.TOTAL_COST", "R51": "C0032", "R52": "C0032", "R53": "C0032",
    "R54": "C0032", "R55": "C0032", "R56": "C0032", "R57": "charge", "R59": "order", "R60": "order", "R61": "C0034",
    "R62": "C0039", "R63": "C0049", "R65": "C0038", "R66": "C0034",
}  # fmt: skip
"""What must be sent for the week's findings of a rule to be seen, all of it; unless the defect says otherwise."""

_STANDS: dict[str, tuple[str, ...]] = {
    "R06": ("C0042", "C0043"),
    "R23": ("C0034", "C0032"),
    "R34": ("order",),
    "R36": ("C0026", "C0027", "C0046"),
    "R41": ("C0009", "C0011"),
    "R40": ("C0026", "C0009", "C0032"),
    "R47": ("C0034", "C0037", "C0049"),
    "R50": ("C0032",),
    "R51": ("C0032", "diagnoses"),
    "R52": ("C0032", "diagnoses"),
    "R54": ("C0032", "diagnoses"),
    "R62": ("C0034", "C0039", "C0049"),
}
"""Where a rule judges by several things: those of which one is enough for it to be connected."""


def expected(kind: Kind, findings: Iterable[Expected]) -> tuple[Expected, ...]:
    """Return which findings of a week can be made at a kind of site."""
    rests = ((finding, finding.rests or _RESTS[finding.rule]) for finding in findings)
    return tuple(finding for finding, what in rests if all(_counts(kind, one) for one in what.split()))


def answer(kind: Kind, rule: str, findings: Iterable[Expected]) -> Answer:
    """Return what is right of a rule at a kind of site: that it finds something, or nothing, or cannot judge."""
    if not is_connected(kind, rule):
        return "not connected"
    return "expected" if any(finding.rule == rule for finding in expected(kind, findings)) else "not expected"


def is_connected(kind: Kind, rule: str) -> bool:
    """Tell whether a kind of site sends what a rule judges by."""
    if rule in _STANDS:
        return any(_counts(kind, what) for what in _STANDS[rule])
    return all(_counts(kind, what) for what in _RESTS[rule].split())


def _counts(kind: Kind, what: str) -> bool:
    """Tell whether something is gone by: as its people say, else where it comes."""
    said = BY_HAND[kind].get(what) or BY_HAND[kind].get(f"document:{what}")
    return said == "connected" if said else SITES[kind].sends(what)


def connected(kind: Kind) -> tuple[str, ...]:
    """Return the rules that can judge at a kind of site."""
    return tuple(rule for rule in RULES if is_connected(kind, rule))
