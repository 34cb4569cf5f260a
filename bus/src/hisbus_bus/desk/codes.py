"""A set of codes as a person reads and edits it: each code with its place in the record, and what could be taken
instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hisbus_bus.desk.proofs import Proof
from hisbus_bus.flow.review.errors import BadCodes
from hisbus_schemas import (
    Coded,
    CodedDoubt,
    CodedEntry,
    CodedOpen,
    CodedRejected,
    CodeOption,
    CodeRole,
    Evidence,
)

ROLES: Sequence[CodeRole] = ("principal", "other", "complication", "operation")
ADDED = 2
"""Empty rows of the form, for codes that nobody proposed."""
LONGEST = 40
"""Characters of a code."""


@dataclass(frozen=True, slots=True)
class CodeLines:
    """A set of codes, each with the evidence looked up."""

    coded: Coded
    codes: Sequence[tuple[CodedEntry, Sequence[Proof], Sequence[Proof]]]
    """Each with the words it rests on, and those by which a verifier doubts it."""
    unmatched: Sequence[tuple[CodedOpen, Sequence[Proof]]]
    rejected: Sequence[tuple[CodedRejected, Sequence[Proof], Sequence[Proof]]]
    candidates: Sequence[tuple[CodedEntry, Sequence[Proof]]]
    """Codes that are not sure enough to be of the set."""

    @property
    def rows(self) -> "Sequence[Row]":
        """Return the rows of the form."""
        return rows(self.coded)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the form. Its fields are called after it: ``NAME-at``, ``-role``, ``-code``, ``-own``, ``-display``."""

    name: str
    at: int
    """Its place. Diagnoses and operations count together here."""
    entry: CodedEntry | None
    """Which code stands; None: none does yet."""
    options: Sequence[CodeOption]
    """What may stand instead."""
    text: str = ""
    """The diagnosis that has no code, or whose code a verifier took away."""
    evidence: Sequence[Evidence] = ()


def evidence(coded: Coded) -> list[Evidence]:
    """Return all words that a set names: of each code, of each diagnosis without one, of what was rejected, of each
    candidate."""
    named = [item for entry in coded.codes for item in (*entry.evidence, *_doubting(entry.doubt))]
    named += [item.evidence for item in coded.unmatched]
    named += [item for one in coded.rejected for item in (*one.evidence, *_doubting(one.doubt))]
    return named + [item for entry in coded.candidates for item in entry.evidence]


def lines(coded: Coded, proofs: Iterable[Proof]) -> CodeLines:
    """Return a set with its evidence looked up, which is in the order of ``evidence``."""
    rest = iter(proofs)

    def next_(evidence: Sequence[Evidence]) -> list[Proof]:
        return list(islice(rest, len(evidence)))

    codes = [(entry, next_(entry.evidence), next_(_doubting(entry.doubt))) for entry in coded.codes]
    unmatched = [(item, next_([item.evidence])) for item in coded.unmatched]
    rejected = [(one, next_(one.evidence), next_(_doubting(one.doubt))) for one in coded.rejected]
    candidates = [(entry, next_(entry.evidence)) for entry in coded.candidates]
    return CodeLines(coded, codes, unmatched, rejected, candidates)


def _doubting(doubt: CodedDoubt | None) -> Sequence[Evidence]:
    return doubt.evidence if doubt else ()


def rows(coded: Coded) -> list[Row]:
    """Return the rows of the form: codes, diagnoses without one, what was rejected, candidates, then empty ones."""
    entries = [
        Row(f"code-{n}", n + 1, entry, entry.alternatives, evidence=entry.evidence)
        for n, entry in enumerate(coded.codes)
    ]
    opens = [
        Row(f"open-{n}", len(entries) + n + 1, None, item.alternatives, item.text, [item.evidence])
        for n, item in enumerate(coded.unmatched)
    ]
    before = [*entries, *opens]
    rejected = [
        Row(f"rejected-{n}", len(before) + n + 1, None, [_option(one)], one.display or one.code, one.evidence)
        for n, one in enumerate(coded.rejected)
    ]
    before += rejected
    before += [
        Row(f"candidate-{n}", len(before) + n + 1, None, [_option(one)], one.display or one.code, one.evidence)
        for n, one in enumerate(coded.candidates)
    ]
    return [*before, *(Row(f"new-{n}", len(before) + n + 1, None, ()) for n in range(ADDED))]


def _option(one: CodedRejected | CodedEntry) -> CodeOption:
    return CodeOption(code=one.code, display=one.display)


def edited(coded: Coded, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the changed part of the payload. A row that the form does not hold stays as it is.

    What stays keeps its evidence and its confidence; what a person chose instead keeps the evidence alone.

    Raises:
        BadCodes: a code is longer than any is.
    """
    chosen = [(row, entry) for row in rows(coded) if (entry := _chosen(coded, row, fields)) is not None]
    chosen.sort(key=lambda item: (item[1].role == "operation", item[1].role != "principal", _place(item[0], fields)))
    taken = {row.name for row, _ in chosen}
    counts = {True: 0, False: 0}
    ranked = []
    for _, entry in chosen:
        operation = entry.role == "operation"
        counts[operation] += 1
        ranked.append(entry.model_copy(update={"rank": counts[operation]}))
    unmatched = [item for n, item in enumerate(coded.unmatched) if f"open-{n}" not in taken]
    rejected = [item for n, item in enumerate(coded.rejected) if f"rejected-{n}" not in taken]
    candidates = [item for n, item in enumerate(coded.candidates) if f"candidate-{n}" not in taken]
    return {
        "codes": [entry.model_dump(mode="json", exclude_none=True) for entry in ranked],
        "unmatched": [item.model_dump(mode="json", exclude_none=True) for item in unmatched],
        "rejected": [item.model_dump(mode="json", exclude_none=True) for item in rejected],
        "candidates": [item.model_dump(mode="json", exclude_none=True) for item in candidates],
    }


def _chosen(coded: Coded, row: Row, fields: Mapping[str, str]) -> CodedEntry | None:
    """Return the code that a row ends with; none where it is left out."""
    kept = row.entry
    role = next((role for role in ROLES if role == fields.get(f"{row.name}-role")), kept.role if kept else "other")
    own = fields.get(f"{row.name}-own", "").strip()
    code = own or fields.get(f"{row.name}-code", kept.code if kept else "")
    if not code:
        return None
    if len(code) > LONGEST:
        raise BadCodes
    if kept is not None and code == kept.code:
        return kept.model_copy(update={"role": role})
    option = next((option for option in row.options if option.code == code), None)
    system, version = _table(coded, role)
    return CodedEntry(
        code=code,
        system=system,
        version=version,
        display=fields.get(f"{row.name}-display", "").strip() or (option.display if option else ""),
        role=role,
        poa=kept.poa if kept else "",
        evidence=list(row.evidence),
    )


def _table(coded: Coded, role: CodeRole) -> tuple[str, str]:
    """Return the table that codes of a role are taken from in this set."""
    operation = role == "operation"
    alike = (entry for entry in (*coded.codes, *coded.candidates) if (entry.role == "operation") == operation)
    return next(((entry.system, entry.version) for entry in alike), ("", ""))


def _place(row: Row, fields: Mapping[str, str]) -> int:
    given = fields.get(f"{row.name}-at", "").strip()
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 4 else row.at
