"""Conventions of the code system itself: what its table says of its codes."""

from collections.abc import Iterator

from hisbus.terms import covers, plain
from hisbus_coding.codes import Coded
from hisbus_coding.edits.claim import Claim
from hisbus_coding.edits.edit import Edit, Hit
from hisbus_coding.retrieval import with_seventh

_WHOLE_CHAPTERS = ("chapter", "section")
"""Whose notes ask too much of every code under them to be an edit."""


def about(edit: Edit, coded: Coded, *others: Coded, **values: str) -> Hit:
    """Return what an edit found about a code, with the evidence and the entries of all codes that it names."""
    named = (coded, *others)
    return Hit(
        edit=edit,
        subject=":".join(one.code for one in named),
        codes=tuple(one.code for one in named),
        message=edit.say(code=coded.code, **values),
        evidence=tuple(one.evidence[0] for one in named if one.evidence),
        reads=frozenset().union(*(one.reads for one in named)),
    )


def invalid(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R51: a code that the table does not have, or a category that has finer codes."""
    for coded in claim.diagnoses:
        if coded.concept is None or not coded.concept.usable:
            yield about(edit, coded, system=claim.release.system)


def seventh_character(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """A code whose category asks for a seventh character, without one that is among those it allows."""
    for coded in claim.diagnoses:
        if coded.concept is None or not coded.concept.usable:
            continue
        allowed = claim.terms.sevenths(coded.concept)
        full = {plain(with_seventh(coded.concept.code, character)) for character in allowed}
        if allowed and plain(coded.code) not in full:
            yield about(edit, coded, options=", ".join(sorted(allowed)))


def excludes1(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """Two codes of which the table says that they are never coded together. Each pair once."""
    seen: set[frozenset[str]] = set()
    for coded in claim.diagnoses:
        if coded.concept is None:
            continue
        for note in claim.terms.notes(coded.concept, "excludes1"):
            for other in claim.diagnoses:
                pair = frozenset({coded.code, other.code})
                apart = any(covers(span, other.code) and not covers(span, coded.code) for span in note.spans)
                if len(pair) == 2 and pair not in seen and apart:
                    seen.add(pair)
                    yield about(edit, coded, other, other=other.code, note=note.text)


def code_first(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """A code whose note names others that come first, none of which does. ``if applicable`` asks for nothing."""
    for coded in claim.diagnoses:
        if coded.concept is None:
            continue
        notes = [
            note for note in claim.terms.notes(coded.concept, "code_first")
            if note.spans and "if applicable" not in note.text and "if known" not in note.text
        ]  # fmt: skip
        before = [other.code for other in claim.diagnoses if other.rank < coded.rank]
        if notes and not any(covers(span, code) for note in notes for span in note.spans for code in before):
            yield about(edit, coded, note="; ".join(note.text for note in notes[:3]))


def use_additional(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """A code whose own note names codes to add, none of which is there. ``if applicable`` asks for nothing."""
    for coded in claim.diagnoses:
        if coded.concept is None:
            continue
        notes = [
            note for note in claim.terms.notes(coded.concept, "use_additional")
            if note.spans and "applicable" not in note.text and not note.owner.startswith(_WHOLE_CHAPTERS)
        ]  # fmt: skip
        there = [other.code for other in claim.diagnoses if other.code != coded.code]
        if notes and not any(covers(span, code) for note in notes for span in note.spans for code in there):
            yield about(edit, coded, note="; ".join(note.text for note in notes[:3]))


def duplicate(edit: Edit, claim: Claim) -> Iterator[Hit]:
    """R56: a code that is there twice, be it as diagnosis or as operation."""
    seen: dict[str, Coded] = {}
    told: set[str] = set()
    for coded in claim.codes:
        bare = plain(coded.code)
        if bare in seen and bare not in told and coded.role != "operation":
            told.add(bare)
            yield about(edit, coded)
        seen.setdefault(bare, coded)
