"""What a frame is, decided without a database: its identity, verdict, flags and acknowledgement."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from hisbus import Arrival, BadMessage, Raw
from hisbus_hl7v2.ack import Ack, acknowledge, mode_flags, silent
from hisbus_hl7v2.identity import message_id
from hisbus_hl7v2.mapping import Profile, Source
from hisbus_hl7v2.mapping.adt import MERGES, merges_itself
from hisbus_hl7v2.message import Header, Message, read_header
from hisbus_hl7v2.mllp import Frame
from hisbus_schemas import PatientId

_ENVELOPE = frozenset({"MSH", "PID"})
"""All that is read before a message is stored, unless it merges patients."""
_NOTHING = Raw("", b"", datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Examiner:
    """The configuration that verdict and acknowledgement depend on."""

    connector: str
    codec: str
    zone: ZoneInfo
    profile: Profile
    accept_ack_never: Literal["answer", "silent"] = "answer"

    def header(self, frame: Frame) -> Header:
        """Read the MSH segment of a frame."""
        return read_header(frame.body, self.codec)

    def message_id(self, frame: Frame, header: Header) -> str:
        """Return the message's id."""
        return message_id(self.connector, frame.body, header)

    def examine(
        self, frame: Frame, header: Header, id: str, received: datetime, refusal: str = ""
    ) -> tuple[Arrival, Ack | None]:
        """Judge a frame, and return its acknowledgement too; None where the sender wants none.

        Args:
            frame: as decoded.
            header: of this frame.
            id: of this message.
            received: when it came.
            refusal: why it is not taken whatever it says; empty: it may be.
        """
        flags = [*frame.flags, *mode_flags(header)]
        patient: PatientId | None = None
        type = header.type
        verdict: str = frame.fault or header.fault or refusal
        if not verdict:
            verdict, patient, more = self._read(header, type, frame.body)
            flags += more
        ack = self._ack(header, id, verdict)
        arrival = Arrival(
            id=id,
            body=frame.body,
            received=received,
            control_id=_kept(header.get(10)),
            type=_kept(type),
            patient=patient,
            verdict=verdict,
            flags=tuple(flags),
            ack=_kept(ack.text) if ack else "",
        )
        return arrival, ack

    def _read(self, header: Header, type: str, body: bytes) -> tuple[str, PatientId | None, list[str]]:
        """Return verdict, patient and flags of a message that may be taken."""
        merges = type in MERGES
        try:
            message = Message.behind(header, body, None if merges else _ENVELOPE)
        except BadMessage as error:
            return error.code, None, []
        source = self.source(message, _NOTHING)
        pid = message.first("PID")
        patient = source.patient_id(pid, 3) if pid else None
        return "self_merge" if merges and merges_itself(source) else "", patient, message.flags

    def source(self, message: Message, raw: Raw) -> Source:
        """Return a message with what is needed to understand it."""
        return Source(message, raw, self.connector, self.zone, self.profile)

    def answer(self, header: Header, id: str, code: str) -> bytes | None:
        """Return the acknowledgement with this code; None where the sender wants none."""
        ack = self._ack(header, id, code)
        return ack.encode() if ack else None

    def _ack(self, header: Header, id: str, code: str) -> Ack | None:
        return None if silent(header, self.accept_ack_never) else acknowledge(header, id, code)


def _kept(text: str) -> str:
    """Return a text as it can be kept beside the bytes: databases take no NUL."""
    return text.replace("\0", "")
