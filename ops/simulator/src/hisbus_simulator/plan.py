"""What goes wrong in a stay, said before it is told.

A plan is one variant a rule, written ``RULE VARIANT``:

- R01, R02, R10, R13, about the document that the rule asks for: ``absent``, ``unsigned`` (a draft only), ``late``,
  ``limit-1s``, ``limit``, ``limit+1s`` (signed then), ``filed-late`` (signed in time, arrives after the limit);
  R10 also ``second-absent``: of two operations the later one has no record.
- R27: ``LOINC=VALUE``, one reading in the middle of the stay.
- R45: ``copied`` (yesterday's note with today's numbers), ``changed`` (the same with one sentence more).
- R48: ``sex``, ``birth``, ``age`` (each disagrees), ``corrected`` (wrong, then replaced), ``birthday`` and ``eve``
  (nothing is wrong: the year of age turns on the day of admission, or on the day after).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from random import Random

NEAR = {"limit-1s": timedelta(seconds=-1), "limit": timedelta(0), "limit+1s": timedelta(seconds=1)}


@dataclass(frozen=True, slots=True)
class Plan:
    """One stay before it happens."""

    story: str
    day: int
    days: int
    variants: Mapping[str, str] = field(default_factory=dict)
    """Variant by rule; a rule that is not there has nothing to find."""
    events: frozenset[str] = frozenset()
    """``transfer``, ``merge``, ``reoperation``, ``cancelled``, ``discharge-cancelled``."""

    def variant(self, rule: str) -> str:
        """Return the variant of a rule, empty where all is well."""
        return self.variants.get(rule, "")


def plans(stays: int) -> list[Plan]:
    """Return the plans of a ward's week with so many stays."""
    rows = tomllib.loads(resources.files(__package__).joinpath("week.toml").read_text("utf-8"))["stays"]
    known = [
        Plan(
            row["story"],
            row["day"],
            row["days"],
            dict(text.split(" ", 1) for text in row.get("plan", [])),
            frozenset(row.get("with", [])),
        )
        for row in rows
    ]
    return [known[n % len(known)] for n in range(stays)]


def formerly(stays: int) -> list[Plan]:
    """Return the plans of so many stays that lie before the week: each story in turn, nothing wrong, some transferred.

    All left within their week.
    """
    rows = tomllib.loads(resources.files(__package__).joinpath("week.toml").read_text("utf-8"))["past"]
    moved = frozenset({"transfer"})
    return [
        Plan(row["story"], n % 2, row["days"], events=moved if row.get("transfer") and n % 4 else frozenset())
        for n, row in ((n, rows[n % len(rows)]) for n in range(stays))
    ]


def signing(variant: str, limit: datetime, usual: datetime, rng: Random) -> tuple[datetime, datetime | None] | None:
    """Return when a document arrives and when it was signed (None: never); None if there is no document.

    Args:
        limit: until when it is in time, inclusive.
        usual: when it is signed if nothing is wrong.
    """
    if variant == "absent":
        return None
    if variant == "unsigned":
        return usual, None
    if variant == "filed-late":
        return limit + timedelta(minutes=rng.randint(20, 90)), usual
    signed = usual
    if variant == "late":
        signed = limit + timedelta(minutes=rng.randint(70, 300), seconds=rng.randrange(60))
    elif variant in NEAR:
        signed = limit + NEAR[variant]
    wait = rng.choice((0, 15)) if variant in NEAR else rng.randint(5, 240)
    return signed + timedelta(seconds=wait), signed
