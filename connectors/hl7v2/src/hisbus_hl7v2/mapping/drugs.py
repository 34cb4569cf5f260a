"""What is ordered of a drug, how often and how (RXE, RXO, RXR, TQ1), and what was given of it (RXA)."""

from collections.abc import Mapping
from typing import Any

from hisbus import BadMessage
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_hl7v2.timestamp import moment
from hisbus_schemas import Administration, AdministrationStatus, Code, Moment, called

TYPES = frozenset({"RAS^O01", "RAS^O17"})
"""Types of message that ``administration_drafts`` reads."""

READS = frozenset({"ORC", "RXA", "RXR", "NTE"})
"""Segments that ``administration_drafts`` reads."""

_DOSES = (("RXE", 3, 5), ("RXO", 2, 4))
"""Segment, amount, unit."""

_TIMINGS = (("TQ1", None, 3, 7, 8), ("RXE", 1, 2, 4, 5), ("ORC", 7, 2, 4, 5))
"""Segment; the field whose components are meant (TQ), None: fields are; frequency, start, end."""

_STATUSES: dict[str, AdministrationStatus] = {"CP": "given", "PA": "partly", "RE": "refused", "NA": "not_given"}
"""RXA-20 (table 0322)."""


def details(source: Source, group: Mapping[str, Segment]) -> dict[str, Any]:
    """Return dose, unit, route, frequency, start and stop of an order, with what is to be emptied."""
    said: dict[str, Any] = {}
    deleted: set[str] = set()
    for name, amount, unit in _DOSES:
        if segment := group.get(name):
            said.setdefault("dose", segment.get(amount))
            said.setdefault("unit", _unit(segment, unit))
            deleted |= {field for field, number in (("dose", amount), ("unit", unit)) if segment.is_null(number)}
    if rxr := group.get("RXR"):
        said["route"] = source.code(rxr, 1)
        deleted |= {"route"} if rxr.is_null(1) else set()
    for name, field, *places in _TIMINGS:
        segment = group.get(name)
        if segment is None or (field is not None and not segment.raw(field)):
            continue
        found = {
            "frequency": _part(segment, field, places[0]),
            "start": _time(source, segment, field, places[1]),
            "stop": _time(source, segment, field, places[2]),
        }
        said = {field: value for field, value in found.items() if value} | said
        if field is None:
            named = zip(("frequency", "start", "stop"), places, strict=True)
            deleted |= {field for field, place in named if segment.is_null(place)}
    return {**said, "deleted": sorted(deleted - {field for field, value in said.items() if value not in ("", Code())})}


def _part(segment: Segment, field: int | None, place: int) -> str:
    return segment.get(place) if field is None else segment.get(field, place)


def _time(source: Source, segment: Segment, field: int | None, place: int) -> Moment | None:
    text = _part(segment, field, place)
    read = moment(text, source.zone) if text else None
    if text and read is None:
        source.flag(f"bad_time.{segment.name}-{field or place}")
    return read


def _unit(segment: Segment, number: int) -> str:
    return segment.get(number) or segment.get(number, 2)


def administration_drafts(source: Source, about: Subject, _trigger: str) -> list[Draft]:
    """Return one draft for each RXA; one without a drug is left unread.

    Raises:
        BadMessage: no RXA: nothing was given.
    """
    drafts, order, given = [], "", list[tuple[Segment, str, list[Segment]]]()
    for segment in source.message.segments:
        name = segment.text[:3]
        if name == "ORC":
            order = segment.get(2) or segment.get(3)
        elif name == "RXA":
            given.append((segment, order, []))
        elif name in ("RXR", "NTE"):
            (given[-1][2] if given else source.unread).append(segment)
    if not given:
        raise BadMessage("A message about doses without RXA.", code="no_administration")
    for rxa, number, more in given:
        if rxa.raw(5):
            drafts.append(Draft(about, "medication.given", _administration(source, rxa, number, more)))
        else:
            source.unread += [rxa, *more]
    return drafts


def _administration(source: Source, rxa: Segment, order: str, more: list[Segment]) -> Administration:
    what, start = source.code(rxa, 5), rxa.get(3)
    routes = [segment for segment in more if segment.text[:3] == "RXR"]
    notes = [segment for segment in more if segment.text[:3] == "NTE"]
    taken_back = rxa.get(21) == "D"
    return Administration(
        key=f"{order}/{rxa.get(2)}/{start}" if order else f"{what.code or what.text}/{start}",
        order=order,
        what=what,
        time=source.time(rxa, 3),
        end=source.time(rxa, 4),
        amount=rxa.get(6),
        unit=_unit(rxa, 7),
        route=source.code(routes[0], 1) if routes else Code(),
        site=source.code(routes[0], 2) if routes else Code(),
        status="withdrawn" if taken_back else source.word(_STATUSES, rxa, 20) or "",
        by=source.person(rxa, 10),
        notes=[*filter(None, [called(source.code(rxa, 9))]), *(text for nte in notes for text in source.notes(nte))],
        deleted=[name for name, number in (("end", 4), ("amount", 6), ("unit", 7)) if rxa.is_null(number)],
    )
