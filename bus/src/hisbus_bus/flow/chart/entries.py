"""The entries of a chart: which of them an event touches, and what it does to each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

from pydantic import TypeAdapter

from hisbus_bus.flow.chart.order import order_of
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import (
    LISTS,
    Charge,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    Code,
    Diagnoses,
    Diagnosis,
    DiagnosisStatus,
    Document,
    Entry,
    Event,
    Order,
    Procedure,
    Report,
)

Key = tuple[str, ...]
"""Names an entry by what the hospital calls it, behind its part: ``("documents", number)`` ...; a report has two."""


class Vital(ChartReading):
    """A reading that the chart shows among the vital signs."""


_MODELS: Mapping[str, type[Entry]] = {part.name: part.entry for part in LISTS if part.entry} | {"vitals": Vital}
_LISTS: Mapping[str, TypeAdapter[Any]] = {name: TypeAdapter(list[model]) for name, model in _MODELS.items()}  # type: ignore[valid-type]
_PARTS: Mapping[type[Entry], str] = {model: name for name, model in _MODELS.items()}
"""The part of the chart that shows an item, by the item's own class."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An entry as stored: the fold of the events that touched it."""

    id: str
    part: str
    """Part of the chart; empty: known of, nothing to show. A report may be in two, with a space between them."""
    place: str
    """Its order within the part: when it was first touched."""
    last: str
    """Fold order of the event that touched it last."""
    items: tuple[Entry, ...] = ()
    """One; of a report or a set of diagnoses: any number; what was deleted: none."""

    def body(self) -> str:
        """Return the items as JSON, for each part a line with a list."""
        lines = [self.items]
        if " " in self.part:
            lines = [tuple(item for item in self.items if _PARTS[type(item)] == part) for part in self.part.split()]
        return "\n".join(f"[{','.join(map(_json, line))}]" for line in lines)


def _json(item: Entry) -> str:
    """Return an item as JSON without what it leaves open, which most of its fields are."""
    return item.model_dump_json(exclude_defaults=True)


def items(key: Key, part: str, body: str) -> tuple[Entry, ...]:
    """Return a stored slot's items. What is known of and not shown is of the part that its key names."""
    names = part.split() or [key[0]] * (key[0] in _LISTS)
    lines = zip(names, body.split("\n"), strict=False)
    return tuple(chain.from_iterable(_LISTS[name].validate_json(line) for name, line in lines))


def slot_id(encounter: str, key: Key) -> str:
    """Return the id of an entry: stable, opaque, and safe in a ref."""
    return digest("entry", encounter, *key)[:20]


def trace(key: Key) -> str:
    """Return what a stored event is found by where an entry that it touches is folded again."""
    return digest("trace", *key)[:20]


def touched(event: Event) -> list[Key]:
    """Return the keys of the entries that an event touches, each once."""
    keys: list[Key] = []
    match event.data:
        case Document() as document:
            keys = [("documents", document.number)]
            if document.action == "replace" and document.parent:
                keys.append(("documents", document.parent))
        case Diagnoses() as diagnoses:
            keys = [("diagnoses", diagnoses.status)]
        case Procedure() as procedure:
            keys = [("procedures", procedure.key)]
        case Order() as order:
            keys = [("orders", order.key)]
        case Report() as report:
            keys = [("report", report.number)]
        case Charge() as charge:
            keys = [("charges", charge.key)]
    return list(dict.fromkeys(keys))


def begin(encounter: str, key: Key, event: Event, nth: int) -> Slot:
    """Return an entry that nothing has touched yet; its first event touches it as the ``nth``."""
    return Slot(slot_id(encounter, key), "", f"{order_of(event)}{nth:06d}", "")


def fold(encounter: str, key: Key, events: Sequence[Event]) -> Slot:
    """Fold the events that touch an entry, in order."""
    slot = begin(encounter, key, events[0], touched(events[0]).index(key))
    for event in events:
        slot = apply(slot, key, event)
    return slot


def apply(slot: Slot, key: Key, event: Event) -> Slot:
    """Return an entry after one more event, later in the fold than any that touched it."""
    slot = replace(slot, last=order_of(event))
    match event.data:
        case Document() as document:
            return _document(slot, key, event, document)
        case Diagnoses() as diagnoses:
            return _diagnoses(slot, event, diagnoses)
        case Procedure() as procedure:
            return _procedure(slot, event, procedure)
        case Order() as ordered:
            return _order(slot, event, ordered)
        case Report() as report:
            return _report(slot, event, report)
        case Charge() as charge:
            item = ChartCharge(id=slot.id, version=event.id, **dict(charge))
            return replace(slot, part="charges", items=(item,))
        case _:
            return slot


