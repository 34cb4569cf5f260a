"""What a frame is, decided without a database: its identity, flags and acknowledgement."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from hisbus import Arrival
from hisbus_hl7v2.ack import Ack, acknowledge, mode_flags, silent
from hisbus_hl7v2.identity import message_id
from hisbus_hl7v2.message import Header, read_header
from hisbus_hl7v2.mllp import Frame
from hisbus_hl7v2.timestamp import written


@dataclass(frozen=True, slots=True)
class Examiner:
    """The configuration that identity and acknowledgement depend on."""

    connector: str
    codec: str
    charset_wins: bool = False
    accept_ack_never: Literal["answer", "silent"] = "answer"
    zone: ZoneInfo = ZoneInfo("UTC")  # noqa: RUF009 - they are one for each name
    """In which an acknowledgement says when it was made."""

    def header(self, frame: Frame) -> Header:
        """Read the MSH segment of a frame."""
        return read_header(frame.body, self.codec, wins=self.charset_wins)

    def message_id(self, frame: Frame, header: Header) -> str:
        """Return the message's id."""
        return message_id(self.connector, frame.body, header)

    def arrival(self, frame: Frame, header: Header, id: str, received: datetime, refusal: str = "") -> Arrival:
        """Return a frame as it is handed over.

        Args:
            frame: as decoded.
            header: of this frame.
            id: of this message.
            received: when it came.
            refusal: why it is not taken whatever it says; empty: it may be.
        """
        return Arrival(
            id=id,
            body=frame.body,
            received=received,
            control_id=header.get(10),
            type=header.type,
            refusal=frame.fault or header.fault or refusal,
            flags=(*frame.flags, *mode_flags(header)),
            acknowledge=partial(self.acknowledgement, header, id),
        )

    def acknowledgement(self, header: Header, id: str, code: str) -> str:
        """Return the acknowledgement of a verdict as text; empty where the sender wants none."""
        ack = self.answer(header, id, code)
        return ack.text if ack else ""

    def answer(self, header: Header, id: str, code: str) -> Ack | None:
        """Return the acknowledgement of a verdict; None where the sender wants none."""
        if silent(header, self.accept_ack_never):
            return None
        return acknowledge(header, id, self.now(), code)

    def now(self) -> str:
        """Return the time as an acknowledgement says it."""
        return written(datetime.now(UTC), self.zone)

    def reply(self, header: Header, id: str, code: str) -> bytes | None:
        """Return the acknowledgement of a verdict as bytes; None where the sender wants none."""
        ack = self.answer(header, id, code)
        return ack.encode() if ack else None
