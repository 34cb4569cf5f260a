"""What a connector is: it speaks to one outside system, in and out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from hisbus_schemas import Effect, Fact, PatientId, Receipt, WriteBack


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came in, with what could be read from it without a database."""

    id: str
    """Identity of the message: the same for every copy (lower-case hex)."""
    body: bytes
    """The original bytes, complete unless refused for their size."""
    received: datetime
    control_id: str = ""
    type: str = ""
    """``ADT^A01`` ...."""
    patient: PatientId | None = None
    verdict: str = ""
    """Empty: accepted. Else the stable code it was refused with; it is stored and parked."""
    flags: tuple[str, ...] = ()
    ack: str = ""
    """The acknowledgement that its sender gets once the message is stored."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A stored message on its way to translation."""

    id: str
    body: bytes
    recorded: datetime
    control_id: str = ""
    type: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Translation:
    """What a message says. ``mapped`` is false where there is no mapping for it."""

    mapped: bool
    facts: list[Fact] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    """Names of segments that nothing reads."""
    flags: list[str] = field(default_factory=list)


Sink = Callable[[Arrival], Awaitable[None]]
"""Returns once the message is stored durably. Raises RetryLater where it could not be within the deadline."""


@runtime_checkable
class Connector(Protocol):
    """Speaks to one outside system. Trusted: runs in the bus's own process."""

    name: str
    mapping: str
    """Names version and profile of the mapping; another value re-translates what is replayed."""
    timezone: str
    """IANA zone for times without offset."""
    clock: Literal["wall", "feed"]
    """Whether rules see the wall clock or the feed's own time."""
    writes: bool
    """Whether write-backs can leave through it."""

    async def check(self) -> list[str]:
        """Try configuration and connection. Return what is wrong, one sentence each; empty: all is well."""
        ...

    async def listen(self, sink: Sink) -> None:
        """Take messages in until cancelled."""
        ...

    def translate(self, raw: Raw) -> Translation:
        """Say what a message means. Pure.

        Raises:
            BadMessage: it cannot be read.
        """
        ...

    async def write(self, writeback: WriteBack, begin: Callable[[], Awaitable[None]]) -> Receipt:
        """Send one write-back. Connects, awaits ``begin`` and only then sends the first byte.

        What can never be sent as it is, is ``rejected`` without awaiting ``begin``: it goes back to the reviewer.

        Raises:
            RetryLater: no connection could be made; nothing was sent and ``begin`` was not awaited.
        """
        ...

    async def find(self, writeback: WriteBack) -> Effect:
        """Say whether an earlier attempt took effect."""
        ...


@runtime_checkable
class Playable(Connector, Protocol):
    """A connector that can be handed a message from a file, for conversations (``hisbus play``)."""

    async def take(self, body: bytes, sink: Sink) -> str:
        """Take one message as if its sender had sent it.

        Returns:
            How it is answered (HL7 v2: the code in MSA-1); empty where its sender gets no answer.
        """
        ...
