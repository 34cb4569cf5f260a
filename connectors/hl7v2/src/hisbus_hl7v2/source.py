"""A message as HL7 v2 has it: the group of all its segments. It knows no meaning."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress

from hisbus import Counted, Raw, Reads, Unread
from hisbus_hl7v2.groups import Group, arrange
from hisbus_hl7v2.message import Message, Segment
from hisbus_hl7v2.paths import Hl7Format

FORMAT = Hl7Format()

Fields = Mapping[str, frozenset[int]]
"""Numbers of fields, by the name of their segment."""

_NONE = frozenset[int]()
_HEADER = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 18})
"""What the connector itself goes by, of MSH: how it is written, whose, for whom, what, its version, charset, answer."""
_NUMBERED = "AIG AIL AIP AIS AL1 DB1 DG1 FT1 GT1 IAM IN1 IN3 NK1 NTE OBR OBX PID PR1 PV1 RGS SPM TQ1 TQ2 TXA"
_NAME = frozenset({0})
_OWN: Fields = {"MSH": _HEADER, **dict.fromkeys(_NUMBERED.split(), frozenset({0, 1}))}
"""What needs no profile to be read, the name besides; a number of a segment says no more than its place."""


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
        read: set[Segment] = set()
        for group in (self, *(one for one in self.children if one.name == "patient")):
            _note(group.by_name or group.named_segments(), direct, every, read)
        for by_name in self.message.taken:
            _note(by_name, some, every, read)
        return [Unread(one.name, one.text) for one in self.message.segments if one not in read]

    def count(self, reads: Reads, *, each: bool = False) -> Counted:
        """Return how many values there are, and how many nobody has read: what was read is known as for ``unread``.

        What the connector goes by is not counted, nor are numbers of segments. A line that does not begin like a
        segment is one value of ``?``.
        """
        direct, some, every, repeated = map(_fields, reads)
        read: dict[int, frozenset[int]] = {}
        for group in (self, *(one for one in self.children if one.name == "patient")):
            _note_fields(group.by_name or group.named_segments(), direct, every, read)
        for by_name in self.message.taken:
            _note_fields(by_name, some, every, read)
        kinds: dict[tuple[str, frozenset[int]], int] = {}
        values, unread, carried = 0, dict[str, int](), dict[str, int]()
        for segment in self.message.segments:
            name = segment.name
            held, further = _held(segment, name, self.message.delimiters.repetition)
            values += len(held) + len(further)
            known = read.get(id(segment), _NONE)
            if left := held - known:
                kinds[name, left] = kinds.get((name, left), 0) + 1
            if further:
                whole = known & repeated.get(name, _NONE)
                _tally(unread, [f"{name}-{number}" for number in further if number not in whole])
            if each:
                _tally(carried, [*_labels(name, held), *(f"{name}-{number}" for number in further)])
        for (name, left), times in kinds.items():
            labels = _labels(name, left)
            if unread.keys().isdisjoint(labels):  # most segments come once, or all with the same fields
                unread |= dict.fromkeys(labels, times)
            else:
                _tally(unread, labels, times)
        return Counted(len(self.message.segments), values, unread, carried)


def _held(segment: Segment, name: str, repetition: str) -> tuple[frozenset[int], list[int]]:
    """Return the numbers of the fields that have a value, and one more for each further repetition that has one."""
    if name == "?":
        return _NAME, []
    fields = segment.fields or segment.split()
    held = frozenset(compress(range(len(fields)), fields)) - _OWN.get(name, _NAME)
    if repetition not in segment.text:
        return held, []
    several = [number for number in held if repetition in fields[number]]
    return held, [number for number in several for _ in list(filter(None, fields[number].split(repetition)))[1:]]


@lru_cache(maxsize=1024)
def _labels(name: str, numbers: frozenset[int]) -> tuple[str, ...]:
    """Return the labels of fields in their order; a sender leaves the same ones empty in most of his messages."""
    return tuple(f"{name}-{number}" if number else name for number in sorted(numbers))


def _tally(counts: dict[str, int], labels: Iterable[str], times: int = 1) -> None:
    for label in labels:
        counts[label] = counts.get(label, 0) + times


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


def _note(
    by_name: Mapping[str, list[Segment]], names: frozenset[str], every: frozenset[str], read: set[Segment]
) -> None:
    """Note which segments of a group were read: the first of a name, or each."""
    for name in names & by_name.keys():
        found = by_name[name]
        read.update(found if name in every else found[:1])


def _note_fields(
    by_name: Mapping[str, list[Segment]], names: Fields, every: Fields, read: dict[int, frozenset[int]]
) -> None:
    """Note which fields of a group's segments were read: of the first of a name, or of each."""
    for name, segments in by_name.items():
        if (fields := names.get(name)) is None:
            continue
        for number, segment in enumerate(segments):
            its = fields & every.get(name, _NONE) if number else fields
            read[id(segment)] = read.get(id(segment), _NONE) | its


@lru_cache(maxsize=1024)
def _fields(labels: frozenset[str]) -> Fields:
    """Return the fields that labels name."""
    found: dict[str, set[int]] = {}
    for label in labels:
        name, _, number = label.partition("-")
        if number:
            found.setdefault(name, set()).add(int(number))
    return {name: frozenset(numbers) for name, numbers in found.items()}


@lru_cache(maxsize=256)
def _names(reads: Reads) -> tuple[frozenset[str], ...]:
    """Return the segments that are read: of the message itself, at all, and each of a name."""
    return tuple(frozenset(label.split("-")[0] for label in labels) for labels in reads[:3])
