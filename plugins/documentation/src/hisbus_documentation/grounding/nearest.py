"""Of many statements those that say most of what a sentence says: what it is judged against, and shown beside."""

from collections.abc import Sequence

from hisbus_documentation.grounding.quantities import digits
from hisbus_documentation.grounding.support import units
from hisbus_documentation.grounding.words import alike
from hisbus_documentation.plain import plain

_MOST = 6


class Statements:
    """Statements among which sentences are looked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._said = [_content(text) for text in texts]

    def nearest(self, text: str) -> list[int]:
        """Return the places of the few statements that together say most of a text, in their order.

        Where none says anything of it, the first statement: the text is judged by it, and not borne.
        """
        left = _content(text)
        found: list[int] = []
        while left and len(found) < _MOST:
            best = max(range(len(self._said)), key=lambda n: len(self._said[n] & left), default=None)
            if best is None or not self._said[best] & left:
                break
            found.append(best)
            left -= self._said[best]
        return sorted(found) or list(range(len(self._said)))[:1]


def _content(text: str) -> frozenset[str]:
    """Return a text's words and numbers."""
    known = alike(plain(text))
    return units(known) | digits(known)
