"""A message as HL7 v2 has it, by paths: segments, repetitions, components. It knows no meaning."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hisbus import Raw
from hisbus_hl7v2.message import Message, Segment


class Path(NamedTuple):
    """``^PID-3.4.1``: the segment's name, field, component, subcomponent; 0: the whole of it."""

    before: bool
    """Whether it is the nearest segment of this name before the group's own."""
    segment: str
    field: int
    component: int
    sub: int


@lru_cache(maxsize=512)
def read_path(path: str) -> Path:
    """Read a path that names a segment.

    Raises:
        ValueError: it is none.
    """
    name, _, rest = path.removeprefix("^").partition("-")
    field, component, sub = _numbers(rest, 3)
    return Path(path.startswith("^"), name, field, component, sub)


@lru_cache(maxsize=512)
def _numbers(path: str, count: int) -> list[int]:
    numbers = [int(part) for part in path.split(".")] if path else []
    if len(numbers) > count:
        raise ValueError(f"{path} has more than {count} parts")
    return numbers + [0] * (count - len(numbers))


class Context(NamedTuple):
    """What the configuration says of a connector's messages."""

    connector: str
    zone: ZoneInfo
    consults: frozenset[str]


class Hl7Source:
    """One message. Paths name the first of several segments; ``groups`` of a segment's name gives each."""

    __slots__ = ("_left", "_taken", "context", "flags", "message", "raw")

    def __init__(self, message: Message, raw: Raw, context: Context) -> None:
        self.message = message
        self.raw = raw
        self.context = context
        self.flags = message.flags
        self._taken: set[str] = {"MSH"}
        self._left: Sequence[Segment] = ()

    def groups(self, path: str) -> Sequence["OneSegment | Repetition"]:
        """Return each segment of a name, or each repetition of a field."""
        at = read_path(path)
        self._taken.add(at.segment)
        segments = self.message.all(at.segment)
        if not at.field:
            return [OneSegment(self, segment) for segment in segments]
        return repetitions(self.message, segments[:1], at.field)

    def texts(self, path: str) -> list[str]:
        """Return the values of a component, one for each repetition of the field."""
        at = read_path(path)
        self._taken.add(at.segment)
        found = repetitions(self.message, self.message.all(at.segment)[:1], at.field)
        return [one.value(at.component, at.sub) for one in found]

    def unread(self) -> list[str]:
        """Return the names of the segments that nobody has read; ``?`` where one does not begin like a segment."""
        return list(dict.fromkeys([segment.name for segment in self.rest()]))

    def take(self, names: frozenset[str], left: Sequence[Segment]) -> None:
        """Note that somebody has read all segments of these names but those that are left."""
        self._taken |= names
        self._left = left

    def rest(self) -> list[Segment]:
        """Return the segments that nobody has read."""
        taken, left = self._taken, self._left
        return [segment for segment in self.message.segments if segment.text[:3] not in taken or segment in left]


class OneSegment:
    """A group that begins at one segment."""

    __slots__ = ("_segment", "_source", "flags")

    def __init__(self, source: Hl7Source, segment: Segment) -> None:
        self._source = source
        self._segment = segment
        self.flags = source.flags

    def groups(self, path: str) -> Sequence["Repetition"]:
        """Return each repetition of a field of this segment, or of the nearest before it."""
        at = read_path(path)
        return repetitions(self._source.message, self._found(at), at.field)

    def texts(self, path: str) -> list[str]:
        """Return the values of a component, one for each repetition of the field."""
        at = read_path(path)
        found = repetitions(self._source.message, self._found(at), at.field)
        return [one.value(at.component, at.sub) for one in found]

    def unread(self) -> list[str]:
        """Return nothing: the message says what nobody has read."""
        return []

    def _found(self, at: Path) -> list[Segment]:
        if not at.before:
            return [self._segment] if self._segment.text[:3] == at.segment else []
        self._source.take(frozenset({at.segment}), ())
        segments = self._source.message.segments
        before = segments[: segments.index(self._segment)]
        return [segment for segment in before if segment.text[:3] == at.segment][-1:]


class Repetition:
    """A group that is one repetition of a field; its paths begin at the component."""

    __slots__ = ("_message", "_text", "flags")

    def __init__(self, message: Message, text: str) -> None:
        self._message = message
        self._text = text
        self.flags = message.flags

    def groups(self, path: str) -> Sequence["Repetition"]:
        """Return nothing: what is within a repetition does not repeat."""
        return []

    def texts(self, path: str) -> list[str]:
        """Return the value of a component."""
        component, sub = _numbers(path, 2)
        return [self.value(component, sub)]

    def value(self, component: int, sub: int) -> str:
        """Return one decoded part; empty where it is empty or null."""
        return self._message.part(self._text, component or 1, sub or 1)

    def unread(self) -> list[str]:
        """Return nothing: the message says what nobody has read."""
        return []


def repetitions(message: Message, segments: Sequence[Segment], field: int) -> list[Repetition]:
    """Return each repetition of a field of these segments."""
    return [Repetition(message, text) for segment in segments for text in segment.repetitions(field)]
