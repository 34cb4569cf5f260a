"""Write-backs as HL7 v2: MDM^T02, a document that only the HIS can make legal."""

import re
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from hisbus import BusError
from hisbus import lines as text
from hisbus_hl7v2 import charset
from hisbus_hl7v2.conformance import check
from hisbus_hl7v2.leaving import FIELDS
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.notation import DEFAULT
from hisbus_hl7v2.timestamp import written
from hisbus_schemas import WriteBack

_ESCAPES = {
    DEFAULT.field: "\\F\\",
    DEFAULT.component: "\\S\\",
    DEFAULT.repetition: "\\R\\",
    DEFAULT.escape: "\\E\\",
    DEFAULT.subcomponent: "\\T\\",
    "\n": "\\.br\\",
}
_SPECIAL = re.compile(r"[|^~\\&\x00-\x1f\x7f]")

_UNKNOWN_NAME = "^^^^^^U"
"""PID-5 is required; a name of type U (table 0200) is unspecified."""


class CharsetError(BusError):
    """The connector's character set cannot carry the text of the write-back. Choose UTF-8 or GB 18030."""

    code = "charset"


Lines = Sequence[tuple[str, str]]
"""OBX-3, as it is written, and text of each line."""


def document(writeback: WriteBack, connector: str, codec: str, zone: ZoneInfo) -> bytes:
    """Return the message, the same bytes for every attempt. Raises as ``message`` does."""
    return message(writeback, list(_lines(writeback)), connector, codec, zone)


def message(writeback: WriteBack, lines: Lines, connector: str, codec: str, zone: ZoneInfo) -> bytes:
    """Return the message that says these lines.

    Raises:
        CharsetError: this character set cannot carry the text.
        NonconformantError: the standard's structure of the message cannot.
        BusError: see ``refuse_legal_status``.
    """
    when = written(writeback.decided, zone)
    name = charset.hl7_name(codec)
    place, out = writeback.location, {field: _out(field, writeback.out.get(field, "")) for field in FIELDS}
    segments = [
        ["MSH", DEFAULT.encoding, out["MSH-3"], out["MSH-4"], out["MSH-5"], out["MSH-6"], when, "", out["MSH-9"],
         escaped(writeback.id), "P", out["MSH-12"], "", "", "", "", "", name],
        ["EVN", "", when],
        ["PID", "1", "", _cx(writeback.patient.number, writeback.patient.authority, connector, out["PID-3.5"]), "",
         _name(writeback), "", f"{writeback.birth_date:%Y%m%d}" if writeback.birth_date else "", out["PID-8"]],
        ["PV1", "1", out["PV1-2"],
         "^".join(escaped(part) for part in (place.ward, place.room, place.bed)), *[""] * 15,
         _cx(writeback.visit.number, writeback.visit.authority, connector)],
        ["TXA", "1", out["TXA-2"], "TX", when, *[""] * 7, escaped(writeback.id), *[""] * 4, "PA", "", "UN"],
        *(["OBX", str(number), "TX", item, "", escaped(line), *[""] * 5, "P"]
          for number, (item, line) in enumerate(lines, 1)),
    ]  # fmt: skip
    said = "".join(DEFAULT.field.join(segment) + "\r" for segment in segments)
    try:
        body = said.encode(codec)
    except UnicodeEncodeError:
        # Not "from": the cause carries the text.
        raise CharsetError from None
    refuse_legal_status(body, codec)
    check(said)
    return body


def _lines(writeback: WriteBack) -> Iterator[tuple[str, str]]:
    """Yield the lines: of a document under the name of its section, else of a notice."""
    sections = text.sections(writeback)
    if not sections:
        yield from (("QC", line) for line in text.lines(writeback))
    for section in sections:
        item = f"{escaped(section.name)}^{escaped(section.title)}"
        yield from ((item, line) for line in section.text.splitlines())


def refuse_legal_status(body: bytes, codec: str) -> None:
    """Let nothing leave that claims to be legally authenticated or available.

    Raises:
        BusError: the document is anything but pre-authenticated (or in progress) and unavailable.
    """
    documents = Message.read(body, codec).all("TXA")
    if len(documents) != 1 or documents[0].raw(17) not in ("PA", "IP") or documents[0].raw(19) != "UN":
        raise BusError("A write-back may not claim a legal status.", code="legal_status")


def escaped(text: str) -> str:
    """Return a text that is one value, whatever it holds."""
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0]) or f"\\X{ord(match[0]):02X}\\", text)


def _out(field: str, text: str) -> str:
    """Return what a field of the profile's says: of the header with its components, else one value."""
    if not field.startswith("MSH"):
        return escaped(text)
    return DEFAULT.component.join(map(escaped, text.split(DEFAULT.component)))


def _name(writeback: WriteBack) -> str:
    """Return the name in the parts in which it was received, else in one piece."""
    parts = writeback.name_parts
    said = (parts.family, parts.given, parts.middle, parts.suffix, parts.prefix)
    if not any(said):
        return escaped(writeback.patient_name.strip()) or _UNKNOWN_NAME
    return DEFAULT.component.join(map(escaped, said)).rstrip(DEFAULT.component)


def _cx(number: str, authority: str, connector: str, type: str = "") -> str:
    """Return a number with its authority, where ours stands for none, and of what type it is."""
    said = f"{escaped(number)}^^^{'' if authority == connector else escaped(authority)}^{type}"
    return said.removesuffix("^")
