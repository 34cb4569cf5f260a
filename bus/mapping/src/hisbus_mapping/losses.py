"""What a translation took of a message and what it left: numbers and names of places, never a value.

What came is counted by the format, what went out by the contract, so that neither believes the other.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pydantic_core import to_json

from hisbus import Translation
from hisbus_schemas import Fact

PLACES = 200
"""Most places that are named of one message; what is unread beyond them is counted as ``OTHERS``."""
OTHERS = "*"


@dataclass(frozen=True, slots=True)
class Losses:
    """What came in one message, what went out, and what was left."""

    parts: int = 0
    """Segments, resources, rows that it has."""
    values: int = 0
    """Fields with a value, each repetition counted."""
    read: int = 0
    """Those of them that were read."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Those that were left, by their place as its format calls it: ``OBX-17``."""
    facts: int = 0
    entries: Mapping[str, int] = field(default_factory=dict)
    """What went out: how many of each body, ``report``, ``order`` ..., and of the lists in it, ``readings`` ...."""
    collided: int = 0
    """Entries that had the identity of an earlier one, and keep their ordinal."""

    def written(self) -> str:
        """Return it as JSON, without what is none."""
        return to_json({name: value for name in self.__slots__ if (value := getattr(self, name))}).decode()

    @classmethod
    def of(cls, text: str) -> "Losses":
        """Return what was written."""
        return cls(**json.loads(text))


def losses_of(translation: Translation) -> Losses:
    """Count what a translation took and left. What is withheld was not looked into, and has none."""
    if translation.withheld:
        return Losses()
    counted = translation.count()
    return Losses(
        parts=counted.parts,
        values=counted.values,
        read=counted.values - sum(counted.unread.values()),
        unread=_most(counted.unread),
        facts=len(translation.facts),
        entries=dict(Counter(name for fact in translation.facts for name in _entries(fact))),
        collided=translation.collided,
    )


def _most(unread: Mapping[str, int]) -> dict[str, int]:
    """Return the places in their order, so many of them as are named."""
    if len(unread) <= PLACES:
        return dict(unread)
    kept = dict(islice(unread.items(), PLACES))
    return kept | {OTHERS: sum(unread.values()) - sum(kept.values())}


def _entries(fact: Fact) -> Iterator[str]:
    """Yield what a fact's data is, and the name of its list for each entry of one."""
    data = fact.data
    if data is None:
        return
    yield data.body
    for name, value in data:
        if isinstance(value, (list, dict)) and name != "deleted":
            yield from (name for _ in value)
