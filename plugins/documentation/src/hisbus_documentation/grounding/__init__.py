"""Grounding: does what a sentence says stand in what it claims to rest on? Pure, and without a model.

The same checks judge what was assembled and what a model wrote. They compare words, numbers and their order; they do
not understand. What passes is not proven true: a person still reads it beside its sources.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from hisbus_documentation.grounding import (
    context,
    dates,
    doses,
    names,
    negation,
    normals,
    person,
    quantities,
    sides,
    support,
)
from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.grounding.nearest import Statements
from hisbus_documentation.grounding.words import alike
from hisbus_documentation.plain import plain

Check = Callable[[str, Sequence[str], Facts], bool]
"""Tells whether a plain sentence passes, given its sources' plain texts and what holds for the patient."""

CHECKS: Mapping[str, Check] = {
    "instruction": support.about_a_patient,
    "template_text": support.filled,
    "no_source": support.sourced,
    "date": dates.holds,
    "dose": doses.holds,
    "age": person.same_age,
    "number": quantities.holds,
    "negation": negation.holds,
    "sex": person.same_sex,
    "laterality": sides.holds,
    "name": names.holds,
    "context": context.holds,
    "invented_normal": normals.holds,
    "unsupported": support.supported,
}
"""The checks by the reason for which a sentence is taken out, in the order in which they are asked."""

_REMEMBERED = 10_000
"""Sentences, about a kilobyte each with their sources: most events of a stay change few of its documents' sentences."""

__all__ = ["CHECKS", "Check", "Facts", "Statements", "reason"]


def reason(sentence: str, sources: Sequence[str], facts: Facts) -> str:
    """Return why a sentence cannot stay, empty where it can.

    Args:
        sentence: as written.
        sources: what the sources that it claims say.
        facts: of its patient.
    """
    return _reason(sentence, tuple(sources), facts)


@lru_cache(maxsize=_REMEMBERED)
def _reason(sentence: str, sources: tuple[str, ...], facts: Facts) -> str:
    said, known = alike(plain(sentence)), [alike(plain(source)) for source in sources]
    return next((name for name, check in CHECKS.items() if not check(said, known, facts)), "")
