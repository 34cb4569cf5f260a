"""The groups of a message: what belongs together in it, by the grammar of its type."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hisbus_hl7v2.message import Message, Segment


class Group:
    """Segments that belong together, with the groups among them."""

    __slots__ = ("by_name", "children", "message", "name", "parent", "segments")

    def __init__(self, message: Message, name: str, parent: "Group | None", segments: Sequence[Segment] = ()) -> None:
        self.message = message
        self.name = name
        self.parent = parent
        self.segments = list(segments)
        """Its own, in their order; those of the groups in it are theirs."""
        self.children: list[Group] = []
        self.by_name: dict[str, list[Segment]] | None = None

    def all(self, name: str) -> list[Segment]:
        """Return its own segments of a name."""
        return (self.by_name or self.named_segments()).get(name, [])

    def named_segments(self) -> dict[str, list[Segment]]:
        """Return its own segments by name; once a group is whole."""
        self.by_name = by_name = dict[str, list[Segment]]()
        for segment in self.segments:
            by_name.setdefault(segment.text[:3], []).append(segment)
        return by_name

    def first(self, name: str) -> Segment | None:
        """Return its first segment of a name."""
        found = self.all(name)
        return found[0] if found else None

    def enclosing(self, name: str) -> Segment | None:
        """Return the first segment of a name of the nearest group around it that has one; a message's own."""
        group = self.parent or self
        while (found := group.first(name)) is None and group.parent is not None:
            group = group.parent
        return found

    def nearest(self, name: str) -> Segment | None:
        """Return its own first segment of a name, else the nearest that stands before it in the message."""
        own = self.first(name)
        if own is not None:
            return own
        first = self.deep()[:1]
        found = None
        for segment in self.message.all(name):
            if first and not self.message.before(segment, first[0]):
                break
            found = segment
        return found

    def deep(self) -> list[Segment]:
        """Return its own segments and those of the groups in it."""
        if not self.children:
            return self.segments
        found = list(self.segments)
        for group in self.children:
            found += group.deep()
        return sorted(found, key=self.message.place)

    def named(self, name: str) -> "list[Group]":
        """Return the groups of a name in it, however deep."""
        found = []
        for group in self.children:
            found += [group] if group.name == name else group.named(name)
        return found


class Repetition:
    """One repetition of a field; its paths begin at the component."""

    __slots__ = ("components", "message", "parent", "text")

    def __init__(self, message: Message, parent: Group, text: str) -> None:
        self.message = message
        self.parent = parent
        self.text = text
        self.components = text.split(message.delimiters.component)


@dataclass(frozen=True)
class Rule:
    """A group of the grammar."""

    name: str
    begins: frozenset[str]
    holds: frozenset[str]
    once: frozenset[str]
    carries: frozenset[str]
    """What stands once above several such groups, and is part of each."""
    marker: str
    aside: frozenset[str]
    """What the group holds itself as long as a ``marker`` is still to come."""
    groups: "tuple[Rule, ...]"


@cache
def grammar() -> Mapping[str, tuple[Rule, ...]]:
    """Return the groups of each type of message that has some, as ``grammar.toml`` says."""
    table = tomllib.loads(Path(__file__).with_name("grammar.toml").read_text(encoding="utf-8"))
    rules: dict[str, tuple[Rule, ...]] = {}
    for one in table["message"]:
        rules |= dict.fromkeys(one["types"], _rules(table, one["groups"]))
    return rules


@cache
def grammar_hash() -> str:
    """Return what changes with the grammar: a part of what messages mean."""
    return hashlib.sha256(Path(__file__).with_name("grammar.toml").read_bytes()).hexdigest()[:16]


@cache
def names() -> frozenset[str]:
    """Return the names of all groups."""
    table = tomllib.loads(Path(__file__).with_name("grammar.toml").read_text(encoding="utf-8"))
    return frozenset(table["group"])


def _rules(table: Mapping[str, Any], names: Sequence[str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            name.split(".")[0],
            frozenset(said["begins"]),
            frozenset(said.get("holds", ())),
            frozenset(said.get("once", ())),
            frozenset(said.get("carries", ())),
            said.get("before", {}).get("marker", ""),
            frozenset(said.get("before", {}).get("holds", ())),
            _rules(table, said.get("groups", ())),
        )
        for name in names
        for said in (table["group"][name],)
    )


def arrange(root: Group, type: str) -> None:
    """Give a message's segments to its groups; of a type without grammar all are its own."""
    message = root.message
    rules = grammar().get(type)
    if rules is None:
        root.segments = message.segments
        root.by_name = message.by_name
        return
    stack: list[tuple[Group, Rule | None]] = [(root, None)]
    for at, segment in enumerate(message.segments):
        name = segment.text[:3]
        for depth in range(len(stack) - 1, -1, -1):
            group, rule = stack[depth]
            within = rules if rule is None else rule.groups
            if rule is not None and (_takes(rule, group, name) or _aside(stack, depth, at)):
                del stack[depth + 1 :]
                group.segments.append(segment)
                break
            begun = next((one for one in within if name in one.begins), None)
            if begun is not None:
                del stack[depth + 1 :]
                carried = [] if name in begun.carries else _carried(begun, group)
                new = Group(message, begun.name, group, [*carried, segment])
                group.children.append(new)
                stack.append((new, begun))
                break
        else:
            root.segments.append(segment)


def _aside(stack: Sequence[tuple[Group, Rule | None]], depth: int, at: int) -> bool:
    """Tell whether a segment is of the group itself, since the marker is still to come before another group begins."""
    group, rule = stack[depth]
    segments = group.message.segments
    if rule is None or segments[at].text[:3] not in rule.aside:
        return False
    begins = {name for _, one in stack[: depth + 1] if one is not None for name in one.begins}
    rest = (one.text[:3] for one in segments[at:])
    return next((name for name in rest if name == rule.marker or name in begins), "") == rule.marker


def _takes(rule: Rule, group: Group, name: str) -> bool:
    if name in rule.once:
        return all(segment.text[:3] != name for segment in group.segments)
    return name in rule.holds


def _carried(rule: Rule, within: Group) -> list[Segment]:
    before = next((one for one in reversed(within.children) if one.name == rule.name), None)
    return [segment for segment in before.segments if segment.text[:3] in rule.carries] if before is not None else []
