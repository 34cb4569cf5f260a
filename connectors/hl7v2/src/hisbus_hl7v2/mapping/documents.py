"""Documents (MDM): TXA with its OBX; a front page is a document whose OBX are fields."""

from dataclasses import dataclass
from typing import Literal

from hisbus import BadMessage
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_hl7v2.timestamp import moment
from hisbus_schemas import Attachment, Code, Document, Moment, Section, Unknown

READS = frozenset({"TXA", "OBX"})
"""Segments that ``document_drafts`` reads."""

Action = Literal["file", "addendum", "replace", "withdraw"]

_ACTIONS: dict[str, tuple[str, Action]] = {
    "T02": ("document.filed", "file"),
    "T06": ("document.filed", "addendum"),
    "T10": ("document.amended", "replace"),
    "T11": ("document.withdrawn", "withdraw"),
}
"""Kind and action by trigger."""

TYPES = frozenset(f"MDM^{trigger}" for trigger in _ACTIONS)
"""Types of message that ``document_drafts`` reads."""

_TEXT = frozenset({"TX", "FT", "ST"})
_KEPT = frozenset({"ED", "RP"})


def document_drafts(source: Source, about: Subject, trigger: str) -> list[Draft]:
    """Return what happened to the document; an OBX that is neither text nor attachment is left unread.

    Raises:
        BadMessage: no TXA, or no number in it: which document it is cannot be told.
    """
    txa = source.message.first("TXA")
    if txa is None:
        raise BadMessage("A document message without TXA.", code="no_document")
    number = txa.get(12)
    if not number:
        raise BadMessage("A document without a number in TXA-12.", code="no_document_number")
    kind, action = _ACTIONS[trigger]
    type = source.code(txa, 2)
    parent = txa.get(13)
    if action == "replace" and not parent:
        source.flag("replaces_unnamed")
    signed, inferred = _signature(source, txa, about.time)
    content = _content(source, type)
    if type.code in source.tables.front_pages and action != "withdraw":
        kind = "frontpage.submitted"
    document = Document(
        number=number,
        action=action,
        type=type,
        parent=parent,
        about=source.time(txa, 4),
        author=source.person(txa, 9),
        signed=signed,
        signed_inferred=inferred,
        completion=txa.get(17),
        sections=content.sections,
        fields=content.fields,
        attachments=content.attachments,
    )
    unknown = () if type.code in source.tables.document_types else (_unknown(source, type, number),)
    return [Draft(about, kind, document, unknown)]


def _unknown(source: Source, type: Code, number: str) -> Unknown:
    """Return that it may be any document. Its type stands in the chart as it was sent."""
    source.flag("unknown_code.TXA-2")
    return Unknown(item="document:*", code=type, entry=number)


def _signature(source: Source, txa: Segment, otherwise: Moment) -> tuple[Moment | None, bool]:
    """Return when the document was signed, and whether that had to be inferred."""
    if txa.get(17) not in source.tables.signed:
        return None, False
    for signer in txa.repetitions(22):
        text = source.message.part(signer, 15)
        signed = moment(text, source.zone) if text else None
        if signed is not None:
            return signed, False
        if text:
            source.flag("bad_time.TXA-22")
    return otherwise, True


@dataclass(slots=True)
class _Content:
    sections: list[Section]
    fields: dict[str, str]
    attachments: list[Attachment]


def _content(source: Source, type: Code) -> _Content:
    front_page = type.code in source.tables.front_pages
    content = _Content([], {}, [])
    lines: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for obx in source.message.all("OBX"):
        kind, name = obx.get(2), obx.get(3)
        if kind in _KEPT:
            content.attachments.append(Attachment(type=kind, title=obx.get(3, 2) or name, content=obx.raw(5)))
        elif front_page:
            content.fields[name] = obx.get(5) if kind not in _TEXT else _text(source, obx)
        elif kind in _TEXT:
            titles.setdefault(name, obx.get(3, 2))
            lines.setdefault(name, []).append(_text(source, obx))
        else:
            source.unread.append(obx)
    content.sections = [Section(name=name, title=titles[name], text="\n".join(texts)) for name, texts in lines.items()]
    return content


def _text(source: Source, obx: Segment) -> str:
    """Return the text of OBX-5: text has no components, so a stray delimiter is text."""
    return "\n".join(source.message.decoded(item) for item in obx.repetitions(5))
