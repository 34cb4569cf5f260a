"""Two runs on the same cases, paired: where one is right and the other wrong, and whether that is chance.

- Labels: exact McNemar test, for each label over the cases, and over whole cases. Labels of one case hang together, so
  their sum is not tested; the difference of F1 has a bootstrap interval over the cases instead.
- Scores of documents: mean difference with a bootstrap interval over the cases, and a sign-flip test.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.figures import Counts, bootstrap_difference, holm, mcnemar, sign_flips
from hisbus_bus.lab.evaluate.report import AgentRun, DataUsed, Rate, Report, Spread, Usage, counts_of

FILE = "comparison.json"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True)


class Side(_Table):
    """One of both runs."""

    agent: AgentRun
    failed: dict[str, int]
    unverified: int
    usage: Usage
    seconds: Spread


class Change(_Table):
    """One label, or whole cases: what the second run has right that the first had not, and the other way."""

    name: str
    """Empty: whole cases."""
    f1_first: float | None = None
    f1_second: float | None = None
    both: int
    """Cases in which both are right."""
    neither: int
    gained: list[str]
    """Ids of cases: the second alone is right."""
    lost: list[str]
    """The first alone is."""
    p: float
    p_holm: float = 1.0
    """Corrected for the number of labels."""


class Difference(_Table):
    """One score, second less first."""

    name: str
    cases: int
    first: float | None
    second: float | None
    difference: Rate
    p: float | None
    """None: by the interval alone."""


class Comparison(_Table):
    """Both runs."""

    version: Literal[1] = 1
    data: DataUsed
    first: Side
    second: Side
    cases: Change | None
    """Whole cases; None where no label is judged."""
    labels: list[Change]
    differences: list[Difference]


def compare(first: Report, second: Report) -> Comparison:
    """Compare two runs.

    Raises:
        ConfigError: they are not of the same cases.
    """
    if first.data.sha256 != second.data.sha256:
        raise ConfigError(
            f"The reports are of different cases: {first.data.name} with {first.data.cases}, {second.data.name} with"
            f" {second.data.cases}. Run both on the same data, with the same --limit and --seed."
        )
    labels, whole = _labels(first, second)
    return Comparison(
        data=first.data,
        first=_side(first),
        second=_side(second),
        cases=whole,
        labels=labels,
        differences=[*_f1(first, second), *_scores(first, second)],
    )


def _side(report: Report) -> Side:
    return Side(
        agent=report.agent, failed=report.failed, unverified=report.unverified, usage=report.usage,
        seconds=report.seconds,
    )  # fmt: skip


def _labels(first: Report, second: Report) -> tuple[list[Change], Change | None]:
    if first.labels is None or second.labels is None:
        return [], None
    wrongs = [_wrong(report) for report in (first, second)]
    f1s = [{one.name: one.f1.value for one in report.labels.each} for report in (first, second) if report.labels]
    ids = [case.id for case in first.cases if case.right is not None]
    names = sorted({item.name for report in (first, second) for item in report.label_items})
    made = [_change(name, ids, *(wrong.get(name, frozenset()) for wrong in wrongs)) for name in names]
    corrected = holm([one.p for one in made])
    each = [
        one.model_copy(update={"p_holm": p, "f1_first": f1s[0].get(one.name), "f1_second": f1s[1].get(one.name)})
        for one, p in zip(made, corrected, strict=True)
    ]
    anywhere = [frozenset[str]().union(*wrong.values()) for wrong in wrongs]
    return each, _change("", ids, *anywhere)


def _wrong(report: Report) -> Mapping[str, frozenset[str]]:
    """Return by label the cases in which it is wrong. What a run did not say where nothing was expected is right."""
    found: dict[str, set[str]] = {}
    for item in report.label_items:
        if item.outcome in {"fp", "fn"}:
            found.setdefault(item.name, set()).add(item.case)
    return {name: frozenset(cases) for name, cases in found.items()}


def _change(name: str, ids: Sequence[str], first: frozenset[str], second: frozenset[str]) -> Change:
    gained = [id for id in ids if id in first - second]
    lost = [id for id in ids if id in second - first]
    return Change(
        name=name, both=sum(id not in first | second for id in ids), neither=sum(id in first & second for id in ids),
        gained=gained, lost=lost, p=mcnemar(len(lost), len(gained)),
    )  # fmt: skip


def _f1(first: Report, second: Report) -> list[Difference]:
    if first.labels is None or second.labels is None:
        return []
    order = {case.id: at for at, case in enumerate(first.cases)}
    sums = [_per_case(report, order) for report in (first, second)]

    def difference(weights: Sequence[int]) -> float | None:
        one, other = (
            sum((counts.times(weights[at]) for at, counts in by_case.items()), Counts()).f1 for by_case in sums
        )
        return None if one is None or other is None else other - one

    values = [report.labels.whole.f1.value for report in (first, second) if report.labels]
    interval = bootstrap_difference(len(order), difference, first.data.seed)
    moved = None if values[0] is None or values[1] is None else values[1] - values[0]
    rate = Rate.drawn(moved, interval)
    return [Difference(name="f1", cases=len(order), first=values[0], second=values[1], difference=rate, p=None)]


def _per_case(report: Report, order: Mapping[str, int]) -> Mapping[int, Counts]:
    found: dict[int, Counts] = {}
    for by_case in counts_of(report.label_items, order).values():
        for at, counts in by_case.items():
            found[at] = found.get(at, Counts()) + counts
    return found


def _scores(first: Report, second: Report) -> list[Difference]:
    found = []
    names = dict.fromkeys(
        name for case in first.cases for name in (*case.scores, *(("points",) if case.scores else ()))
    )
    there = {case.id: case for case in second.cases}
    for name in names:
        pairs = []
        for case in first.cases:
            other = there[case.id]
            one, two = (each.points if name == "points" else each.scores.get(name) for each in (case, other))
            if one is not None and two is not None:
                pairs.append((one, two))
        if pairs:
            found.append(_difference(name, pairs, first.data.seed))
    return found


def _difference(name: str, pairs: Sequence[tuple[float, float]], seed: int) -> Difference:
    moved = [two - one for one, two in pairs]

    def mean(weights: Sequence[int]) -> float:
        return sum(value * weight for value, weight in zip(moved, weights, strict=True)) / len(moved)

    return Difference(
        name=name,
        cases=len(pairs),
        first=sum(one for one, _ in pairs) / len(pairs),
        second=sum(two for _, two in pairs) / len(pairs),
        difference=Rate.drawn(sum(moved) / len(moved), bootstrap_difference(len(moved), mean, seed)),
        p=sign_flips(moved, seed),
    )
