"""Codes that a name may stand for: by exact name, by alias, and by the words that it shares with names of the table."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hisbus.terms import Concept, Hit, Release, Terms, plain
from hisbus.terms.words import key, short, tokens
from hisbus_coding.aliases import aliases
from hisbus_coding.context import DATA

Method = Literal["recorded", "title", "inclusion", "synonym", "alias", "search", "crosswalk"]

MOST = 10
SURE = 0.6
"""Least score of a candidate that is assigned; below it the coder chooses."""
_WHOLE = 7
"""Characters of a code with its seventh, without the point."""
_DEPTH = 60
"""Names that the search is asked for; several may lead to one code."""
_SCORE: dict[Method, float] = {
    "recorded": 0.95, "title": 0.95, "inclusion": 0.9, "synonym": 0.9, "alias": 0.85, "search": 0.8, "crosswalk": 0.95
}  # fmt: skip
_LOOSE = 0.02
"""Less for a name without its bracketed or unspecified part."""
_DEFAULTED = 0.03
"""Less where the name is a category's, and its unspecified code stands in."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A code that a name may stand for."""

    code: str
    display: str
    score: float
    """0 to 1: how sure the way is that it was found by. The search's is the share of words that both names have."""
    method: Method
    concept: Concept
    assumed: tuple[str, ...] = ()
    """What was assumed beyond the words: ``unspecified``, ``initial encounter`` ...."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Finds candidates in one release."""

    terms: Terms
    release: Release

    def candidates(self, text: str) -> list[Candidate]:
        """Return the codes that a name may stand for, the likeliest first, ten at most."""
        return list(_ranked(self, text))

    def recorded(self, code: str) -> Candidate | None:
        """Return a code that somebody recorded, where the table has it."""
        concept = self.find(code)
        if concept is None:
            return None
        return Candidate(code, concept.display, _SCORE["recorded"], "recorded", concept)

    def find(self, code: str) -> Concept | None:
        """Return the concept of a code, also when the code has a seventh character."""
        concept = self.terms.concept(self.release, code)
        bare = plain(code)
        if concept is None and len(bare) == _WHOLE:
            concept = self.terms.concept(self.release, bare[:-1].rstrip("X"))
        return concept

    def each(self, text: str) -> Iterator[Candidate]:
        """Yield candidates by every way there is; one code may come several times."""
        forms = [text, *aliases().expanded(text)]
        forms += [plainer for form in forms if (plainer := _unmodified(form)) and plainer != form]
        forms += [brief for form in forms if (brief := short(form)) and brief != form]
        whole = set(aliases().meanings(text)) | set(aliases().meanings(_unmodified(text)))
        for number, form in enumerate(forms):
            for hit in self.terms.named(self.release, key(form)):
                method: Method = "alias" if number and form != short(text) else _method(hit)
                yield from self._candidate(hit, method, _SCORE[method] - (0 if hit.exact else _LOOSE))
        for form in forms if not whole else [*forms[1:], *sorted(whole)]:
            wanted = frozenset(tokens(form)) - _VAGUE
            for hit in self.terms.search(self.release, form, _DEPTH):
                yield from self._candidate(hit, "search", _SCORE["search"] * _alike(wanted, hit.text))

    def _candidate(self, hit: Hit, method: Method, score: float) -> Iterator[Candidate]:
        concept, defaulted = self._usable(hit.concept)
        if concept is None:
            return
        code = concept.code
        assumed: tuple[str, ...] = ("unspecified",) if defaulted else ()
        sevenths = self.terms.sevenths(concept)
        if sevenths:
            character, meaning = _seventh(sevenths)
            code = with_seventh(concept.code, character)
            assumed += (meaning,)
        lowered = score - (_DEFAULTED if defaulted else 0)
        yield Candidate(code, concept.display, round(lowered, 4), method, concept, assumed)

    def _usable(self, concept: Concept) -> tuple[Concept | None, bool]:
        """Return a code that may be assigned, for a category its unspecified one, and whether it was so."""
        at: Concept | None = concept
        while at is not None and not at.usable:
            under = self.terms.children(at)
            at = min(under, key=_vagueness, default=None)
        return at, at is not concept


