"""Whether a diagnosis is only suspected, where its text is all that says so."""

import re

_SAYS_SO = re.compile(
    r"疑似|待查|待排"
    r"|\w\s*[?？]{1,3}\s*(?:[)）\]】]|$)|^\s*[?？]\s*\w"
    r"|\br/o\b|\brule out\b|^\s*suspected\b|\(suspected\)",
    re.IGNORECASE,
)
_IS_A_TITLE = re.compile(r"观察|observation|ruled out|exposure|接触", re.IGNORECASE)
"""Titles of codes about suspicion itself (ICD-10 Z03 and its kin), which are certain."""


def suspected(text: str) -> bool:
    """Tell whether the words of a diagnosis say that it is not certain. In doubt they do not."""
    return _SAYS_SO.search(text) is not None and _IS_A_TITLE.search(text) is None
