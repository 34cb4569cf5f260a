"""A bundle and what is in it: resources, their elements, and references among them. It knows no meaning."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


class Group:
    """A resource, an element of one, or the bundle."""

    __slots__ = ("at", "bundle", "kind", "node", "whole")

    def __init__(self, bundle: "Bundle", kind: str, node: Any, at: tuple[str, ...] = (), whole: "Group | None" = None):
        self.bundle = bundle
        self.kind = kind
        """The type of the resource."""
        self.node = node
        """As JSON has it."""
        self.at = at
        """The elements from the resource to this one."""
        self.whole: Group = whole or self
        """The resource."""

    @property
    def parts(self) -> "Sequence[Group]":
        """What it consists of: itself."""
        return (self,)

    def children(self, name: str, index: int | None = None) -> "list[Group]":
        """Return the elements of a name, or one of them, counted from 0."""
        value = self.node.get(name) if isinstance(self.node, dict) else None
        if value is None:
            return []
        values = value if isinstance(value, list) else [value]
        picked = values if index is None else values[index : index + 1]
        return [Group(self.bundle, self.kind, one, (*self.at, name), self.whole) for one in picked if one is not None]

    def text(self) -> str:
        """Return a plain value as text; of an element with elements in it there is none."""
        node = self.node
        if isinstance(node, bool):
            return "true" if node else "false"
        return str(node).strip() if isinstance(node, (str, int, Decimal)) else ""

    def referred(self) -> "Group | None":
        """Return the resource of the bundle that a reference names."""
        written = self.node.get("reference") if isinstance(self.node, dict) else None
        return self.bundle.resource(written, self.whole) if isinstance(written, str) else None


class Joined(Group):
    """Several groups as one."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Group]) -> None:
        first = parts[0]
        super().__init__(first.bundle, first.kind, first.node, first.at, first.whole)
        self._parts = tuple(parts)

    @property
    def parts(self) -> Sequence[Group]:
        """What it consists of."""
        return self._parts


class Bundle(Group):
    """The group of all its resources."""

    __slots__ = ("_known", "flags", "resources")

    def __init__(self, node: Mapping[str, Any]) -> None:
        super().__init__(self, "Bundle", node)
        self.flags: list[str] = []
        """Reservations about how it was read."""
        self.resources: list[Group] = []
        self._known: dict[str, Group] = {}
        for entry in node.get("entry", ()):
            self._take(entry)

    def _take(self, entry: Mapping[str, Any]) -> None:
        held = entry.get("resource")
        if not isinstance(held, dict):
            return
        resource = Group(self, str(held["resourceType"]), held)
        self.resources.append(resource)
        named = {entry.get("fullUrl"), f"{resource.kind}/{held['id']}" if "id" in held else None} - {None}
        for name in named:
            if name in self._known and self._known[name].node is not held and "resource_twice" not in self.flags:
                self.flags.append("resource_twice")  # which of them a reference means cannot be told
            self._known.setdefault(str(name), resource)

    def resource(self, reference: str, within: Group) -> Group | None:
        """Return what a reference names: in the resource that refers, by full URL, or by type and id."""
        if reference.startswith("#"):
            contained = within.node.get("contained", ())
            held = next((one for one in contained if one.get("id") == reference[1:]), None)
            return Group(self, str(held["resourceType"]), held) if held is not None else None
        return self._known.get(reference.partition("/_history/")[0])