@lru_cache(maxsize=4096)
def _ranked(retrieval: Retrieval, text: str) -> tuple[Candidate, ...]:
    """Return the candidates of a text; the same diagnoses are named again and again, in a stay and in all of them."""
    best: dict[str, Candidate] = {}
    for candidate in retrieval.each(text):
        known = best.get(candidate.code)
        if known is None or candidate.score > known.score:
            best[candidate.code] = candidate
    return tuple(sorted(best.values(), key=_order)[:MOST])


def _order(candidate: Candidate) -> tuple[float, bool, int, str]:
    """Order candidates: the surest first; of equals the one that says least."""
    says_more = "unspecified" not in candidate.display.casefold()
    return -candidate.score, says_more, len(candidate.code), candidate.code


def with_seventh(code: str, character: str) -> str:
    """Return a code with its seventh character, ``X`` where it is shorter than six."""
    stem, point, rest = code.partition(".")
    return f"{stem}{point or '.'}{rest:X<3}{character}"


def _seventh(sevenths: dict[str, str]) -> tuple[str, str]:
    """Return the seventh character that says least: the first encounter, a closed fracture, no side."""
    order = sorted(
        sevenths.items(),
        key=lambda item: (
            not item[1].casefold().startswith(("initial encounter", "not applicable", "unspecified")),
            "open" in item[1].casefold(),
            item[0],
        ),
    )
    return order[0]


def _vagueness(concept: Concept) -> tuple[int, bool, str]:
    """Order the codes under a category: its own unspecified one first, then those that end in 9, then in 0."""
    display = concept.display.casefold()
    if display.endswith((", unspecified", "未特指")) or display.startswith("unspecified"):
        return 0, not concept.code.endswith("9"), concept.code
    return (1 if concept.code.endswith("9") else 2 if concept.code.endswith("0") else 3), False, concept.code


def _method(hit: Hit) -> Method:
    return "title" if hit.kind == "title" else "inclusion" if hit.kind == "inclusion" else "synonym"


_RESIDUAL = "other "
_VAGUE = frozenset({"unspecified", "site", "part", "type", "organism", "nos"})
"""Words of a table that say only that nothing more is said."""


def _alike(wanted: frozenset[str], name: str) -> float:
    """Return how alike two names are, 0 to 1: words in common, counted on both sides, those asked for double.

    A name of the other side is not alike at all; words that no code tells count little.
    """
    named = frozenset(tokens(name)) - _VAGUE
    if name.casefold().startswith(_RESIDUAL):
        named |= {_RESIDUAL}  # "Other ..." is for what is named and has no code of its own
    if any(side in wanted and other in named and side not in named for side, other in _SIDES):
        return 0.0
    shared = len(wanted & named)
    idle = (wanted - named) & _MODIFIERS
    said = len(wanted) - len(idle)
    return max(0.0, 3 * shared / (2 * said + len(named)) - _IDLE * len(idle)) if shared and said else 0.0


_SIDES = (("right", "left"), ("left", "right"), ("右侧", "左侧"), ("左侧", "右侧"))
_MODIFIERS = frozenset(DATA["modifiers"]["words"])
_IDLE = 0.02
"""Less for each word that no code tells."""


def _unmodified(text: str) -> str:
    """Return a name without the words that say how bad or how new it is."""
    return " ".join(word for word in text.split() if word.strip(",.").casefold() not in _MODIFIERS)


def sides(text: str) -> list[str]:
    """Return what is on both sides as two names, one for each."""
    return [_BOTH.sub(side, text) for side in ("right", "left")] if _BOTH.search(text) else []


_BOTH = re.compile(r"\b(?:bilateral|both)\b", re.IGNORECASE)
