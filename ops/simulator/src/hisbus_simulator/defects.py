"""What can be wrong in a record, beside the variants of ``plan.py``: each defect with what must be found of it.

``defects.toml`` names a defect ``RULE VARIANT``. What it does to a stay's facts is told here, what it adds (papers,
orders, reports, charges) is told with the story's own rows by ``stay.py``.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

from hisbus_simulator.facts import Fact, Filed, Ordered, Section
from hisbus_simulator.plan import Plan

Told = str | Mapping[str, str]
"""A text; or one for a man and one for a woman."""


class DefectError(ValueError):
    """A defect does nothing in the story that it was planted in: the week's plan is wrong."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong, and what it makes of a stay."""

    expected: tuple[tuple[str, str, str], ...]
    """Rule and state of each finding that it asks for, and what that rests on; none: it only looks like a defect."""
    omit: tuple[str, ...] = ()
    """Parts that are not told."""
    late: Mapping[str, int] = field(default_factory=dict)
    """Minutes by which a part is signed and filed later."""
    swap: Mapping[str, tuple[str, Told]] = field(default_factory=dict)
    """By part: a regular expression and what its text says instead, in the words of the story's variant."""
    copy: Mapping[str, str] = field(default_factory=dict)
    """By part: the part whose text it repeats."""
    by: Mapping[str, str] = field(default_factory=dict)
    """By part: who writes it."""
    page: Mapping[str, Told] = field(default_factory=dict)
    """Fields of the front page; empty: the field is left out."""
    adds: Mapping[str, Any] = field(default_factory=dict)
    """Rows that are told besides the story's: ``papers``, ``orders``, ``labs``, ``charges``."""
    rests: str = ""
    """What a site must send for it to be seen, as ``sites.py`` names it; empty: what its rule says there."""
    woman: bool = False
    """The patient is one."""


@cache
def defects() -> Mapping[str, Defect]:
    """Return every defect by its name, ``RULE VARIANT``."""
    text = resources.files(__package__).joinpath("defects.toml").read_text("utf-8")
    found = {}
    for rule, variants in tomllib.loads(text).items():
        for name, row in variants.items():
            rests = row.get("rests", "")
            expected = tuple((of, state, *more, rests)[:3] for of, state, *more in row.pop("expected"))
            swap = {part: (pattern, told) for part, (pattern, told) in row.pop("swap", {}).items()}
            found[f"{rule} {name}"] = Defect(expected=expected, swap=swap, **row)
    return found


def planted(plan: Plan) -> list[Defect]:
    """Return the defects of a stay."""
    named = (f"{rule} {variant}" for rule, variant in plan.variants.items())
    return [found for name in named if (found := defects().get(name))]


def spoil(facts: Iterable[Fact], plan: Plan, words: Mapping[str, Any], *, male: bool) -> list[Fact]:
    """Return a stay's facts with what its plan makes wrong.

    Args:
        words: of the story's variant.
        male: whether the patient is a man.

    Raises:
        DefectError: a defect concerns a part that the story does not tell, or a text that it does not hold.
    """
    told = list(facts)
    for defect in planted(plan):
        _check(told, defect)
        originals = {fact.part: fact for fact in told if isinstance(fact, Filed)}
        told = [_spoilt(fact, defect, originals, words, male=male) for fact in told if fact.part not in defect.omit]
    return told


def chosen(told: Told, *, male: bool) -> str:
    """Return the text for a man or a woman."""
    return told if isinstance(told, str) else told["male" if male else "female"]


def _check(told: list[Fact], defect: Defect) -> None:
    there = {fact.part for fact in told}
    asked = {*defect.omit, *defect.late, *defect.swap, *defect.by, *defect.copy, *defect.copy.values()}
    if missing := asked - there:
        raise DefectError(f"The story tells no {', '.join(sorted(missing))}; it tells {', '.join(sorted(there))}.")


def _spoilt(
    fact: Fact, defect: Defect, originals: Mapping[str, Filed], words: Mapping[str, Any], *, male: bool
) -> Fact:
    if fact.part in defect.late and isinstance(fact, Filed | Ordered):
        fact = _later(fact, timedelta(minutes=defect.late[fact.part]))
    if not isinstance(fact, Filed):
        return fact
    if fact.part in defect.copy:
        text = originals[defect.copy[fact.part]].text
        fact = replace(fact, sections=(replace(fact.sections[0], text=text),))
    if fact.part in defect.swap:
        pattern, said = defect.swap[fact.part]
        fact = replace(fact, sections=_swapped(fact.sections, pattern, chosen(said, male=male).format(**words)))
    if fact.part in defect.by:
        fact = replace(fact, by=defect.by[fact.part])
    if fact.fields and defect.page:
        fields = fact.fields | {name: chosen(value, male=male) for name, value in defect.page.items()}
        fact = replace(fact, fields={name: value for name, value in fields.items() if value})
    return fact


def _later(fact: Filed | Ordered, wait: timedelta) -> Fact:
    if isinstance(fact, Ordered):
        return replace(fact, at=fact.at + wait, ordered=fact.ordered + wait)
    return replace(fact, at=fact.at + wait, signed=fact.signed + wait if fact.signed else None)


def _swapped(sections: tuple[Section, ...], pattern: str, said: str) -> tuple[Section, ...]:
    new = tuple(replace(section, text=re.sub(pattern, said, section.text)) for section in sections)
    if new == sections:
        raise DefectError(f"No section holds {pattern!r}.")
    return tuple(section for section in new if section.text.strip())
