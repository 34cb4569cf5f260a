"""The entries of a chart: which of them an event touches, and what it does to each. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from hisbus_bus.flow.chart import moves, readings, unknown
from hisbus_bus.flow.chart.order import of_one_message, order_of
from hisbus_bus.flow.chart.suspected import suspected
from hisbus_bus.kernel.topics import digest
from hisbus_schemas import (
    LISTS,
    Administration,
    Allergy,
    Charge,
    ChartAdministration,
    ChartAllergy,
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartMove,
    ChartOrder,
    ChartProcedure,
    ChartUnknown,
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
    Section,
)

Key = tuple[str, ...]
"""Names an entry by what the hospital calls it, behind its part: ``("documents", number)`` ...; a report has two."""


_MODELS: Mapping[str, type[Entry]] = {part.name: part.entry for part in LISTS if part.entry} | {
    "results": readings.Result,
    "vitals": readings.Vital,
}
_LISTS: Mapping[str, TypeAdapter[Any]] = {name: TypeAdapter(list[model]) for name, model in _MODELS.items()}  # type: ignore[valid-type]
PART_OF: Mapping[type[Entry], str] = {model: name for name, model in _MODELS.items()}
"""The part of the chart that shows an item, by the item's own class."""


MOVES: Key = ("moves",)
"""The history of the stay, one entry."""

Item = TypeVar("Item", ChartOrder, ChartAllergy, ChartAdministration)


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
            lines = [tuple(item for item in self.items if PART_OF[type(item)] == part) for part in self.part.split()]
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
        case Allergy() as allergy:
            keys = [("allergies", allergy.key)]
        case Administration() as dose:
            keys = [("administrations", dose.key)]
    if moves.tells(event):
        keys.append(MOVES)
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
    kept = [item for item in slot.items if isinstance(item, ChartUnknown)]
    if kept:
        slot = replace(slot, items=tuple(item for item in slot.items if not isinstance(item, ChartUnknown)))
    before, slot = slot.last, replace(slot, last=order_of(event))
    if key == MOVES:
        history = moves.after([item for item in slot.items if isinstance(item, ChartMove)], slot.id, event)
        return _shown(slot, [*history, *unknown.of_stay(slot.id, kept, event)])
    slot = _applied(slot, key, event, alike=of_one_message(before, slot.last))
    if not slot.part or not (kept or event.unknown):
        return slot
    return _shown(slot, [*slot.items, *unknown.of_entries(slot.id, key[-1], slot.items, kept, event)])


def _shown(slot: Slot, items: Sequence[Entry]) -> Slot:
    """Return an entry with these items, each in the part of its class."""
    return replace(slot, part=" ".join(sorted({PART_OF[type(item)] for item in items})), items=tuple(items))


def _applied(slot: Slot, key: Key, event: Event, *, alike: bool) -> Slot:
    """Return an entry after an event; ``alike``: the event that touched it last is of the same message."""
    match event.data:
        case Document() as document:
            return _document(slot, key, event, document)
        case Diagnoses() as diagnoses:
            return _diagnoses(slot, event, diagnoses, alike=alike)
        case Procedure() as procedure:
            return _procedure(slot, event, procedure)
        case Order() as ordered:
            return _shown(slot, [_order(slot, event, ordered)])
        case Report() as report:
            known = [item for item in slot.items if isinstance(item, readings.Result)]
            return _shown(slot, readings.after(known, slot.id, event, report))
        case Charge() as charge:
            item = ChartCharge(id=slot.id, version=event.id, **dict(charge))
            return _shown(slot, [item])
        case Allergy() as allergy:
            return _shown(slot, [_newer(ChartAllergy, slot, event, allergy, withdrawn=allergy.withdrawn)])
        case Administration() as dose:
            return _shown(slot, [_newer(ChartAdministration, slot, event, dose)])
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
    elif said.action == "edit":
        content = _text(known, said)
    elif said.action == "status":
        text = {field: value for field in _TEXT if (value := getattr(said, field))}
        content = _status(said) | text
    elif said.action == "withdraw":
        withdrawn = True
    else:
        withdrawn, part = False, "documents"
        if said.action == "replace" and said.parent == replaced_by:
            replaced_by = ""  # it takes the place of what had taken its own
        content = {field: getattr(said, field) for field in _CONTENT}
        content |= {"received": event.position.recorded, "filed": event.time}
        if not slot.part:  # what was said of it before it was filed holds for what is filed now
            content |= _status(known) | _text(said, known)
    signed = content.get("signed", known.signed)
    status = "withdrawn" if withdrawn else "replaced" if replaced_by else "signed" if signed else "draft"
    update = {"version": event.id, "status": status, "replaced_by": replaced_by, **content}
    return replace(slot, part=part, items=(known.model_copy(update=update),))


