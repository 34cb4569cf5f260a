"""What rules said of late, so that a rule whose inputs have not changed is not run again. Losing it costs only time.

An answer rests on the rule with its limits, on what the rule looked at while it judged, and on the present. It is taken
again while all of that stands, and the present lies before the first time at which the rule asked to look again.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hisbus_qc.record import Record
from hisbus_qc.rulebook import Book
from hisbus_qc.rulefiles import Judge
from hisbus_qc.watched import NOW
from hisbus_schemas import Finding, Wake

REMEMBERED = 500
"""Stays."""


@dataclass(frozen=True, slots=True)
class _Answer:
    said: list[Finding | Wake]
    rests_on: Mapping[str, Any]
    """How what the rule looked at stood."""
    now: datetime
    until: datetime | None
    """When it wants to look again; None: whenever something changes."""

    def holds(self, record: Record) -> bool:
        """Tell whether the rule would say the same again."""
        late = self.until is not None and record.present >= self.until
        if late or record.present < self.now:
            return False
        return all(record.stamps.of(part) == stamp for part, stamp in self.rests_on.items())


class Answers:
    """The last answers of a book's rules about one stay."""

    def __init__(self, book: Book) -> None:
        """Know nothing yet."""
        self.book = book
        self.version = 0
        """Of the chart that they were last asked about."""
        self.run = 0
        """Rules that were run; the others said what they had said last."""
        self._answers: dict[int, _Answer] = {}

    def of(self, number: int, record: Record) -> list[Finding | Wake]:
        """Return what a rule says of a stay: what it said last, or what it says now.

        Args:
            number: the rule's place among the book's judges.
            record: the stay.
        """
        answer = self._answers.get(number)
        if answer is not None and answer.holds(record):
            return answer.said
        self.run += 1
        judge = self.book.judges[number]
        said, looked_at = record.watched(lambda: _run(judge, record))
        dues = [one.due for one in said if isinstance(one, Wake)]
        if NOW in looked_at and not dues:
            self._answers.pop(number, None)  # it may say something else at any time
        else:
            rests_on = {part: record.stamps.of(part) for part in looked_at if part != NOW}
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
        known.version = record.version
        self._stays.move_to_end(record.encounter)
        while len(self._stays) > self._most:
            self._stays.popitem(last=False)
        return known


def _run(judge: Judge, record: Record) -> list[Finding | Wake]:
    return list(judge.check(judge.rule, record, judge.limits)) if judge.concerns(record) else []
