"""Within one message nothing takes another's place: what has the identity of an earlier entry keeps its ordinal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from hisbus_mapping.run import Run
from hisbus_schemas import Report
from hisbus_schemas.event import Body

COLLISION = "collision"
"""The flag of a message in which two entries have one identity."""


KEYS: Mapping[type, str] = {
    cls: next((name for name in ("key", "number") if name in cls.model_fields), "")
    for cls in get_args(get_args(Body)[0])
}
"""The field that names what a fact carries, by its model; empty: it has none."""


def apart(facts: Sequence[dict[str, Any]], run: Run) -> None:
    """Give entries of one message that have one identity their ordinals, and flag it."""
    seen: Counter[tuple[Any, ...]] = Counter()
    for fact in facts:
        data = fact["data"]
        if isinstance(data, Report):
            fact["data"] = _readings_apart(fact, data, seen, run)
        elif field := KEYS.get(type(data), ""):
            fact["data"] = _apart(fact, data, field, seen, run)


def _apart(fact: dict[str, Any], data: BaseModel, field: str, seen: Counter[tuple[Any, ...]], run: Run) -> BaseModel:
    identity = (type(data), getattr(data, field), *_whose(fact))
    seen[identity] += 1
    if seen[identity] == 1:
        return data
    run.flag(COLLISION)
    return data.model_copy(update={field: f"{getattr(data, field)}#{seen[identity]}"})


def _readings_apart(fact: dict[str, Any], report: Report, seen: Counter[tuple[Any, ...]], run: Run) -> Report:
    about = (*_whose(fact), report.number, report.service.identity)
    timed = fact["kind"] == "vitals.recorded"
    readings = []
    for reading in report.readings:
        identity = (*about, reading.item.identity, reading.sub, reading.time if timed else None)
        seen[identity] += 1
        if seen[identity] > 1:
            run.flag(COLLISION)
            reading = reading.model_copy(update={"ordinal": seen[identity] - 1})
        readings.append(reading)
    return report.model_copy(update={"readings": readings})


def _whose(fact: dict[str, Any]) -> tuple[str, str]:
    patient, visit = fact["patient"], fact["visit"]
    return patient.number if patient is not None else "", visit.number if visit is not None else ""
