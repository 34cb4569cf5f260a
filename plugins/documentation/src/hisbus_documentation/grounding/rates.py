"""How often a drug is given, as hours between two doses: 每日两次, bid, every 12 hours."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_COUNT = {"一": 1, "1": 1, "两": 2, "二": 2, "2": 2, "三": 3, "3": 3, "四": 4, "4": 4,
          "once": 1, "one": 1, "twice": 2, "two": 2, "three": 3, "four": 4}  # fmt: skip
_FORMS: tuple[tuple[str, int | None], ...] = (
    (r"(?:每|q|每隔) ?(?P<hours>\d{1,2}) ?(?:小时|h\b|hours?)(?:[一1]次)?", None),
    (r"every (?P<hours>\d{1,2}) hours?", None),
    (r"(?:每[日天]|日) ?(?P<count>[一二两三四1-4]) ?次", None),
    (r"(?P<count>[一二两三四1-4]) ?次 ?/ ?[日天d]", None),
    (r"隔[日天][一1]?次?|\bqod\b|every other day", 48),
    (r"每周[一1]次|once (?:a|per) week|once weekly|\bweekly\b|\bqw\b", 168),
    (r"(?P<count>once|twice|one|two|three|four)(?: times?)? (?:a day|per day|daily|every day)", None),
    (
        r"\b(?:qd|q\.d\.?|qam|qpm|qhs|qn|od)\b|每晚(?:[一1]次)?|睡前(?:[一1]次)?|nightly|at bedtime|\bdaily\b"
        r"|every day|each day|\b(?:a|per) day\b",
        24,
    ),
    (r"\b(?:bid|b\.i\.d\.?)\b", 12),
    (r"\b(?:tid|t\.i\.d\.?)\b", 8),
    (r"\b(?:qid|q\.i\.d\.?)\b", 6),
)  # fmt: skip
_PATTERNS = [(re.compile(form), hours) for form, hours in _FORMS]


class Rate(NamedTuple):
    """How often, and where it is said."""

    hours: float
    begin: int


def rates(text: str) -> Iterator[Rate]:
    """Yield the rates of a plain text in their order."""
    found = []
    for pattern, hours in _PATTERNS:
        for match in pattern.finditer(text):
            said = match.groupdict()
            every = hours or (int(said["hours"]) if said.get("hours") else 24 / _COUNT[said["count"]])
            found.append(Rate(every, match.start()))
        text = pattern.sub(lambda match: "\0" * len(match[0]), text)
    yield from sorted(found, key=lambda rate: rate.begin)


def without(text: str) -> str:
    """Return a plain text with its rates blanked: 'once' in 'once daily' counts nothing."""
    for pattern, _ in _PATTERNS:
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text
