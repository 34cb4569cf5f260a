"""Rules of the principal diagnosis (R51), and symptoms beside their cause."""

from collections.abc import Callable, Iterator

from hisbus_coding.codes import Coded
from hisbus_coding.edits.claim import Claim, inside
from hisbus_coding.edits.conventions import about
from hisbus_coding.edits.edit import Edit, Hit

Check = Callable[[Edit, Claim], Iterator[Hit]]


def _of_principal(wrong: Callable[[Edit, Coded], bool]) -> Check:
    def check(edit: Edit, claim: Claim) -> Iterator[Hit]:
        first = claim.principal
        if first is not None and wrong(edit, first):
            yield about(edit, first)

    return check


grey: Check = _of_principal(lambda edit, first: first.concept is not None and not first.concept.principal)
"""R51: the loaded table does not allow the code as principal."""

manifestation: Check = _of_principal(lambda edit, first: first.concept is not None and first.concept.manifestation)
"""R51: a manifestation (MCE 6); the table marks it."""

in_ranges: Check = _of_principal(lambda edit, first: inside(first.code, edit.data["codes"]))
"""R51: an external cause (MCE 2), or a code that only describes (MCE 9)."""

complication: Check = _of_principal(lambda edit, first: first.role == "complication")
"""R51: what arose during the stay."""


def comes_first(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R51: admitted for chemotherapy or radiotherapy, or pregnant, and the principal diagnosis is another."""
    first = claim.principal
    if first is None or inside(first.code, edit.data["codes"]):
        return
    for coded in claim.within(edit.data["codes"]):
        yield about(edit, coded, first, principal=first.code)
        return


def symptom(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R51: the principal diagnosis is a symptom, and a definite diagnosis is there."""
    first = claim.principal
    if first is None or not inside(first.code, edit.data["codes"]):
        return
    definite = next(claim.within(edit.data["definite"]), None)
    if definite is not None:
        yield about(edit, first, definite, definite=definite.code)


def symptom_with_cause(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """A symptom is coded beside a disease that it is a part of."""
    for pair in edit.data["pairs"]:
        cause = next(claim.within(pair["causes"]), None)
        if cause is None:
            continue
        for coded in claim.within(pair["codes"]):
            yield about(edit, coded, cause, cause=cause.code)
