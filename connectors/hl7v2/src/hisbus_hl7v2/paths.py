"""Paths of HL7 v2, each compiled once: ``PID-3``, ``PID-5.1``, ``OBX-5.*``, ``^OBR-3``, ``<ORC-2``, ``report``.

``PID-5.2.1`` is a segment, its field, component and subcomponent; without the last, the component is one text, ``&``
and all; ``*`` is the whole field as text. ``^`` reads the group around, ``<`` the nearest such segment before. A number
alone, ``4.2``, is a component of one repetition. Groups are named by the grammar in small letters, or by a segment:
each such segment is one.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hisbus_hl7v2.groups import Group, Repetition, names
from hisbus_hl7v2.leaving import leaves
from hisbus_hl7v2.message import Message, Segment

_PATH = re.compile(r"([\^<]?)([A-Z][A-Z0-9]{2})(?:-([1-9][0-9]?)(?:\.([1-9][0-9]?|\*)(?:\.([1-9][0-9]?))?)?)?")
_COMPONENT = re.compile(r"([1-9][0-9]?)(?:\.([1-9][0-9]?))?")

Found = Callable[[Any], Segment | None]


class At(NamedTuple):
    """A path, read."""

    before: str
    segment: str
    field: int
    component: int
    sub: int
    whole: bool


def read_path(path: str) -> At:
    """Read a path that names a segment.

    Raises:
        ValueError: it is none.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("write it like PID-3, PID-5.1, OBX-5.*, ^OBR-3 or <ORC-2")
    before, segment, field, component, sub = match.groups()
    whole = component == "*"
    return At(before, segment, int(field or 0), 1 if whole or not component else int(component), int(sub or 0), whole)