_CONTENT = frozenset(ChartDocument.model_fields) & frozenset(Document.model_fields) - {"number"}
"""What a filing says of a document; each filing says all of it."""

_TEXT = ("sections", "fields", "attachments")


def _status(said: Document | ChartDocument) -> dict[str, object]:
    """Return what is said of how far a document is, and by whom."""
    status = {field: getattr(said, field) for field in ("completion", "signed", "signed_inferred")}
    return (status if said.completion or said.signed else {}) | ({"author": said.author} if said.author else {})


def _text(document: Document | ChartDocument, said: Document | ChartDocument) -> dict[str, object]:
    """Return a document's text where only those sections, fields and attachments change that are said."""
    news: dict[str, list[Section]] = {}
    for section in said.sections:
        news.setdefault(section.name, []).append(section)
    sections: list[Section] = []
    for section in document.sections:
        sections += news.pop(section.name, []) if section.name in {each.name for each in said.sections} else [section]
    return {
        "sections": [*sections, *chain.from_iterable(news.values())],
        "fields": document.fields | said.fields,
        "attachments": said.attachments or document.attachments,
    }


def _diagnoses(slot: Slot, event: Event, said: Diagnoses, *, alike: bool) -> Slot:
    """Return a set of diagnoses after more were said; what one message says stands beside what it said before."""
    known = [item for item in slot.items if isinstance(item, ChartDiagnosis)]
    kept = [item for item in said.items if not item.deleted]
    rows = []
    if alike or not said.whole or (said.items and not kept):
        touched = {item.code.identity for item in said.items if item.deleted or not alike}
        rows = [item for item in known if item.code.identity not in touched]
    ids = Counter(item.code.identity for item in rows)
    for item in kept:
        ids[item.code.identity] += 1
        id = digest(slot.id, *item.code.identity, ids[item.code.identity])[:20]
        rows.append(_diagnosis(id, event, said.status, item))
    return replace(slot, part="diagnoses", items=tuple(rows))


def _diagnosis(id: str, event: Event, status: DiagnosisStatus | Literal[""], said: Diagnosis) -> ChartDiagnosis:
    return ChartDiagnosis(
        id=id,
        version=event.id,
        status=status,
        code=said.code,
        time=said.time,
        rank=said.rank,
        suspected=suspected(said.code.text) if said.suspected is None else said.suspected,
    )


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


def _newer(
    model: type[Item], slot: Slot, event: Event, said: Order | Allergy | Administration, **always: object
) -> Item:
    """Return an entry as it is now: what is said counts, what is empty is as it was, what is deleted is empty."""
    known = slot.items[0] if slot.items else None
    fields: dict[str, object] = {}
    for name in model.model_fields.keys() & type(said).model_fields.keys() - set(said.deleted):
        value = getattr(said, name)
        if known is not None and (value is None or value in ("", [], Code())):
            value = getattr(known, name)
        fields[name] = value
    return model.model_validate({**fields, **always, "id": slot.id, "version": event.id})


def _order(slot: Slot, event: Event, said: Order) -> ChartOrder:
    item = _newer(ChartOrder, slot, event, said, status=said.action)
    ended = (item.stopped or event.time) if said.action == "stopped" else None
    return item.model_copy(update={"stopped": ended})
