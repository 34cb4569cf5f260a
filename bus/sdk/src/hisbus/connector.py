"""What a connector is: it speaks to one outside system, in and out."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from hisbus.disguise import Disguise
from hisbus_schemas import Code, Effect, Fact, Receipt, WriteBack


def _unanswered(_code: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came in, with what could be read from it without knowing what it means."""

    id: str
    """Identity of the message: the same for every copy (lower-case hex)."""
    body: bytes
    """The original bytes, complete unless refused for their size."""
    received: datetime
    control_id: str = ""
    """The number that its sender gave it."""
    type: str = ""
    """``ADT^A01`` ...."""
    refusal: str = ""
    """The stable code of why it is not taken, whatever it says. Empty: it may be taken."""
    flags: tuple[str, ...] = ()
    """Reservations about how it came, in stable words."""
    acknowledge: Callable[[str], str] = _unanswered
    """Returns the acknowledgement that its sender gets for a verdict's code; empty where it gets none.
    Pure but for the time that it says it was made at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an arrival, once it is stored. But for times, a pure function of message and configuration."""

    code: str = ""
    """Empty: it was accepted. Else the stable code it was refused with; it is stored and parked."""
    acknowledgement: str = ""
    """What its sender is answered, as ``Arrival.acknowledge`` said; it was stored beside the message."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A stored message on its way to translation."""

    id: str
    body: bytes
    recorded: datetime
    control_id: str = ""
    type: str = ""
    flags: tuple[str, ...] = ()


class Unread(NamedTuple):
    """A part of a message that nobody has read."""

    name: str
    """Of the part: a segment, an element, a column. Never a value: it may be a patient's."""
    text: str
    """As it stands in the message; kept on the event."""


class Reads(NamedTuple):
    """What a profile reads of messages of a type, as ``Format.label`` calls it."""

    direct: frozenset[str] = frozenset()
    """Of the message itself."""
    read: frozenset[str] = frozenset()
    """At all, of its groups, too."""
    every: frozenset[str] = frozenset()
    """Of each such part of a group, where others are read of the first."""
    repeated: frozenset[str] = frozenset()
    """All of its repetitions, where of others the first is read."""


class Counted(NamedTuple):
    """How much a message carries, and how much of it nobody reads. Numbers and names of places, never a value."""

    parts: int = 0
    """Segments, resources, rows."""
    values: int = 0
    """Fields with a value; each repetition counts."""
    unread: Mapping[str, int] = {}
    """Those of them that nobody has read, by their place, as ``Format.label`` calls it: ``OBX-17``."""
    carried: Mapping[str, int] = {}
    """All of them by their place, where it was asked for."""


def _uncounted(*, each: bool = False) -> Counted:
    return Counted()


class Source(Protocol):
    """A message as its format has it: segments, elements, fields. It knows no meaning.

    Paths are of the format's own kind: ``PID-3.1``, ``/ClinicalDocument/title``, ``$.resource.id``.
    """

    type: str
    """Which sections of a profile read it: ``ADT^A01``, ``Bundle``, the name of a view."""
    flags: list[str]
    """Reservations about how it was read, in stable words; who reads on adds his own."""
    withheld: str = ""
    """Why it says nothing, whatever it holds (``not_production``): its status, in a stable word. Empty: it counts."""
    sender: str = ""
    """Who sent it, as the connector names it: what people say of codes is kept for each. Empty: it says none."""
    authority: str = ""
    """Whose numbers those of its sender are that name no authority; empty: the connector's own."""

    def groups(self, path: str) -> Sequence[Any]:
        """Return what a path names and repeats, each with ``groups`` and ``texts`` whose paths begin there."""
        ...

    def texts(self, path: str) -> Sequence[str]:
        """Return the values that a path names, decoded, one for each repetition; none where there is none."""
        ...

    def unread(self, reads: "Reads") -> "Sequence[Unread]":
        """Return the parts that nobody has read."""
        ...

    def count(self, reads: "Reads", *, each: bool = False) -> Counted:
        """Return how much it carries, once it was read, and how much of it nobody has read.

        Args:
            reads: what the profile reads.
            each: also say what each place carries.
        """
        ...


