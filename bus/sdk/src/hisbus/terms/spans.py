"""Codes and the ranges that notes name: ``(I21.-)``, ``(O00-O07, O08.0)``."""

import re
from collections.abc import Iterable

Span = tuple[str, str]
"""First and last prefix of a range of plain codes, both included."""

_MARKS = str.maketrans("", "", ". +*†-")
_CODE = r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_RANGE = re.compile(rf"({_CODE})(\.?-(?!\s*[A-Z]\d))?(?:\s*-\s*({_CODE})(?:\.?-)?)?")
_BRACKETS = re.compile(r"\(([^()]*)\)")


def plain(code: str) -> str:
    """Return a code without point, dagger and asterisk, in capitals: what codes are compared by."""
    return code.strip().upper().translate(_MARKS)


def covers(span: Span, code: str) -> bool:
    """Tell whether a code lies in a range of prefixes."""
    bare = plain(code)
    low, high = span
    return bare[: len(low)] >= low and bare[: len(high)] <= high and len(bare) >= min(len(low), len(high))


def any_covers(spans: Iterable[Span], code: str) -> bool:
    """Tell whether a code lies in one of several ranges."""
    return any(covers(span, code) for span in spans)


def parse(note: str) -> list[Span]:
    """Return the ranges that a note names in brackets, in the note's order."""
    found: list[Span] = []
    for inside in _BRACKETS.findall(note):
        for match in _RANGE.finditer(inside):
            low = plain(match[1])
            found.append((low, plain(match[3]) if match[3] else low))
    return found
