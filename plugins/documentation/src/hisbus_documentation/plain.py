"""Texts made comparable: one width, one case, no hidden characters."""

import re
import unicodedata

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SPACE = re.compile(r"[^\S\n]+")

CJK = "\u4e00-\u9fff"
"""Chinese characters, for the inside of a regular expression's brackets."""


def visible(text: str) -> str:
    """Return a text without characters that nobody sees: zero width, direction, tags, controls."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in {"Cf", "Cc", "Co", "Cn"})


def plain(text: str) -> str:
    """Return a text for comparing: visible, of normal width, in lower case, powers as ``10^9``."""
    raised = _POWER.sub(lambda match: "^" + match[0].translate(_RAISED), visible(text))
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", raised).casefold()).strip()
