"""Text as terms are compared by: width, case, plural and Roman numerals do not matter, every character keeps its place.

Chinese has no spaces, so each of its characters is a word here; for the search they are taken in pairs.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[a-z0-9]+(?:'s)?|[㐀-鿿豈-﫿\U00020000-\U000323af]")
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
"""``v`` and above are letters more often than numbers."""
_ASIDE = re.compile(r"\s*[(（\[][^()（）\[\]]*[)）\]]")
_WHAT = r"(?:type|site|part|organism|degree|severity|cause)"
_VAGUE = re.compile(
    rf",?(?: of)?\s*\b(?:(?:{_WHAT} )?(?:unspecified|not specified)(?: {_WHAT})?|nos)\b|[，、]?未特指的?"
)
_STOP = frozenset("a an and as at by for from in into is not of on or other the to with without due".split())


@dataclass(frozen=True, slots=True)
class Word:
    """One word: as it is compared, and where it stands in the text it was taken from."""

    text: str
    begin: int
    end: int

    @property
    def chinese(self) -> bool:
        """Whether it is one Chinese character."""
        return self.text[0] > "㏿"


def words(text: str) -> list[Word]:
    """Return the words of a text with their places."""
    shape, places = [], []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKC", character).casefold():
            shape.append(part)
            places.append(place)
    return [
        Word(_plain(match[0]), places[match.start()], places[match.end() - 1] + 1)
        for match in _WORD.finditer("".join(shape))
    ]


def join(of: Iterable[Word]) -> str:
    """Return the words as one key: Chinese without spaces, all else with one between words."""
    key, chinese = "", False
    for word in of:
        key += word.text if not key or (chinese and word.chinese) else f" {word.text}"
        chinese = word.chinese
    return key


def key(text: str) -> str:
    """Return what a text is looked up by."""
    return join(words(text))


def head(of: Sequence[Word], at: int) -> str:
    """Return the words by which a term that begins at a place can be ruled out: one, or two Chinese characters."""
    return join(of[at : at + 2]) if of[at].chinese else of[at].text


def variants(term: str) -> set[str]:
    """Return the keys under which a term is known: as written, without what stands in brackets, without 'unspecified'.

    ``Hypertension (arterial) (benign)`` is also ``hypertension``; ``Pneumonia, unspecified organism`` is ``pneumonia``.
    """
    brief = short(term)
    forms = {term, brief, _VAGUE.sub("", term.casefold()), _VAGUE.sub("", brief.casefold())}
    return {made for made in map(key, forms) if made}


def short(text: str) -> str:
    """Return a text without what stands in brackets."""
    return _ASIDE.sub("", text)


def tokens(text: str) -> list[str]:
    """Return the tokens that the search index holds of a text: words but the emptiest, and pairs of characters."""
    found: list[str] = []
    row = ""
    for word in words(text):
        if word.chinese:
            row += word.text
            continue
        found += _pairs(row)
        row = ""
        if word.text not in _STOP:
            found.append(word.text)
    return found + _pairs(row)


def _pairs(row: str) -> list[str]:
    return [row] if len(row) == 1 else [row[at : at + 2] for at in range(len(row) - 1)]


def _plain(word: str) -> str:
    word = word.removesuffix("'s")
    if word in _ROMAN:
        return _ROMAN[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "itis")):
        return f"{word[:-3]}y" if word.endswith("ies") and len(word) > 5 else word[:-1]
    return word
