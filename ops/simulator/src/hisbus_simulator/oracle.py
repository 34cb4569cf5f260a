"""What must be found: the seven rules, judged from the facts and from nothing that was sent.

Written from the rules' texts alone; it shares no line with the agent that it checks.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from hisbus_simulator.facts import (
    Admitted,
    AdmissionCancelled,
    Discharged,
    DischargeCancelled,
    Fact,
    Filed,
    Measured,
    Operation,
    Reading,
    Updated,
)
from hisbus_simulator.people import age_on

RULES = ("R01", "R02", "R10", "R13", "R27", "R45", "R48")

_POSSIBLE = {
    "8310-5": (34, 42),
    "8867-4": (20, 250),
    "9279-1": (5, 60),
    "8480-6": (40, 280),
    "8462-4": (20, 180),
    "59408-5": (30, 100),
}
_SAME = 0.95
_LEAST_CHARACTERS = 20
_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """A finding that must be open at the end; `state` is set for the deadline rules only."""

    visit: str
    rule: str
    state: str
    subject: str


def judge(facts: Iterable[Fact], clock: datetime) -> list[Expected]:
    """Return every finding that is open once all facts are known and the time is `clock`."""
    stays: dict[str, list[Fact]] = {}
    for fact in facts:
        stays.setdefault(fact.visit, []).append(fact)
    return sorted(finding for visit, told in stays.items() for finding in _judge_stay(visit, told, clock))


def _judge_stay(visit: str, facts: list[Fact], clock: datetime) -> Iterator[Expected]:
    admitted: datetime | None = None
    discharged: datetime | None = None
    died = False
    operations: dict[str, Operation] = {}
    documents: dict[str, Filed] = {}
    readings: list[tuple[str, Reading]] = []
    for fact in sorted(facts, key=lambda fact: fact.at):
        match fact:
            case Admitted():
                admitted = fact.admitted
            case AdmissionCancelled():
                return
            case Discharged():
                discharged, died = fact.discharged, fact.died
                operations |= {operation.number: operation for operation in fact.operations}
            case DischargeCancelled():
                discharged = None
            case Updated():
                operations |= {operation.number: operation for operation in fact.operations}
            case Filed():
                documents.pop(fact.replaces, None)
                documents[fact.number] = fact
            case Measured():
                readings += [(f"{fact.number}/{reading.code}", reading) for reading in fact.readings]
    if admitted is None:  # an outpatient
        return
    signed = {
        type: sorted(d.signed for d in documents.values() if d.type == type and d.signed)
        for type in {d.type for d in documents.values()}
    }
    for rule, type, hours in (("R01", "C0034", 24), ("R02", "C0037", 8)):
        limit = admitted + timedelta(hours=hours)
        if discharged is None or discharged >= limit:
            for state in _missed(limit, signed.get(type, []), clock):
                yield Expected(visit, rule, state, visit)
    for operation in operations.values():
        for state in _missed(operation.end + _DAY, _records_of(operation, operations, signed), clock):
            yield Expected(visit, "R10", state, operation.number)
    if discharged is not None:
        records = signed.get("C0050" if died else "C0049", [])
        if discharged - admitted < _DAY:
            records = records + signed.get("C0035", [])
        for state in _missed(discharged + _DAY, records, clock):
            yield Expected(visit, "R13", state, visit)
    for subject, reading in readings:
        if not is_possible(reading):
            yield Expected(visit, "R27", "", subject)
    notes = sorted((d for d in documents.values() if d.type == "C0038"), key=lambda note: note.about)
    for earlier, later in zip(notes, notes[1:], strict=False):
        if is_copy(earlier.text, later.text):
            yield Expected(visit, "R45", "", later.number)
    for document in documents.values():
        if document.type == "C0032" and contradicts(document.fields, admitted.date()):
            yield Expected(visit, "R48", "", document.number)


def _missed(limit: datetime, signed: Iterable[datetime], clock: datetime) -> Iterator[str]:
    """Yield the state of a deadline that was missed; a limit is inclusive and is judged once it has passed."""
    moments = list(signed)
    if clock > limit and not any(moment <= limit for moment in moments):
        yield "late" if moments else "absent"


def _records_of(
    operation: Operation, operations: dict[str, Operation], signed: dict[str, list[datetime]]
) -> list[datetime]:
    """Return when records of this operation were signed: each counts for the one that last started before it."""
    return [
        moment
        for moment in signed.get("C0009", [])
        if max((o for o in operations.values() if o.start < moment), key=lambda o: o.start, default=None) == operation
    ]


def is_possible(reading: Reading) -> bool:
    """Tell whether a living patient can have this value."""
    low, high = _POSSIBLE[reading.code]
    return reading.value > 0 and low <= reading.value <= high


def similarity(one: str, other: str) -> float:
    """Return how alike two notes are: 1 without difference once numbers and white space are set aside."""
    a, b = _masked(one), _masked(other)
    longest = max(len(a), len(b))
    return 1 - _distance(a, b) / longest if longest else 1.0


def is_copy(one: str, other: str) -> bool:
    """Tell whether a note is the one before it with other numbers."""
    a, b = _masked(one), _masked(other)
    longest = max(len(a), len(b))
    if min(len("".join(one.split())), len("".join(other.split()))) < _LEAST_CHARACTERS:
        return False
    if (Counter(a) & Counter(b)).total() < _SAME * longest:  # characters that differ must each be edited
        return False
    return similarity(one, other) >= _SAME


def _masked(text: str) -> str:
    return re.sub(r"\d+(?:\.\d+)?", "0", "".join(text.split()))


def _distance(a: str, b: str) -> int:
    """Return the Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def contradicts(fields: dict[str, str], admitted: date) -> bool:
    """Tell whether a front page disagrees with its own identity card, or its age with its date of birth."""
    card, sex, birth = fields["FP.ID_CARD"], fields["FP.SEX"], fields["FP.BIRTH_DATE"]
    born = date(int(birth[:4]), int(birth[4:6]), int(birth[6:]))
    return (
        (int(card[16]) % 2 == 1) != (sex == "1")
        or card[6:14] != birth
        or int(fields["FP.AGE"]) != age_on(born, admitted)
    )
