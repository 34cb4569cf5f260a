"""What must be found: judged from the facts and from what was planted, and from nothing that was sent.

Written from the rules' texts alone; it shares no line with the agent that it checks. Eight rules are judged from the
facts (``JUDGED``), of the others the defects of the plan say what is wrong, and of all (``RULES``) nothing else is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise

from hisbus_simulator import defects
from hisbus_simulator.facts import (
    AdmissionCancelled,
    Admitted,
    DischargeCancelled,
    Discharged,
    Fact,
    Filed,
    Measured,
    Operation,
    Reading,
    Updated,
)
from hisbus_simulator.people import age_on
from hisbus_simulator.plan import Plan

JUDGED = ("R01", "R02", "R10", "R13", "R14", "R27", "R45", "R48")
"""The rules whose answer follows from the facts."""
_NOT_HERE = {17, 18, 19, 20, 22, 25, 28, 32, 58, 64}
"""R17 and R18 are of another country, R32 is off as it is delivered, R64 waits for a table of drugs; the others ask a
model. R67 is of stays of a day, for which HL7 has no class."""
RULES = tuple(f"R{number:02}" for number in range(1, 67) if number not in _NOT_HERE)
"""The rules whose answer is known: those of a Chinese hospital that ask no model."""

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
    rests: str = ""
    """What a site must send for it to be seen, where that is not what its rule says (``sites.py``)."""


def judge(facts: Iterable[Fact], clock: datetime) -> list[Expected]:
    """Return every finding that is open once all facts are known and the time is `clock`."""
    by_visit: dict[str, list[Fact]] = {}
    for fact in facts:
        by_visit.setdefault(fact.visit, []).append(fact)
    stays = [stay for told in by_visit.values() if (stay := _fold(told))]
    return sorted(finding for stay in stays for finding in (*_deadlines(stay, clock), *_contents(stay)))


def planted(visit: str, plan: Plan) -> Iterator[Expected]:
    """Yield what must be found of a stay's defects beside those that the facts are judged for."""
    if "cancelled" not in plan.events:
        for defect in defects.planted(plan):
            yield from (Expected(visit, rule, state, visit, rests) for rule, state, rests in defect.expected)


@dataclass
class _Stay:
    """An inpatient stay as it stands after all its facts."""

    visit: str
    admitted: datetime
    discharged: datetime | None = None
    died: bool = False
    operations: dict[str, Operation] = field(default_factory=dict)
    documents: dict[str, Filed] = field(default_factory=dict)
    """By number, without those that were replaced."""
    readings: dict[str, Reading] = field(default_factory=dict)

    def signed(self, type: str) -> list[datetime]:
        """Return when documents of a type were signed."""
        return [document.signed for document in self.documents.values() if document.type == type and document.signed]


def _fold(facts: Iterable[Fact]) -> _Stay | None:
    """Return the stay; None for an outpatient and for an admission that was cancelled."""
    stay: _Stay | None = None
    for fact in sorted(facts, key=lambda fact: fact.at):
        match fact:
            case Admitted():
                stay = _Stay(fact.visit, fact.admitted)
            case AdmissionCancelled():
                return None
            case _ if stay is not None:
                _apply(stay, fact)
    return stay


def _apply(stay: _Stay, fact: Fact) -> None:
    match fact:
        case Updated():
            stay.operations |= {operation.number: operation for operation in fact.operations}
        case Discharged():
            stay.operations |= {operation.number: operation for operation in fact.operations}
            stay.discharged, stay.died = fact.discharged, fact.died
        case DischargeCancelled():
            stay.discharged = None
        case Filed():
            stay.documents.pop(fact.replaces, None)
            stay.documents[fact.number] = fact
        case Measured():
            stay.readings |= {f"{fact.number}/{reading.code}": reading for reading in fact.readings}


def _deadlines(stay: _Stay, clock: datetime) -> Iterator[Expected]:
    for rule, type, hours in (("R01", "C0034", 24), ("R02", "C0037", 8)):
        limit = stay.admitted + timedelta(hours=hours)
        if stay.discharged is None or stay.discharged >= limit:
            for state in _missed(limit, stay.signed(type), clock):
                yield Expected(stay.visit, rule, state, stay.visit)
    for operation in (one for one in stay.operations.values() if one.kind == "O"):
        for state in _missed(operation.end + _DAY, _records(stay, operation), clock):
            yield Expected(stay.visit, "R10", state, operation.number)
    if stay.discharged is not None:
        records = stay.signed("C0050" if stay.died else "C0049")
        if stay.discharged - stay.admitted < _DAY:
            records += stay.signed("C0035")
        for state in _missed(stay.discharged + _DAY, records, clock):
            yield Expected(stay.visit, "R13", state, stay.visit)
        for state in _missed(stay.discharged + _DAY, stay.signed("C0050"), clock) if stay.died else ():
            yield Expected(stay.visit, "R14", state, stay.visit)


def _contents(stay: _Stay) -> Iterator[Expected]:
    for subject, reading in stay.readings.items():
        if not is_possible(reading):
            yield Expected(stay.visit, "R27", "", subject)
    notes = sorted((d for d in stay.documents.values() if d.type == "C0038"), key=lambda note: note.about)
    for earlier, later in pairwise(notes):
        if is_copy(earlier.text, later.text):
            yield Expected(stay.visit, "R45", "", later.number)
    for document in stay.documents.values():
        if document.type == "C0032" and contradicts(document.fields, stay.admitted.date()):
            yield Expected(stay.visit, "R48", "", document.number)


def _records(stay: _Stay, operation: Operation) -> list[datetime]:
    """Return when records of this operation were signed: each counts for the one that last started before it."""
    operations = [one for one in stay.operations.values() if one.kind == "O"]
    return [
        moment
        for moment in stay.signed("C0009")
        if max((one for one in operations if one.start < moment), key=lambda one: one.start, default=None) == operation
    ]


def _missed(limit: datetime, signed: Iterable[datetime], clock: datetime) -> Iterator[str]:
    """Yield the state of a deadline that was missed; a limit is inclusive and is judged once it has passed."""
    moments = list(signed)
    if clock > limit and not any(moment <= limit for moment in moments):
        yield "late" if moments else "absent"


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
