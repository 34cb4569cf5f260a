"""What rules said of late, so that a rule whose inputs have not changed is not run again. Losing it costs only time.

An answer rests on the rule with its limits, on what the rule looked at while it judged, and on the present. It is taken
again while all of that stands, and the present lies before the first time at which the rule asked to look again.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hisbus_qc.record import Known, Record
from hisbus_qc.rulebook import Book
from hisbus_qc.rulefiles import Judge
from hisbus_qc.watched import NOW
from hisbus_schemas import Finding, Wake

REMEMBERED = 500
"""Stays."""


@dataclass(frozen=True, slots=True)
class _Answer:
    said: list[Finding | Wake]
    rests_on: frozenset[str]
    """What the rule looked at, but for the present."""
    now: datetime
    until: datetime | None
    """When it wants to look again; None: whenever something changes."""

    def holds(self, present: datetime) -> bool:
        """Tell whether the rule would say the same again, where nothing that it looked at has changed."""
        return self.now <= present and (self.until is None or present < self.until)


class Answers:
    """The last answers of a book's rules about one stay, and what was worked out for all of them."""

    def __init__(self, book: Book) -> None:
        """Know nothing yet."""
        self.book = book
        self.version = 0
        """Of the chart that they were last asked about."""
        self.run = 0
        """Rules that were run; the others said what they had said last."""
        self._answers: dict[int, _Answer] = {}
        self._known: Known = {}
        self._stamps: dict[str, Any] = {}
        """How each part that any of it rests on stood, of that chart."""

    def turn_to(self, record: Record) -> None:
        """Forget what rests on a part that stands otherwise in this chart, and let its rules have the rest."""
        stood = self._stamps
        self._stamps = {part: record.stamps.of(part) for part in stood}
        stands = {part for part, stamp in stood.items() if self._stamps[part] == stamp}
        self._answers = {number: one for number, one in self._answers.items() if one.rests_on <= stands}
        # Of what looked at nothing, nobody knows what it is about. The present is never among what stands.
        record.recall({key: one for key, one in self._known.items() if one[1] and one[1] <= stands})
        self._known = record.known
        self.version = record.version

    def of(self, number: int, record: Record) -> list[Finding | Wake]:
        """Return what a rule says of a stay: what it said last, or what it says now.

        Args:
            number: the rule's place among the book's judges.
            record: the stay, to which all of this was turned.
        """
        answer = self._answers.get(number)
        if answer is not None and answer.holds(record.present):
            return answer.said
        self.run += 1
        judge = self.book.judges[number]
        said, looked_at = record.watched(lambda: _run(judge, record))
        rests_on = looked_at - {NOW}
        for part in rests_on - self._stamps.keys():
            self._stamps[part] = record.stamps.of(part)
        dues = [one.due for one in said if isinstance(one, Wake)]
        if NOW in looked_at and not dues:
            self._answers.pop(number, None)  # it may say something else at any time
        else:
            self._answers[number] = _Answer(said, rests_on, record.present, min(dues, default=None))
        return said


class Memory:
    """The last answers, by stay."""

    def __init__(self, stays: int = REMEMBERED) -> None:
        """Remember of so many stays at most, the ones that were judged last."""
        self._most = stays
        self._stays: OrderedDict[str, Answers] = OrderedDict()

    def answers(self, record: Record, book: Book) -> Answers:
        """Return what is remembered of a stay: nothing where other rules were asked, or where it does not move on.

        Entries are known by their versions. A chart that is no newer than the last is another reading of it (a mapping
        that is tried, a test), and says nothing of what has changed.
        """
        known = self._stays.get(record.encounter)
        if known is None or known.book is not book or record.version <= known.version:
            known = self._stays[record.encounter] = Answers(book)
        known.turn_to(record)
        self._stays.move_to_end(record.encounter)
        while len(self._stays) > self._most:
            self._stays.popitem(last=False)
        return known


def _run(judge: Judge, record: Record) -> list[Finding | Wake]:
    return list(judge.check(judge.rule, record, judge.limits)) if judge.concerns(record) else []
