"""Proposed codes against the fields of the front page and against each other (R53-R55)."""

import re
from collections.abc import Iterator

from hisbus_coding.edits.claim import Claim
from hisbus_coding.edits.conventions import about
from hisbus_coding.edits.edit import Edit, Hit

_BEHAVIOUR = re.compile(r"/([0-9])")
_MOST = {"HOURS": 24, "MINUTES": 60}


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
