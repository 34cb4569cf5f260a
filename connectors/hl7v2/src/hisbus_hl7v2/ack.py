"""Acknowledgements: but for the time, a pure function of frame and configuration, so a resend gets the same one."""

from typing import Literal, NamedTuple

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

_REJECTED = frozenset({"not_hl7", "bad_delimiters", "self_merge", "sender_not_allowed", "type_not_allowed"})
"""Refusals that no sending again can mend; the rest are errors."""

_CONDITIONS = {
    "not_hl7": ("100", "Segment sequence error"),
    "several_messages": ("100", "Segment sequence error"),
    "bad_delimiters": ("102", "Data type error"),
    "wide_charset": ("103", "Table value not found"),
    "unknown_charset": ("103", "Table value not found"),
    "undecodable": ("102", "Data type error"),
    "self_merge": ("204", "Unknown key identifier"),
    "sender_not_allowed": ("103", "Table value not found"),
    "type_not_allowed": ("200", "Unsupported message type"),
}
"""Our codes in the words of table 0357."""

_INTERNAL = ("207", "Application internal error")


class Ack(NamedTuple):
    """An acknowledgement, and the codec that makes its bytes."""

    text: str
    encoding: str

    @property
    def code(self) -> str:
        """MSA-1."""
        msh, msa, *_ = self.text.split("\r")
        return msa.split(msh[3])[1]

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
    """Tell whether there is no answer at all: to an ``ACK``, and to MSH-15 ``NE`` where the site reads it strictly."""
    return header.type.partition("^")[0] == "ACK" or (never == "silent" and header.get(15).strip() == "NE")


def acknowledge(header: Header, message: str, at: str, verdict: str = "") -> Ack:
    """Answer the message of this header.

    Args:
        header: as sent; where it could not be read the answer names no message.
        message: the message's id, from which the answer's own MSH-10 is made.
        at: when it is answered, as HL7 writes it.
        verdict: stable code of the refusal; empty: stored.
    """
    get, field, component = header.get, header.delimiters.field, header.delimiters.component
    code = _MODES.get(get(15).strip(), _ORIGINAL)[outcome(verdict)]
    own = message[:18] + code  # no more than the 20 characters that MSH-10 had before version 2.7
    trigger = header.type.partition("^")[2]
    type = component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    # One that we could not read in is not one that we answer in.
    charset = get(18).split(header.delimiters.repetition, 1)[0] if header.body_encoding else ""
    msh = [
        *("MSH", header.delimiters.encoding, get(5), get(6), get(3), get(4), at, "", type, own),
        *(get(11) or "P", get(12) or "2.5"),
        *(("", "", "", "", "", charset) if charset else ()),
    ]
    text = line(msh, field) + line(["MSA", code, get(10), verdict], field)
    if verdict:
        number, words = _CONDITIONS.get(verdict, _INTERNAL)
        text += line(["ERR", "", "", component.join((number, words, "HL70357")), "E", verdict], field)
    return Ack(text, header.encoding)


def line(segment: list[str], separator: str) -> str:
    """Return a segment as it is written, without the empty fields at its end."""
    while not segment[-1]:
        segment.pop()
    text = separator.join(segment)
    # What we echo may end in FS; with our CR behind it, it would end the frame.
    return text + (separator if text.endswith("\x1c") else "") + "\r"
