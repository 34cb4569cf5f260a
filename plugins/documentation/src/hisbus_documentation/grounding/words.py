"""Words made comparable: those for one thing become one word (``words.toml``), and endings fall away."""

import re
import tomllib
from functools import lru_cache
from importlib.resources import files

_GROUPS: list[list[str]] = tomllib.loads(
    files("hisbus_documentation.grounding").joinpath("words.toml").read_text(encoding="utf-8")
)["same"]
_FIRST = {word: group[0] for group in _GROUPS for word in group}
_LONGEST = sorted(_FIRST, key=len, reverse=True)
_LATIN = "|".join(re.escape(word) for word in _LONGEST if word.isascii())
_CHINESE = [word for word in _LONGEST if not word.isascii()]
_KNOWN = re.compile(
    rf"(?<![a-z0-9])(?:{_LATIN})(?![a-z0-9])|(?=[{''.join({word[0] for word in _CHINESE})}])(?:{'|'.join(_CHINESE)})"
)
_SPOKEN = re.compile(r"(?<=[a-z]) (?=n't\b)|(?<= )(?:um|uh|hmm|mm-hmm|er)\b ?,? ?")
_ENDING = re.compile(r"(?:ations?|ings?|edly|ed|ies|es|ly|ness|ful|s|y|e)$")
_SHORTEST = 3
"""Letters of a word that stay."""
_DOUBLED = re.compile(r"([b-df-hj-kmnp-rtv-z])\1$")


def alike(text: str) -> str:
    """Return a plain text with one word for one thing; what is only spoken is left out."""
    return _KNOWN.sub(lambda match: _FIRST[match[0]], _SPOKEN.sub("", text))


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return an English word without its endings. It is to be compared, not read."""
    while len(shorter := _ENDING.sub("", word)) >= _SHORTEST and shorter != word:
        word = shorter
    return _DOUBLED.sub(r"\1", word)