def _document(slot: Slot, key: Key, event: Event, said: Document) -> Slot:
    known = slot.items[0] if slot.items else None
    if not isinstance(known, ChartDocument):
        # What replaces or withdraws may come before the filing: it is remembered on a document without content.
        known = ChartDocument(
            id=slot.id,
            version=event.id,
            number=key[1],
            type=Code(),
            status="draft",
            received=event.position.recorded,
            filed=event.time,
        )
    withdrawn, replaced_by, part = known.status == "withdrawn", known.replaced_by, slot.part
    content: dict[str, object] = {}
    if said.number != key[1]:
        replaced_by = said.number
    elif said.action == "withdraw":
        withdrawn = True
    else:
        withdrawn, part = False, "documents"
        if said.action == "replace" and said.parent == replaced_by:
            replaced_by = ""  # it takes the place of what had taken its own
        content = {field: getattr(said, field) for field in _CONTENT}
        content |= {"received": event.position.recorded, "filed": event.time}
    signed = content.get("signed", known.signed)
    status = "withdrawn" if withdrawn else "replaced" if replaced_by else "signed" if signed else "draft"
    update = {"version": event.id, "status": status, "replaced_by": replaced_by, **content}
    return replace(slot, part=part, items=(known.model_copy(update=update),))


_CONTENT = frozenset(ChartDocument.model_fields) & frozenset(Document.model_fields) - {"number"}
"""What a filing says of a document; each filing says all of it."""


def _diagnoses(slot: Slot, event: Event, said: Diagnoses) -> Slot:
    known = [item for item in slot.items if isinstance(item, ChartDiagnosis)]
    kept = [item for item in said.items if not item.deleted]
    rows = []
    if not said.whole or (said.items and not kept):
        touched = {_name(item.code) for item in said.items}
        rows = [item for item in known if _name(item.code) not in touched]
    ids: dict[tuple[str, str], int] = {}
    for item in kept:
        ids[_name(item.code)] = count = ids.get(_name(item.code), 0) + 1
        id = digest(slot.id, *_name(item.code), count)[:20]
        rows.append(_diagnosis(id, event, said.status, item))
    return replace(slot, part="diagnoses", items=tuple(rows))


def _name(code: Code) -> tuple[str, str]:
    return (code.system, code.code) if code.code else ("", code.text)


def _diagnosis(id: str, event: Event, status: DiagnosisStatus | Literal[""], said: Diagnosis) -> ChartDiagnosis:
    return ChartDiagnosis(id=id, version=event.id, status=status, code=said.code, time=said.time, rank=said.rank)


def _procedure(slot: Slot, event: Event, said: Procedure) -> Slot:
    if said.deleted:
        return replace(slot, part="", items=())
    known = slot.items[0] if slot.items else None
    old = known if isinstance(known, ChartProcedure) else ChartProcedure(id="", version="", key="", code=Code())
    item = ChartProcedure(
        id=slot.id,
        version=event.id,
        key=said.key,
        code=said.code if said.code != Code() else old.code,
        start=said.start or old.start,
        end=said.end or old.end,
        operation=said.operation,
        surgeon=said.surgeon or old.surgeon,
    )
    return replace(slot, part="procedures", items=(item,))


def _order(slot: Slot, event: Event, said: Order) -> Slot:
    known = slot.items[0] if slot.items else None
    old = (
        known
        if isinstance(known, ChartOrder)
        else ChartOrder(id="", version="", key="", status=said.action, what=Code())
    )
    item = ChartOrder(
        id=slot.id,
        version=event.id,
        key=said.key,
        placer=said.placer or old.placer,
        filler=said.filler or old.filler,
        status=said.action,
        what=said.what if said.what != Code() else old.what,
        time=said.time or old.time,
    )
    return replace(slot, part="orders", items=(item,))


def _report(slot: Slot, event: Event, report: Report) -> Slot:
    known = {(item.item.code, item.sub): item for item in slot.items if isinstance(item, ChartReading)}
    kind = Vital if event.kind == "vitals.recorded" else ChartReading
    for reading in report.readings:
        name = (reading.item.code, reading.sub)
        if name in known and type(known[name]) is not kind:
            del known[name]  # it goes to the end of the other part, as if it had not been stored in between
        known[name] = kind(
            id=digest(slot.id, *name)[:20],
            version=event.id,
            report=report.number,
            service=report.service,
            withdrawn=reading.status == "withdrawn",
            **dict(reading),
        )
    items = tuple(known.values())
    return replace(slot, part=" ".join(sorted({_PARTS[type(item)] for item in items})), items=items)