class Format(Protocol):
    """How a format's paths are read. Each is compiled once, so that a wrong one is refused before any message comes.

    What is returned is called with a group (the source itself, or one of its groups) and something to be ignored.
    Every method raises ValueError where the path is none of this format, with words for who wrote it.
    """

    def text(self, path: str) -> Callable[[Any, Any], str]:
        """Return what reads the first value of a path that is not empty; where there is none, an empty text."""
        ...

    def together_at(self, path: str) -> str:
        """Return what a path's value is read of: paths with the same are read at once. Empty: alone."""
        ...

    def several(self, paths: Sequence[str]) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the first values of paths that are read at once, in their order."""
        ...

    def texts(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path, one for each repetition of the first such part; no empty ones."""
        ...

    def every(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path in each such part of the group."""
        ...

    def groups(self, path: str) -> Callable[[Any, Any], Sequence[Any]]:
        """Return what finds the groups that a path names."""
        ...

    def deleted(self, path: str) -> Callable[[Any, Any], bool]:
        """Return what tells whether a message says that a value is to be deleted; ``*``: whether it says so of any."""
        ...

    def together(self, groups: Sequence[Any]) -> Any:
        """Return one group that holds several, in their order."""
        ...

    def leaves(self, field: str, text: str) -> None:
        """Check a field of a profile's ``[out]``, and one text that it may say.

        Raises:
            ValueError: no write-back of this format has it, or the text cannot stand there.
        """
        ...

    def take(self, group: Any) -> None:
        """Note that a group was read, for ``Source.unread``."""
        ...

    def whole(self, path: str) -> bool:
        """Tell whether a path reads all repetitions of its place as one text."""
        ...

    def within(self, at: str, path: str) -> str:
        """Return the path of a part of what another path names: ``.2`` of ``OBR-4`` is ``OBR-4.2``."""
        ...

    def label(self, path: str) -> str:
        """Return what a path is called in flags and counts: ``PV1-2``."""
        ...


class LookedUp(NamedTuple):
    """A code that no table of the profile has: people are asked what it is."""

    table: str
    """Of the profile."""
    item: str
    """What cannot be judged while nobody has answered: ``class``, ``document:*`` ...."""
    code: Code
    """As sent."""
    answer: str = ""
    """The word of ours that was gone by; empty: nobody has said one yet."""


@dataclass(frozen=True)
class Translation:
    """What a message says. ``mapped`` is false where there is no mapping for it, or where it says nothing."""

    mapped: bool
    facts: list[Fact] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    """Names of parts (HL7 v2: segments) that nothing reads."""
    flags: list[str] = field(default_factory=list)
    withheld: str = ""
    """Why it says nothing, whatever it holds, as ``Source.withheld`` has it."""

    sender: str = ""
    """Who sent it, as the connector names it; people's answers are kept by it."""
    looked_up: list[LookedUp] = field(default_factory=list)
    """The codes that people were asked for, each once."""
    collided: int = 0
    """Entries that had the identity of an earlier one of the message, and keep their ordinal."""
    count: "Callable[..., Counted]" = field(default=_uncounted, compare=False, repr=False)
    """``Source.count`` with what is read. What a message means does not hang on it, so it is done when asked for."""

    @property
    def status(self) -> str:
        """What became of the message, in a stable word: ``mapped``, ``unmapped``, or why it is withheld."""
        return self.withheld or ("mapped" if self.mapped else "unmapped")


Sink = Callable[[Arrival], Awaitable[Verdict]]
"""Returns once the message is stored durably. Raises RetryLater where it could not be within the deadline."""


class Place(Protocol):
    """How far a source was read that is polled: a watermark, a file, a log sequence number.

    Kept in the database, for the one process of the site that polls at a time.
    """

    async def load(self) -> str:
        """Return what was stored last; empty at first.

        Raises:
            RetryLater: the database is away.
        """
        ...

    async def store(self, cursor: str) -> None:
        """Keep how far the source was read, after the sink has taken what lies before.

        Raises:
            LostPlace: another process has taken over since. Stop; it is not to be tried again.
            RetryLater: the database is away.
        """
        ...


@runtime_checkable
class Connector(Protocol):
    """Speaks to one outside system. Trusted: runs in the bus's own process.

    A class that names this one as its parent inherits the values below; any other must have them all.
    """

    name: str
    profile: Path
    """The profile (TOML) that ships with it: what its messages mean."""
    format: Format | None = None
    """How the paths of its profile are read; None: its profile names a function instead."""
    over: Path | None = None
    """A site's file that is laid over the profile."""
    authority: str = ""
    """Whose numbers those are that name no authority; empty: the connector's own."""
    meaning: Mapping[str, str] = {}
    """Every setting that changes what a message means, by its key: another value names another mapping."""
    timezone: str
    """IANA zone for times without offset."""
    clock: Literal["wall", "feed"] = "wall"
    """Whether rules see the wall clock or the feed's own time."""
    writes: bool = False
    """Whether write-backs can leave through it."""
    polls: bool = False
    """Whether it asks its source, and so keeps a place and runs in one process of the site at a time.
    One that is connected to may run in many, and goes on while the database is away."""
    his_drops_duplicates: bool = False
    """Whether the operator has declared that a write-back sent twice has one effect."""
    backfill: bool = False
    """Whether what it takes in now happened before the site was connected, and is marked so."""
    plaintext: Sequence[str] = ()
    """The keys of its table for which the operator has waived encryption."""

    async def check(self) -> list[str]:
        """Try configuration and connection. Return what is wrong, one sentence each; empty: all is well."""
        ...

    async def listen(self, sink: Sink, place: Place) -> None:
        """Hand over what arrives, until cancelled. What is answered is answered after ``sink`` has returned.

        Raises:
            RetryLater: a source that is polled cannot be read now. It is called again.
        """
        ...

    def read(self, raw: Raw, reads: Reads | None = None) -> Source:
        """Read a message as its format has it. Pure.

        Args:
            raw: the message.
            reads: all that will be read of it, as when it is judged on arrival: the rest may be left out. None: it all.

        Raises:
            BadMessage: it cannot be read.
        """
        ...

    def examine(self, raw: Raw, refusal: str) -> Arrival:
        """Return a stored message that was refused when it arrived, as it would arrive with today's settings. Pure.

        It keeps its id. What its bytes do not tell, such as who has sent it, is refused as before, and so is what was
        cut: ``too_large``.

        Args:
            raw: as stored.
            refusal: the code that it was refused with.
        """
        return Arrival(raw.id, raw.body, raw.recorded, raw.control_id, raw.type, refusal, raw.flags)

    def split(self, file: bytes) -> list[bytes]:
        """Return the messages of a captured file, each as ``read`` takes it, in their order."""
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


class Scrubbed(NamedTuple):
    """A capture in which nothing names anybody, as far as its fields go by the standard."""

    file: bytes
    messages: int
    kept: Mapping[str, int]
    """Values that stay as they came, by place: codes, as a rule. Somebody must look at them."""
    texts: Mapping[str, int]
    """Texts that were asked to be kept, by place: what is known of people is replaced in them, and no more."""
    unknown: Mapping[str, int]
    """Values that somebody may want to keep, by place: no rule names it, so they were replaced like a text; or they are
    codes in which a date, a long number or what other places say of people was replaced."""


@runtime_checkable
class Scrubs(Connector, Protocol):
    """A connector that knows what in its messages names somebody (``hisbus capture scrub``)."""

    def scrub(self, file: bytes, disguise: Disguise, *, keep: Collection[str], keep_text: bool) -> Scrubbed:
        """Return a captured file without names, numbers, addresses, and with its times shifted; its form stays.

        Args:
            file: as ``split`` takes it.
            disguise: replaces, the same by the same.
            keep: places that stay, as ``Format.label`` calls them, whatever else is known of them.
            keep_text: free texts stay, but for what other places say of people.

        Raises:
            ConfigError: it cannot be read well enough to be scrubbed.
        """
        ...
