"""What came of a week: compared with what had to be found, as a table and as JSON."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from hisbus_simulator.oracle import RULES, Expected


@dataclass(frozen=True, slots=True)
class Outcome:
    """The numbers of one demo."""

    events_in: int
    """Messages that hisbus acknowledged as stored."""
    findings: Mapping[str, Mapping[str, int]]
    """By rule: ``expected``, and ``found`` of those."""
    unexpected: int
    decided: int
    accepted: int
    """Edited ones included."""
    written_back: int
    """Effects in the HIS."""
    acknowledged: int
    """Write-backs that hisbus knows to be applied."""
    parked: int
    seconds: float

    def json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def table(self) -> Table:
        """Return it for reading."""
        table = Table(title="A ward's week / 一个病区的一周", title_justify="left")
        table.add_column("")
        table.add_column("expected", justify="right")
        table.add_column("found", justify="right")
        for rule, counts in self.findings.items():
            table.add_row(f"findings {rule}", str(counts["expected"]), str(counts["found"]))
        table.add_row("other findings", "0", str(self.unexpected), end_section=True)
        rows = (
            ("events in", self.events_in),
            ("decided", self.decided),
            ("of these accepted", self.accepted),
            ("written back", self.written_back),
            ("acknowledged by the HIS", self.acknowledged),
            ("parked", self.parked),
        )
        for name, count in rows:
            table.add_row(name, "", str(count))
        return table


def compare(expected: Iterable[Expected], proposals: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], int]:
    """Return expected and found by rule, and how many proposals nobody expected; equal are visit, rule and state."""
    wanted = Counter((finding.visit, finding.rule, finding.state) for finding in expected)
    there = Counter((item["visit"], item["rule"], item["state"]) for item in proposals)
    found = wanted & there
    by_rule = {rule: {"expected": _of(rule, wanted), "found": _of(rule, found)} for rule in RULES}
    return by_rule, (there - wanted).total()


def _of(rule: str, findings: Counter[tuple[str, str, str]]) -> int:
    return sum(count for (_, of, _), count in findings.items() if of == rule)


def shortcomings(
    outcome: Outcome,
    accepted: Collection[str],
    writebacks: Iterable[Mapping[str, Any]],
    effects: Mapping[str, int],
) -> list[str]:
    """Return what is wrong with an outcome, one sentence each.

    Args:
        accepted: ids of the proposals that were accepted or edited.
        writebacks: as the API lists them.
        effects: how many times each document took effect in the HIS, by TXA-12.
    """
    wrong = [
        f"{rule}: {counts['expected']} findings were expected, {counts['found']} of them were found."
        for rule, counts in outcome.findings.items()
        if counts["found"] != counts["expected"]
    ]
    if outcome.unexpected:
        wrong.append(f"{outcome.unexpected} findings were not expected.")
    documents = {item["proposal"]: item["id"] for item in writebacks}
    once = [id for id in accepted if effects.get(documents.get(id, ""), 0) == 1]
    if len(once) != len(accepted):
        wrong.append(f"{len(accepted) - len(once)} accepted findings did not reach the HIS exactly once.")
    others = set(effects) - {documents.get(id) for id in accepted}
    if others:
        wrong.append(f"{len(others)} documents reached the HIS that nobody accepted.")
    return wrong
