"""Acknowledgements: a pure function of the frame and the configuration, so a resend gets the same one."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from hisbus_hl7v2.message import Header

Outcome = Literal["accept", "error", "reject"]
"""``error``: it could not be processed, perhaps later. ``reject``: it cannot be accepted as it was sent."""

_ORIGINAL = {"accept": "AA", "error": "AE", "reject": "AR"}
_MODES: dict[str, dict[str, str]] = {
    "": _ORIGINAL,
    "NE": _ORIGINAL,
    "AL": {"accept": "CA", "error": "CE", "reject": "CR"},
    "ER": {"accept": "AA", "error": "CE", "reject": "CR"},
    "SU": {"accept": "CA", "error": "AE", "reject": "AR"},
}
"""By MSH-15. With MSH-15 and MSH-16 both empty the sender is in the original mode, which answers as ``NE`` does."""

_REJECTED = frozenset({"not_hl7", "bad_delimiters", "self_merge"})
"""Refusals that no sending again can mend; the rest are errors."""

_CONDITIONS = {
    "not_hl7": ("100", "Segment sequence error"),
    "several_messages": ("100", "Segment sequence error"),
    "bad_delimiters": ("102", "Data type error"),
    "wide_charset": ("103", "Table value not found"),
    "unknown_charset": ("103", "Table value not found"),
    "undecodable": ("102", "Data type error"),
    "self_merge": ("204", "Unknown key identifier"),
}
"""Our codes in the words of table 0357."""

_INTERNAL = ("207", "Application internal error")


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement, and the codec that makes its bytes."""

    text: str
    encoding: str

    def encode(self) -> bytes:
        """Return the bytes to frame."""
        return self.text.encode(self.encoding)


def outcome(verdict: str) -> Outcome:
    """Return how a verdict is answered."""
    if not verdict:
        return "accept"
    return "reject" if verdict in _REJECTED else "error"


def mode_flags(header: Header) -> tuple[str, ...]:
    """Return a warning where MSH-15 is none of table 0155."""
    return () if header.get(15).strip() in _MODES else ("unknown_accept_condition",)


def silent(header: Header, never: Literal["answer", "silent"]) -> bool:
    """Tell whether the sender wants no answer at all: MSH-15 ``NE``, where the site reads it strictly."""
    return never == "silent" and header.get(15).strip() == "NE"


def acknowledge(header: Header, message: str, verdict: str = "") -> Ack:
    """Answer the message of this header.

    Args:
        header: as sent; where it could not be read the answer names no message.
        message: the message's id, from which the answer's own MSH-10 is made.
        verdict: stable code of the refusal; empty: stored.
    """
    code = _MODES.get(header.get(15).strip(), _ORIGINAL)[outcome(verdict)]
    field, component = header.delimiters.field, header.delimiters.component
    trigger = header.get(9).split(component)[1:2]
    own = hashlib.sha256(f"{message} {code} {verdict}".encode()).hexdigest()[:20]
    msh = [
        "MSH",
        header.delimiters.encoding,
        *(header.get(number) for number in (5, 6, 3, 4, 7)),
        "",
        component.join(["ACK", *(trigger and [*trigger, "ACK"])]),
        own,
        header.get(11) or "P",
        header.get(12) or "2.5",
        *[""] * 5,
        header.get(18).split(header.delimiters.repetition)[0],
    ]
    segments = [msh, ["MSA", code, header.get(10), *([verdict] if verdict else [])]]
    if verdict:
        number, words = _CONDITIONS.get(verdict, _INTERNAL)
        segments.append(["ERR", "", "", component.join([number, words, "HL70357"]), "E", verdict])
    return Ack("".join(_line(segment, field) for segment in segments), header.encoding)


def _line(segment: list[str], separator: str) -> str:
    while not segment[-1]:
        segment.pop()
    line = separator.join(segment)
    # What we echo may end in FS; with our CR behind it, it would end the frame.
    return line + (separator if line.endswith("\x1c") else "") + "\r"
