"""The readings of a report: which of them a later message's take the place of. Pure."""

from collections.abc import Sequence

from hisbus_bus.kernel.topics import digest
from hisbus_schemas import ChartReading, Event, Reading, Report

VITALS = "vitals.recorded"


class Result(ChartReading):
    """A reading as it is stored."""

    message: str = ""
    """Of which message: no other of the same takes its place."""


class Vital(Result):
    """A reading that the chart shows among the vital signs."""


Name = tuple[str, ...]
"""All that tells a reading from others of its report's number; of a vital sign its time too."""


def after(readings: Sequence[Result], slot: str, event: Event, report: Report) -> list[Result]:
    """Return the readings under a report's number once a report is heard that is later in the fold than all of them.

    A reading takes the place of that which an earlier message gave the same name, and stands beside what its own
    message gave it.
    """
    known = {_name(item): item for item in readings}
    kind = Vital if event.kind == VITALS else Result
    message = event.message[:16]
    for reading in report.readings:
        new = _made(kind, event, message, report, reading)
        while (old := known.get(_name(new))) is not None and old.message == message:
            new = new.model_copy(update={"ordinal": new.ordinal + 1})
        for name in _elsewhere(known, new):
            del known[name]  # it goes to the end of the other part, as if it had not been stored in between
        known[_name(new)] = new.model_copy(update={"id": digest(slot, *_name(new))[:20]})
    return [*known.values()]


def _made(kind: type[Result], event: Event, message: str, report: Report, reading: Reading) -> Result:
    said = dict(reading) | {"time": reading.time or report.time}
    return kind(
        id="",
        version=event.id,
        message=message,
        report=report.number,
        service=report.service,
        reported=report.reported,
        withdrawn=reading.status == "withdrawn",
        report_notes=report.notes,
        **said,
    )


def _name(item: Result) -> Name:
    named = (*item.service.identity, *item.item.identity, item.sub, str(item.ordinal))
    return (*named, _time(item)) if isinstance(item, Vital) else named


def _time(item: Result) -> str:
    return item.time.at.isoformat() if item.time else "-"


def _elsewhere(known: dict[Name, Result], new: Result) -> list[Name]:
    """Return the same reading among those of the other part, where an earlier message put it."""
    named = _name(new)
    own = isinstance(new, Vital)
    other = named[:-1] if own else (*named, _time(new))
    found = known.get(other)
    same = found is not None and found.message != new.message and _time(found) == _time(new)
    return [other] if same and isinstance(found, Vital) != own else []
