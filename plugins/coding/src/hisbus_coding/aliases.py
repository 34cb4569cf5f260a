"""Everyday names and abbreviations, with the words that code systems use: ``aliases.tsv``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from hisbus.terms.words import Word, head, join, key, words

_SHORT = 5
"""Abbreviations of so many capitals at most count only when written in capitals: CAP, not cap."""


@dataclass(frozen=True, slots=True)
class Alias:
    """What an everyday name stands for."""

    meanings: tuple[str, ...]
    capitals: frozenset[str]
    """The spellings that alone count; empty: any."""

    def fits(self, written: str) -> bool:
        """Tell whether the name as it was written may be meant."""
        return not self.capitals or written in self.capitals


@dataclass(frozen=True, slots=True)
class Aliases:
    """All of them, by key."""

    known: Mapping[str, Alias]
    longest: Mapping[str, int]

    def at(self, text: str, of: Sequence[Word], place: int) -> int:
        """Return how many words the longest alias has that begins at a place of a text; 0: none does."""
        for count in range(min(self.longest.get(head(of, place), 0), len(of) - place), 0, -1):
            part = of[place : place + count]
            alias = self.known.get(join(part))
            if alias is not None and alias.fits(text[part[0].begin : part[-1].end]):
                return count
        return 0

    def meanings(self, written: str) -> tuple[str, ...]:
        """Return what a whole text stands for, where it is an alias."""
        alias = self.known.get(key(written))
        return alias.meanings if alias is not None and alias.fits(written.strip()) else ()

    def expanded(self, text: str) -> list[str]:
        """Return a text with each alias in it replaced by its first meaning, then by its second and so on."""
        of = words(text)
        places, at = [], 0
        while at < len(of):
            count = self.at(text, of, at)
            if count:
                places.append((of[at].begin, of[at + count - 1].end))
            at += count or 1
        made = []
        for turn in range(max((len(self.meanings(text[begin:end])) for begin, end in places), default=0)):
            other = text
            for begin, end in reversed(places):
                its = self.meanings(text[begin:end])
                other = f"{other[:begin]} {its[min(turn, len(its) - 1)]} {other[end:]}"
            made.append(other.strip())
        return made


@cache
def aliases() -> Aliases:
    """Return the aliases of this plugin."""
    known: dict[str, Alias] = {}
    longest: dict[str, int] = {}
    for line in files("hisbus_coding").joinpath("aliases.tsv").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, said = line.partition("\t")
        of = words(name)
        spelling = {name} if name.isascii() and name.isupper() and len(name) <= _SHORT else set()
        earlier = known.get(join(of), Alias((), frozenset(spelling)))
        meanings = tuple(part.strip() for part in said.split(";"))
        known[join(of)] = Alias(earlier.meanings + meanings, earlier.capitals & spelling if spelling else frozenset())
        start = head(of, 0)
        longest[start] = max(longest.get(start, 0), len(of))
    return Aliases(known, longest)