class Hl7Format:
    """How paths of HL7 v2 are read."""

    def text(self, path: str) -> Callable[[Any, Any], str]:
        """Return what reads the first repetition's value that is not empty."""
        if match := _COMPONENT.fullmatch(path):
            component, sub = int(match[1]), int(match[2] or 0)
            return _component(component - 1, sub)
        at = _field(path)
        find, field, component, sub = _finder(at), at.field, at.component, at.sub
        if at.whole:

            def whole(group: Any, _run: Any) -> str:
                segment = find(group)
                return _whole(group, segment.raw(field)) if segment is not None else ""

            return whole

        if not at.before:
            return _own_text(at)

        def text(group: Any, _run: Any) -> str:
            segment = find(group)
            return _part(segment, field, component, sub) if segment is not None else ""

        return text

    def together_at(self, path: str) -> str:
        """Return the segment of a group's own of which a path is a part."""
        match = _PATH.fullmatch(path)
        return "" if match is None or match[1] or match[4] == "*" or not match[3] else str(match[2])

    def several(self, paths: Sequence[str]) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads parts of one segment; those of one field of its first repetition that is not empty."""
        return _several([_field(path) for path in paths])

    def texts(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads each repetition's value of the first such segment."""
        if _COMPONENT.fullmatch(path):
            one = self.text(path)
            return lambda group, _run: [text] if (text := one(group, None)) else []
        at = _field(path)
        find = _finder(at)
        return lambda group, _run: _values(group, at, [find(group)])

    def every(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads each repetition's value of each such segment of the group."""
        at = _field(path)
        return lambda group, _run: _values(group, at, _all(group, at.segment))

    def groups(self, path: str) -> Callable[[Any, Any], Sequence[Any]]:
        """Return what finds each group of a name, each segment of a name, or each repetition of a field."""
        if path.islower():
            around, name = path[:1] == "^", path.removeprefix("^")
            if name not in names():
                raise ValueError(f"the groups are {', '.join(sorted(name for name in names() if '.' not in name))}")
            return lambda group, _run: (group.parent if around and group.parent else group).named(name)
        at = read_path(path)
        if not at.field:
            name = at.segment
            return lambda group, _run: _segments(group, name)
        find, field, before = _finder(at), at.field, at.before

        def repetitions(group: Any, run: Any) -> list[Repetition]:
            known: list[Repetition] | None = run.kept.get((group, path)) if run is not None and not before else None
            if known is None:
                segment = find(group)
                texts = segment.repetitions(field) if segment is not None else ()
                known = [Repetition(group.message, group, text) for text in texts]
                if run is not None:
                    run.kept[group, path] = known
            return known

        return repetitions

    def deleted(self, path: str) -> Callable[[Any, Any], bool]:
        """Return what tells whether a field is the null of HL7."""
        if path == "*":
            return lambda group, _run: group.message.nulls
        if _COMPONENT.fullmatch(path):
            return lambda _group, _run: False
        at = read_path(path)
        find, field = _finder(at), at.field

        def deleted(group: Any, _run: Any) -> bool:
            segment = find(group)
            return segment is not None and '""' in segment.text and segment.is_null(field)

        return deleted

    def leaves(self, field: str, text: str) -> None:
        """Check what a profile says of a field of write-backs."""
        leaves(field, text)

    def take(self, group: Any) -> None:
        """Note that a group was read."""
        if isinstance(group, Group):
            group.message.taken.append(group.by_name or group.named_segments())

    def together(self, groups: Sequence[Any]) -> Group:
        """Return one group with the segments of several."""
        first = groups[0]
        return Group(first.message, first.name, first.parent, [one for group in groups for one in group.segments])

    def whole(self, path: str) -> bool:
        """Tell whether it is the whole field as text."""
        return path.endswith(".*")

    def within(self, at: str, path: str) -> str:
        """Return the path of a component of a field."""
        return at + path

    def label(self, path: str) -> str:
        """Return segment and field."""
        match = _PATH.fullmatch(path)
        if match is None:
            return path
        return f"{match[2]}-{match[3]}" if match[3] else match[2]


def _field(path: str) -> At:
    at = read_path(path)
    if not at.field:
        raise ValueError("it names a segment and no field")
    return at


def _finder(at: At) -> Found:
    name = at.segment
    if at.before == "^":
        return lambda group: group.enclosing(name) if isinstance(group, Group) else group.parent.first(name)
    if at.before == "<":
        return lambda group: group.nearest(name) if isinstance(group, Group) else group.parent.nearest(name)
    return lambda group: group.first(name)


def _own_text(at: At) -> Callable[[Any, Any], str]:
    """Return what reads a part of a group's own segment. It is called fifty times a message, so it calls little."""
    _, name, field, component, sub, _ = at
    plain = component == 1 and sub <= 1

    def text(group: Any, _run: Any) -> str:
        found = (group.by_name or group.named_segments()).get(name)
        if not found:
            return ""
        segment: Segment = found[0]
        fields = segment.fields or segment.split()
        raw = fields[field] if field < len(fields) else ""
        if not raw or raw.isalnum():  # no delimiter is alphanumeric: the commonest value has one part
            return raw if plain else ""
        return segment.part(raw, component, sub)

    return text


def _component(at: int, sub: int) -> Callable[[Any, Any], str]:
    def component(group: Any, _run: Any) -> str:
        components = group.components
        if at >= len(components):
            return ""
        text: str = components[at]
        return text if text.isalnum() and sub <= 1 else group.message.value(text, sub)

    return component


def _several(wanted: Sequence[At]) -> Callable[[Any, Any], Sequence[str]]:
    """Write the function that reads parts of a segment, field by field."""
    lines = []
    for field in dict.fromkeys(at.field for at in wanted):
        parts = [(n, at) for n, at in enumerate(wanted) if at.field == field]
        names = ", ".join(f"t{n}" for n, _ in parts)
        lines.append(f"raw = fields[{field}] if last > {field} else ''")
        (_, one), *more = parts
        if more:
            places = tuple((at.component - 1, at.sub) for _, at in parts)
            lines.append(f"{names} = segment.parts(raw, {places}) if raw else {('',) * len(parts)}")
        elif one.component == 1 and one.sub <= 1:  # no delimiter is alphanumeric: the commonest value has one part
            lines.append(f"{names} = raw if not raw or raw.isalnum() else segment.part(raw, 1, {one.sub})")
        else:
            alone = f"segment.part(raw, {one.component}, {one.sub})"
            lines.append(f"{names} = {alone} if raw and not raw.isalnum() else ''")
    every = ", ".join(f"t{n}" for n in range(len(wanted)))
    body = "\n    ".join([*_HEAD, *lines, f"return {every},"])
    said: dict[str, Any] = {"name": wanted[0].segment, "nothing": ("",) * len(wanted)}
    exec(f"def several(group, _run):\n    {body}\n", said)  # noqa: S102 - of numbers only
    several: Callable[[Any, Any], Sequence[str]] = said["several"]
    return several


_HEAD = (
    "found = (group.by_name or group.named_segments()).get(name)",
    "if not found: return nothing",
    "segment = found[0]",
    "fields = segment.fields or segment.split()",
    "last = len(fields)",
)


def _part(segment: Segment, field: int, component: int, sub: int) -> str:
    raw = segment.raw(field)
    return segment.part(raw, component, sub) if raw else ""


def _alone(message: Message, name: str, parent: Group, segment: Segment) -> Group:
    group = Group(message, name, parent, [segment])
    group.by_name = {name: group.segments}
    return group


def _segments(group: Group, name: str) -> list[Group]:
    """Return each segment of a name as a group, however deep it stands."""
    message = group.message
    if group.name == name and len(group.segments) == 1:
        return [group]
    if not group.children:
        return [_alone(message, name, group, one) for one in group.all(name)]
    return [Group(message, name, group, [one]) for one in group.deep() if one.text[:3] == name]


def _all(group: Group, name: str) -> list[Segment]:
    return group.all(name)


def _values(group: Any, at: At, segments: Sequence[Segment | None]) -> list[str]:
    message = group.message
    found: list[str] = []
    for segment in segments:
        if segment is None:
            continue
        repetitions = segment.repetitions(at.field)
        if at.whole:  # of a text, an empty line is one
            found += [message.decoded(one) for one in repetitions] or [""]
        else:
            found += filter(None, [message.part(one, at.component, at.sub) for one in repetitions])
    return found


def _whole(group: Any, raw: str) -> str:
    text: str = group.message.decoded(raw)
    return "" if raw == '""' else text.strip()
