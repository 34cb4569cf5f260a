"""Windows: each stretch of time after a moment has a document of its own: every month, each of three days."""

from collections.abc import Iterator
from datetime import timedelta

from hisbus_qc.clock import last_second, local, shown
from hisbus_qc.facts import Search, find
from hisbus_qc.moments import NAMES, After, starts
from hisbus_qc.record import Record, written
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_schemas import Text, Wake

_MOST = 120
"""Windows that are judged of one moment: ten years of months."""


class Every(Limits):
    """The length of a window, how many there are, and what each must have."""

    after: After
    facts: Search | None = None
    limit_days: float
    times: int = _MOST
    documents: DocumentTypes
    needs: Search | None = None
    """Something else that will do."""
    calendar: bool = False
    """Days are the calendar's, on the clock of the ward: the first ends with the day after the moment's.

    What was written on the day itself, after the moment, counts for it.
    """
    unless: Search | None = None

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield what may be found to be missing, and what calls for it."""
        due = [f"document:{type}" for type in self.documents]
        due += [item for items in (self.needs.needed() if self.needs else ()) for item in items]
        yield tuple(dict.fromkeys(due))
        yield from self.facts.needed() if self.facts else ()
        if self.after in {"operation_start", "operation_end"}:
            yield ("procedure:*",)


@takes(Every, needs=("document",), words=("operation",))
def every(rule: Rule, record: Record, limits: Every) -> Said:
    """Judge the windows that have passed. One in which the stay ended, and those after it, owe nothing."""
    length = timedelta(days=limits.limit_days)
    for start in starts(record, limits.after, limits.facts):
        if limits.unless and find(record, limits.unless):
            return
        done = [written(item) for item in record.signed(limits.documents)]
        done += [fact.at for fact in find(record, limits.needs) if fact.at] if limits.needs else []
        for number in range(1, min(limits.times, _MOST) + 1):
            opens, closes = start.at + length * (number - 1), start.at + length * number
            if limits.calendar:
                opens = last_second(record.chart, opens) if number > 1 else start.at
                closes = last_second(record.chart, closes)
            judged = closes + timedelta(seconds=rule.grace_s)
            if record.ended and record.ended < closes:
                break
            if any(opens < at <= judged for at in done):
                continue
            subject = ":".join(filter(None, (start.subject, str(number))))
            if record.now <= judged:
                yield Wake(name=rule.key(subject), due=judged + timedelta(seconds=1))
                break
            said: dict[str, str | Text] = {
                "start": shown(record.chart, start.moment.at),
                "limit": shown(record.chart, closes),
                "from": f"{limits.limit_days * (number - 1) + 1:g}",
                "to": f"{limits.limit_days * number:g}",
                "day": f"{local(record.chart, closes):%Y-%m-%d}",
                "document": rule.texts["document"],
            }
            name, words = NAMES[limits.after], start.words(rule)
            said["after"] = Text(
                zh=name.zh.format(**{key: word.zh for key, word in words.items()}),
                en=name.en.format(**{key: word.en for key, word in words.items()}),
            )
            text = "once" if limits.times == 1 else "day" if limits.limit_days == 1 else "absent"
            yield rule.finding(
                rule.say(text, **said),
                title=rule.titled(text, **said),
                subject=subject,
                state="absent",
                evidence=start.proof,
                reads=start.reads(record.chart),
                due=closes,
            )
