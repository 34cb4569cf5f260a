"""Texts made comparable: one width, one case, no hidden characters."""

import re
import unicodedata
from functools import lru_cache

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_BORDER = re.compile(r"(?<=[\u4e00-\u9fff])(?=[a-z])|(?<=[a-z])(?=[\u4e00-\u9fff])")
_SPACE = re.compile(r"[^\S\n]+")

_REMEMBERED = 10_000
"""Sentences: each is looked at for one question after the other."""

CJK = "\u4e00-\u9fff"
"""Chinese characters, for the inside of a regular expression's brackets."""


def visible(text: str) -> str:
    """Return a text without characters that nobody sees: zero width, direction, tags, controls."""
    if text.replace("\n", "").isprintable():  # of the classes below nothing is
        return text
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in {"Cf", "Cc", "Co", "Cn"})


@lru_cache(maxsize=_REMEMBERED)
def plain(text: str) -> str:
    """Return a text for comparing: visible, of normal width, in lower case, powers as ``10^9``, Latin words apart."""
    raised = _POWER.sub(lambda match: "^" + match[0].translate(_RAISED), visible(text))
    folded = unicodedata.normalize("NFKC", raised).casefold()
    return _SPACE.sub(" ", _BORDER.sub(" ", folded)).strip()
