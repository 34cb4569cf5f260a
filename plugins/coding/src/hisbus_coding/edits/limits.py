"""Codes against the patient's sex and age (R52)."""

from collections.abc import Iterator

from hisbus.terms import Concept
from hisbus_coding.codes import Coded
from hisbus_coding.edits.claim import Claim, inside
from hisbus_coding.edits.conventions import about
from hisbus_coding.edits.edit import Edit, Hit


def sex(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R52: a code of the other sex, by the ranges of the edit or the table's own limit. Silent when sex is unknown."""
    for coded in claim.codes if claim.sex else ():
        allowed = next((sex for sex in ("female", "male") if inside(coded.code, edit.data[sex])), "")
        if coded.role == "operation":
            allowed = ""
        allowed = allowed or (coded.concept.sex if coded.concept is not None else "")
        if allowed and allowed != claim.sex:
            yield about(edit, coded)


def age(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R52: a code of another age, by the ranges of the edit or the table's own limits. Silent when age is unknown."""
    days, years = claim.age_days, claim.age_years
    if days is None or years is None:
        return
    for coded in claim.codes:
        if _of_another_age(edit, coded, days, years):
            yield about(edit, coded, age=f"{int(years)}" if years >= 1 else f"{days} d")


def _of_another_age(edit: Edit, coded: Coded, days: int, years: float) -> bool:
    data = edit.data
    if coded.concept is not None and _outside(coded.concept, years):
        return True
    if coded.role == "operation":
        return False
    youngest, oldest = data["maternity_years"]
    return (
        (inside(coded.code, data["newborn"]) and days > data["newborn_days"])
        or (inside(coded.code, data["maternity"]) and not youngest <= int(years) <= oldest)
        or (inside(coded.code, data["adult"]) and years < data["adult_years"])
    )


def _outside(concept: Concept, years: float) -> bool:
    too_young = concept.least_age is not None and int(years) < concept.least_age
    return too_young or (concept.most_age is not None and int(years) > concept.most_age)
