"""What a frame is, decided without a database: its identity, verdict, flags and acknowledgement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from hisbus import Arrival, BadMessage, Raw
from hisbus_hl7v2.ack import Ack, acknowledge, mode_flags, silent
from hisbus_hl7v2.identity import message_id
from hisbus_hl7v2.mapping import Profile, Source
from hisbus_hl7v2.mapping.adt import MERGES, merges_itself
from hisbus_hl7v2.mapping.source import FUTURE, source_time
from hisbus_hl7v2.message import Header, Message, read_header
from hisbus_hl7v2.mllp import Frame
from hisbus_schemas import PatientId


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

    def examine(self, frame: Frame, header: Header, id: str, received: datetime) -> Arrival:
        """Judge a frame. Only the flag ``future_time`` depends on the time of its reception."""
        flags = [*frame.flags, *mode_flags(header)]
        message: Message | None = None
        patient: PatientId | None = None
        verdict: str = frame.fault
        if not verdict:
            verdict, message = _read(header, frame.body)
        if message is not None:
            flags += message.flags
            source = self.source(message, Raw("", b"", received))
            pid = message.first("PID")
            patient = source.patient_id(pid, 3) if pid else None
            if header.type in MERGES and merges_itself(source):
                verdict = "self_merge"
            time, _ = source_time(message, self.zone)
            if time is not None and time.at - received > FUTURE:
                flags.append("future_time")
        ack = self._ack(header, id, verdict)
        return Arrival(
            id=id,
            body=frame.body,
            received=received,
            control_id=_kept(header.get(10)),
            type=_kept(header.type),
            patient=patient,
            verdict=verdict,
            flags=tuple(flags),
            ack=_kept(ack.text) if ack else "",
        )

    def source(self, message: Message, raw: Raw) -> Source:
        """Return a message with what is needed to understand it."""
        return Source(message, raw, self.connector, self.zone, self.profile)

    def answer(self, header: Header, id: str, code: str) -> bytes | None:
        """Return the acknowledgement with this code; None where the sender wants none."""
        ack = self._ack(header, id, code)
        return ack.encode() if ack else None

    def _ack(self, header: Header, id: str, code: str) -> Ack | None:
        return None if silent(header, self.accept_ack_never) else acknowledge(header, id, code)


def _read(header: Header, body: bytes) -> tuple[str, Message | None]:
    try:
        return "", Message.behind(header, body)
    except BadMessage as error:
        return error.code, None


def _kept(text: str) -> str:
    """Return a text as it can be kept beside the bytes: databases take no NUL."""
    return text.replace("\0", "")
