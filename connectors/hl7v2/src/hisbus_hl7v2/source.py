"""A message as HL7 v2 has it: the group of all its segments. It knows no meaning."""

from collections.abc import Sequence
from functools import lru_cache

from hisbus import Raw, Reads, Unread
from hisbus_hl7v2.groups import Group, arrange
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.paths import Hl7Format

FORMAT = Hl7Format()


class Hl7Source(Group):
    """One message."""

    __slots__ = ("authority", "flags", "raw", "sender", "type", "withheld")

    def __init__(self, message: Message, raw: Raw, authority: str, processing_ids: frozenset[str]) -> None:
        """Arrange a message.

        Args:
            message: decoded.
            raw: as stored.
            authority: whose its bare numbers are, by who sent it.
            processing_ids: the values of MSH-11 that count.
        """
        super().__init__(message, "message", None)
        self.authority = authority
        self.withheld = "" if _processing_id(message) in processing_ids else "not_production"
        self.type = message.header.type
        sender = message.header.sender
        self.sender = "^".join(sender) if any(sender) else ""
        self.flags = message.flags
        self.raw = raw
        arrange(self, self.type)

    def groups(self, path: str) -> Sequence[Group]:
        """Return what a path names and repeats."""
        found: Sequence[Group] = FORMAT.groups(path)(self, None)
        return found

    def texts(self, path: str) -> Sequence[str]:
        """Return the values that a path names."""
        return FORMAT.texts(path)(self, None)

    def unread(self, reads: Reads) -> list[Unread]:
        """Return the segments that nobody has read: not in a group that was taken, nor by name from the message.

        Only a segment's name is told; what does not begin like a segment is ``?``, for it may be a patient's text.
        """
        direct, some, every = _names(reads)
        read: set[int] = set()
        for group in (self, *(one for one in self.children if one.name == "patient")):
            _note(group, direct, every, read)
        for group in self.message.taken:
            _note(group, some, every, read)
        return [Unread(one.name, one.text) for one in self.message.segments if id(one) not in read]


@lru_cache(maxsize=256)
def segments(reads: Reads) -> frozenset[str]:
    """Return the names of the segments that are read, and of MSH."""
    return frozenset({"MSH", *(label.split("-")[0] for labels in reads for label in labels)})


def _processing_id(message: Message) -> str:
    """Return MSH-11, its first component; where it is empty the message counts as of production, flagged."""
    id = message.segments[0].get(11).upper()
    if not id:
        message.flags.append("no_processing_id")
    return id or "P"


def _note(group: Group, names: frozenset[str], every: frozenset[str], read: set[int]) -> None:
    """Note which segments of a group were read: the first of a name, or each."""
    for name, segments in (group.by_name or group.named_segments()).items():
        if name in names:
            read.update(map(id, segments if name in every else segments[:1]))


@lru_cache(maxsize=256)
def _names(reads: Reads) -> tuple[frozenset[str], ...]:
    """Return the segments that are read: of the message itself, at all, and each of a name."""
    return tuple(frozenset(label.split("-")[0] for label in labels) for labels in reads)
