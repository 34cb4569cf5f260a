"""Stays written by hand as text, with what is wrong in each: how often the rules say the same.

Each file is a stay as the rules' examples have it (``stay``), which items its hospital sends (``brings``: what it does
not send is nobody's defect), what its writer calls a defect (``expected``), and what its readers differ on
(``tolerated``), which counts neither way. They were written without looking at the rules, 42 of the first 62 read a
second time without the first answer; no physician has judged them.
"""

import asyncio
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hisbus import Case
from hisbus.testing import run
from hisbus_qc import Agent
from hisbus_qc.examples import chart
from hisbus_qc.rulebook import QC
from hisbus_schemas import Chart, Coverage, Finding

_ALWAYS = frozenset({"class", "sex", "disposition", "section"})
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Stay:
    """A stay, and what is right of it."""

    name: str
    title: str
    chart: Chart
    coverage: Coverage
    expected: Counter[str]
    """Rules that find something, and how many cards."""
    tolerated: frozenset[str]


@dataclass(slots=True)
class Score:
    """What was found of what was expected."""

    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    """What is wrong, one by one."""

    @property
    def precision(self) -> float:
        """Return which part of what was found is right."""
        said = self.found.total() + self.wrong.total()
        return self.found.total() / said if said else 1.0

    @property
    def recall(self) -> float:
        """Return which part of what is right was found."""
        right = self.found.total() + self.missed.total()
        return self.found.total() / right if right else 1.0


def read(folder: Path = FOLDER) -> list[Stay]:
    """Return the stays in the order of their names."""
    return [_stay(file) for file in sorted(folder.glob("*.toml"))]


def _stay(file: Path) -> Stay:
    table: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    brings = table.get("brings")
    expected = Counter(one["rule"] for one in table.get("expected", ()))
    tolerated = frozenset(one["rule"] for one in table.get("tolerated", ()))
    if not all(one["because"] for one in (*table.get("expected", ()), *table.get("tolerated", ()))):
        raise ValueError(f"{file.name}: each defect says why it is one")
    coverage = Coverage() if brings is None else _brought(frozenset(brings))
    return Stay(file.stem, table["title"], chart(table["stay"]), coverage, expected, tolerated)


def _brought(brings: frozenset[str]) -> Coverage:
    """Return the coverage of a hospital that sends these: a kind stands for all of it, a stay's own facts come."""
    items = {item for needs in QC.needs.values() for need in needs for item in need.items}
    whole = {item.removesuffix(":*") for item in brings} | _ALWAYS
    site = {
        item: item in brings or item.removesuffix(":*") in whole or item.partition(":")[0] in whole for item in items
    }
    return Coverage(version=1, site=site)


def findings(stay: Stay) -> list[Finding]:
    """Return what the rules say of a stay, as a site would be shown it."""
    case = Case(event=None, chart=stay.chart, now=stay.chart.now, coverage=stay.coverage)
    answer = asyncio.run(run(Agent(), case))
    return [one for one in answer.proposals if isinstance(one, Finding)]


def score(stays: list[Stay]) -> Score:
    """Judge stays, and compare."""
    made = Score()
    for stay in stays:
        said = findings(stay)
        got = Counter(one.rule for one in said)
        for rule in sorted({*got, *stay.expected} - stay.tolerated):
            right = min(got[rule], stay.expected[rule])
            made.found[rule] += right
            made.missed[rule] += stay.expected[rule] - right
            made.wrong[rule] += got[rule] - right
            if got[rule] < stay.expected[rule]:
                made.lines.append(f"{stay.name}: {rule} is missed")
            if got[rule] > stay.expected[rule]:
                words = " / ".join(one.message.zh for one in said if one.rule == rule)
                made.lines.append(f"{stay.name}: {rule} is wrong: {words}")
    return made
