"""R23: what the record says of allergies, and what was ordered all the same."""

import re
from dataclasses import dataclass

from hisbus_qc import evidence
from hisbus_qc.facts import Search, find
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Regex, Rule, Said, takes
from hisbus_schemas import Evidence

_LEAST = 2
"""Characters of an allergen's name that can be looked for in an order."""


class Allergies(Limits):
    """Where allergies stand."""

    documents: DocumentTypes
    denied: tuple[Regex, ...]
    """Regular expressions of a record that denies allergies."""
    named: tuple[GroupRegex, ...]
    """Of one that states them; the first group names what of."""
    pages: DocumentTypes
    field: str
    """Of the front page: whether there is an allergy."""
    field_no: str
    field_yes: str
    field_drugs: str
    """Of the front page: to what."""
    orders: Search
    tests: tuple[str, ...]
    """Words of an order that tests for an allergy, which is no use of the medicine."""


@dataclass(frozen=True)
class _Stated:
    has: bool
    drug: str
    proof: Evidence
    ref: str


@takes(Allergies)
def allergies(rule: Rule, record: Record, limits: Allergies) -> Said:
    """Compare admission record, front page and orders."""
    stated = [*_in_text(record, limits), *_on_page(record, limits)]
    has = [item for item in stated if item.has]
    denies = [item for item in stated if not item.has]
    if has and denies:
        yield rule.finding(
            rule.say("differs"),
            title=rule.titled("differs"),
            subject="stated",
            evidence=[has[0].proof, denies[0].proof],
            reads=sorted({has[0].ref, denies[0].ref}),
        )
    drugs = {item.drug: item for item in has if len(item.drug) >= _LEAST}
    for fact in find(record, limits.orders) if drugs else ():
        for drug, item in drugs.items():
            if drug in fact.name and not any(word in fact.name for word in limits.tests):
                yield rule.finding(
                    rule.say("ordered", drug=drug, order=fact.name),
                    subject=f"order:{fact.id}",
                    evidence=[item.proof, *fact.proof],
                    reads=[item.ref, fact.ref],
                )
                break


def _in_text(record: Record, limits: Allergies) -> list[_Stated]:
    """Return the first statement of each document; one that is denied is not read as stated."""
    found = []
    for item in record.documents(limits.documents):
        for index, section in enumerate(item.sections):
            patterns = [(False, pattern) for pattern in limits.denied] + [(True, pattern) for pattern in limits.named]
            match = next(((has, at) for has, pattern in patterns if (at := re.search(pattern, section.text))), None)
            if match:
                has, at = match
                proof = evidence.span(item, index, at.start(), at.end())
                found += [_Stated(has, _drug(name), proof, item.ref) for name in _names(at[1] if has else "")]
                break
    return found


def _names(text: str) -> list[str]:
    return [name for name in re.split(r"[、，,及和与]", text) if name] or [""]


def _drug(name: str) -> str:
    """Return an allergen without the words that are no part of its name."""
    return re.sub(r"(?:类药物|类|药物|等|针剂|针)+$", "", name.strip())


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
