"""R23: what the record says of allergies, and what was ordered all the same."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hisbus_qc import evidence
from hisbus_qc.clock import whole
from hisbus_qc.facts import Fact, Search, find
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Regex, Rule, Said, takes
from hisbus_schemas import Evidence

_DENIED = re.compile(r"(?:否认|无|未|没有|不)[^，。；,;\n]*$")
"""What denies whatever follows in its clause."""
_CLAUSE = 100
"""Characters that are looked back for it."""
_LEAST = 2
"""Characters of an allergen's name that can be looked for in an order."""


class Family(Limits):
    """Medicines of which whoever is allergic to one is given none."""

    of: Regex
    """A regular expression that the whole name of an allergen matches."""
    words: tuple[str, ...]
    """Of which the name of such a medicine holds one."""


class Allergies(Limits):
    """Where allergies stand."""

    documents: DocumentTypes
    denied: tuple[Regex, ...]
    """Regular expressions of a record that denies allergies."""
    named: tuple[GroupRegex, ...]
    """Of one that states them in plain words, where nothing before it in its clause denies; the group names what of."""
    listed: tuple[GroupRegex, ...] = ()
    """Of one that lists them under a heading; the group is the list."""
    others: tuple[str, ...] = ()
    """Words of relatives, whose allergies are not the patient's."""
    pages: DocumentTypes
    field: str
    """Of the front page: whether there is an allergy."""
    field_no: str
    field_yes: str
    field_drugs: str
    """Of the front page: to what."""
    kinds: tuple[str, ...] = ("drug", "")
    """Of the recorded allergies (AL1, IAM): those that are held against orders."""
    orders: Search
    tests: tuple[str, ...]
    """Words of an order that is no use of the medicine: a test for the allergy, a warning of it."""
    families: Mapping[str, Family] = {}

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield nothing: any two of the places will do."""
        yield from ()

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each place where an allergy may stand."""
        yield "record", tuple(f"document:{type}" for type in self.documents)
        yield "page", tuple(f"document:{type}" for type in self.pages)
        yield "list", ("allergy:*",)
        yield "orders", ("order:*",)


@dataclass(frozen=True)
class _Stated:
    has: bool
    drug: str
    proof: Evidence
    ref: str
    since: datetime | None = None
    """When the allergy became known; None: before the stay."""


@takes(Allergies)
def allergies(rule: Rule, record: Record, limits: Allergies) -> Said:
    """Compare admission record, front page and recorded allergies with each other, and orders with all of them."""
    stated = [*_recorded(record, limits), *_in_text(record, limits), *_on_page(record, limits)]
    has = [item for item in stated if item.has]
    denies = [item for item in stated if not item.has]
    before = [item for item in has if item.since is None]
    if before and denies:
        yield rule.finding(
            rule.say("differs"),
            title=rule.titled("differs"),
            subject="stated",
            evidence=[before[0].proof, denies[0].proof],
            reads=sorted({before[0].ref, denies[0].ref}),
        )
    drugs = {item.drug: item for item in reversed(has) if len(item.drug) >= _LEAST}
    for fact in find(record, limits.orders) if drugs else ():
        item = next((item for item in drugs.values() if _is_against(fact, item, limits)), None)
        if item:
            yield rule.finding(
                rule.say("ordered", drug=item.drug, order=fact.name),
                title=rule.titled("ordered", drug=item.drug, order=fact.name),
                subject=f"order:{fact.id}",
                evidence=[item.proof, *fact.proof],
                reads=[item.ref, fact.ref],
            )


def _is_against(order: Fact, item: _Stated, limits: Allergies) -> bool:
    """Tell whether an order is for what a patient was known to be allergic to, or for its kin."""
    if any(word in order.name for word in limits.tests):
        return False
    if item.since and order.at and order.at < item.since:
        return False
    kin = [word for one in limits.families.values() if re.fullmatch(one.of, item.drug) for word in one.words]
    return any(word in order.name for word in (item.drug, *kin))


def _recorded(record: Record, limits: Allergies) -> Iterator[_Stated]:
    """Yield the allergies of the chart that hold. One that was found during the stay was not known before."""
    admitted = record.chart.admitted
    for item in record.chart.allergies:
        if item.counts and item.kind in limits.kinds and item.status not in {"refuted", "inactive"} and item.title:
            found = item.time and admitted and item.time.at > admitted.at
            since = whole(item.time.at) if item.time and found else None
            yield _Stated(
                True, _drug(item.title), evidence.at(f"allergies/{item.id}/what", item.title), item.ref, since
            )


def _in_text(record: Record, limits: Allergies) -> list[_Stated]:
    """Return the first statement of each document: what is plainly named, else what is denied, else what is listed."""
    found = []
    for item in record.documents(limits.documents):
        for index, section in enumerate(item.sections):
            told = next(filter(None, (_plain(one, section.text, limits.others) for one in limits.named)), None)
            patterns = [*((False, one) for one in limits.denied), *((True, one) for one in limits.listed)]
            others = ((has, at) for has, one in patterns if (at := _own(one, section.text, limits.others)))
            match = (True, told) if told else next(others, None)
            if match:
                has, at = match
                proof = evidence.span(item, index, at.start(), at.end())
                found += [_Stated(has, _drug(name), proof, item.ref) for name in _names(at[1] if has else "")]
                break
    return found


def _plain(pattern: str, text: str, others: tuple[str, ...]) -> re.Match[str] | None:
    """Return the first such match that is of the patient and that its clause does not deny."""
    return _own(pattern, text, others, unless=_DENIED)


def _own(
    pattern: str, text: str, others: tuple[str, ...], unless: re.Pattern[str] | None = None
) -> re.Match[str] | None:
    """Return the first match whose sentence does not speak of a relative before it."""
    for match in re.finditer(pattern, text):
        if unless and unless.search(text, max(0, match.start() - _CLAUSE), match.start(match.lastindex or 0)):
            continue
        begin = max(text.rfind(mark, 0, match.start()) for mark in "。；;\n") + 1
        if not any(word in text[begin : match.end()] for word in others):
            return match
    return None


def _names(text: str) -> list[str]:
    return [name for name in re.split(r"[、，,及和与]", text) if name] or [""]


def _drug(name: str) -> str:
    """Return an allergen without the words that are no part of its name."""
    return re.sub(r"(?:类药物|类|药物|过敏|等|针剂|针)+$", "", re.sub(r"[（(].*", "", name).strip())


def _on_page(record: Record, limits: Allergies) -> list[_Stated]:
    found = []
    for page in record.documents(limits.pages):
        value, drugs = page.fields.get(limits.field, "").strip(), page.fields.get(limits.field_drugs, "").strip()
        proof = evidence.at(f"documents/{page.id}/fields/{limits.field}", page.fields.get(limits.field, ""))
        if value == limits.field_yes:
            found += [_Stated(True, _drug(name), proof, page.ref) for name in _names(drugs)]
        elif value == limits.field_no:
            found.append(_Stated(False, "", proof, page.ref))
    return found
