"""Of many statements those that say most of what a sentence says: what it is judged against, and shown beside."""

from collections.abc import Sequence

from hisbus_documentation.grounding.quantities import digits
from hisbus_documentation.grounding.support import units
from hisbus_documentation.plain import plain

_MOST = 6


def nearest(text: str, statements: Sequence[str]) -> list[int]:
    """Return the places of the statements that together say most of a text, the fewest, in their order.

    Where none says anything of it, the first statement: it is judged, and not borne.
    """
    left = content(text)
    found: list[int] = []
    said = [content(statement) for statement in statements]
    while left and len(found) < _MOST:
        best = max(range(len(said)), key=lambda n: len(said[n] & left), default=None)
        if best is None or not said[best] & left:
            break
        found.append(best)
        left -= said[best]
    return sorted(found) or list(range(len(statements)))[:1]


def content(text: str) -> frozenset[str]:
    """Return a text's words and numbers."""
    known = plain(text)
    return units(known) | digits(known)
