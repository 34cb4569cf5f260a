"""Codes against the fields of the front page and against what was done (R53-R56)."""

import re
from collections.abc import Iterator

from hisbus_coding.edits.claim import Claim
from hisbus_coding.edits.conventions import about
from hisbus_coding.edits.edit import Edit, Hit
from hisbus_schemas import Evidence

_BEHAVIOUR = re.compile(r"/([0-9])")
_HEALING = re.compile(r"(?P<grade>[0IⅠⅡⅢ1-3]{1,3})(?:类)?\s*[/／]\s*(?P<healing>[甲乙丙丁]?)")
_FIRST_GRADE = frozenset({"I", "Ⅰ", "1"})
_MOST = {"HOURS": 24, "MINUTES": 60}


def _field(edit: Edit, claim: Claim, name: str, **values: str) -> Hit:
    """Return what an edit found about a field of the front page."""
    page = claim.page
    return Hit(
        edit=edit,
        subject=name,
        codes=(),
        message=edit.say(**values),
        evidence=()
        if page is None
        else (Evidence(path=f"documents/{page.id}/fields/{name}", value=claim.field(name)),),
        reads=frozenset() if page is None else frozenset({page.ref}),
    )


def behaviour(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R53: the code of a neoplasm goes with another behaviour than the front page's morphology has."""
    match = _BEHAVIOUR.search(claim.field(edit.data["field"]))
    if match is None:
        return
    behaviours = edit.data["behaviours"]
    tumours = [(coded, expected) for expected, ranges in behaviours.items() for coded in claim.within(ranges)]
    if tumours and all(expected != match[1] for _, expected in tumours):
        coded, expected = min(tumours, key=lambda tumour: tumour[0].rank)
        yield about(edit, coded, expected=expected, morphology=claim.field(edit.data["field"]))


def pathology(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R53: there is a pathology report, and a front page without pathological diagnosis."""
    if claim.page is None or claim.field(edit.data["field"]):
        return
    wanted = {word.casefold() for word in edit.data["reports"]}
    for reading in claim.chart.results:
        said = (reading.service.code, reading.service.text, reading.item.code, reading.item.text)
        if not reading.withdrawn and any(word in part.casefold() for word in wanted for part in said if part):
            yield _field(edit, claim, edit.data["field"])
            return


def outcome(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R54: a delivery without its outcome."""
    delivery = next(claim.within(edit.data["delivery"]), None)
    if delivery is not None and next(claim.within(edit.data["outcome"]), None) is None:
        yield about(edit, delivery)


def outside(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R54: the outcome of a delivery without any obstetric code, or with an abortion."""
    found = next(claim.within(edit.data["outcome"]), None)
    if found is None:
        return
    obstetric = next(claim.within(edit.data["obstetric"]), None)
    if obstetric is None or next(claim.within(edit.data["abortive"]), None) is not None:
        yield about(edit, found)


def coma(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R55: a head injury, and coma times of the front page that are missing or impossible."""
    injury = next(claim.within(edit.data["codes"]), None)
    if injury is None or claim.page is None:
        return
    if not all(_is_time(name, claim.field(name)) for name in edit.data["fields"]):
        yield about(edit, injury)


def _is_time(name: str, value: str) -> bool:
    if not (value.isascii() and value.isdigit()):
        return False
    return int(value) <= _MOST.get(name.rpartition("_")[2], int(value))


def healing(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R55: an incision without its healing, or a clean one that healed badly. ``Ⅰ/甲``."""
    value = claim.field(edit.data["field"])
    match = _HEALING.fullmatch(value) if value else None
    if value and (
        match is None or not match["healing"] or (match["grade"] in _FIRST_GRADE and match["healing"] == "丙")
    ):
        yield _field(edit, claim, edit.data["field"], value=value)


def weight(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R55: the weight of a newborn that no newborn has."""
    least, most = edit.data["grams"]
    for name in edit.data["fields"]:
        value = claim.field(name)
        possible = value.isascii() and value.isdigit() and least <= int(value) <= most
        if value and not possible:
            yield _field(edit, claim, name, value=value, least=str(least), most=str(most))


def operation(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R56: an operation was performed, and the front page has none."""
    if claim.page is None or claim.field(edit.data["field"]):
        return
    done = next((item for item in claim.chart.procedures if item.operation and item.end is not None), None)
    if done is not None:
        hit = _field(edit, claim, edit.data["field"], operation=done.code.text or done.code.code)
        yield Hit(hit.edit, hit.subject, (), hit.message, hit.evidence, hit.reads | {done.ref})


def readmission(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R56: a readmission is planned without a purpose."""
    plan, purpose = edit.data["plan"], edit.data["purpose"]
    if claim.field(plan) in edit.data["planned"] and not claim.field(purpose):
        yield _field(edit, claim, plan)
