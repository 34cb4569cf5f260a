"""Names of persons in one piece."""

import re

_IDEOGRAPHS = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def joined(family: str, given: str) -> str:
    """Return a name in one piece, family name first; written in ideographs it has no space."""
    if not family or not given:
        return family or given
    together = family + given
    return f"{family} {given}" if together.isascii() or not _IDEOGRAPHS.search(together) else together
