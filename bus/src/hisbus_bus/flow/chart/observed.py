"""When what was seen is enough: from counts of stays to words about coverage. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hisbus_bus.kernel.coverage import State, Word


class Count(NamedTuple):
    """Stays that an item was counted on."""

    needed: int
    """A fact of theirs called for it."""
    seen: int
    """Of those it came; where nothing calls for it: of all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is enough."""

    stays: int
    share: float

    def met(self, count: Count) -> bool:
        """Tell whether it was seen often enough, and on enough of the stays that call for it."""
        return count.seen >= self.stays and count.seen >= self.share * count.needed

    def of_department(self, count: Count, before: State | None) -> State | None:
        """Return how a department stands by itself; None: as before, and without a word as the site.

        Once met it stays so. With fewer than ``stays`` that call for it a department says nothing for itself.
        """
        if before == "connected" or count.needed < self.stays:
            return None
        if self.met(count):
            return "connected"
        if count.seen < self.share * count.needed:
            return "not_connected"
        return "observed" if before else None


def words(item: str, counts: Mapping[str, Count], found: Mapping[str, State], limits: Limits) -> list[Word]:
    """Return what is found of an item, and was not before.

    Args:
        item: what was counted.
        counts: by department; where nothing calls for the item, ``needed`` is 0. Once the site is connected, those of
            one department will do.
        found: what was found before, by department; ``""`` is the site.
        limits: what is enough.
    """
    new: list[Word] = []
    if found.get("") != "connected":
        total = Count(*(sum(of_each) for of_each in zip(*counts.values(), strict=True))) if counts else Count(0, 0)
        if not limits.met(total):
            return []
        new.append(Word(item, "", "connected"))
    for department, count in sorted(counts.items()):
        state = limits.of_department(count, found.get(department)) if department else None
        if state is not None and state != found.get(department):
            new.append(Word(item, department, state))
    return new
