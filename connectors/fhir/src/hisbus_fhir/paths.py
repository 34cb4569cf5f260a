"""The paths of FHIR, as profiles write them.

``Observation.code.coding[0].code`` is written from the resource on, also in a group: in the group
``Observation.component``, what begins with ``Observation.component`` is that component's own and ``Observation.status``
its resource's. Of a bundle it is that of each Observation. Besides:

- ``*.subject`` is of whichever resource has it; ``Identifier.value``, with a type of data, is the group's own;
- ``Observation.subject>Patient.birthDate`` follows a reference, within the bundle;
- ``<Patient.birthDate`` and ``<Encounter.status`` are of the patient and the stay that a resource is about: itself, or
  the one that its ``subject``, ``encounter`` or ``context.encounter`` names;
- ``^Bundle.timestamp``, ``^Encounter`` are read of the whole bundle.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from hisbus_fhir.bundle import Group, Joined
from hisbus_fhir.elements import SUBJECTS, elements, is_resource

ABOUT = {
    "Patient": ((("subject", None),), (("patient", None),)),
    "Encounter": ((("encounter", None),), (("context", None), ("encounter", None))),
}
"""Where a resource names the patient and the stay that it is about."""

_PATH = re.compile(
    r"([<^]?)((?:\*|[A-Z]\w*)(?:\.[a-z]\w*(?:\[\d{1,3}\])?)*(?:>[A-Z]\w*(?:\.[a-z]\w*(?:\[\d{1,3}\])?)*)*)"
)
_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")

Step = tuple[str, int | None]
"""An element, and which of several; None: each."""


class Hop(NamedTuple):
    """A part of a path within one resource."""

    root: str
    steps: tuple[Step, ...]
    own: bool
    """Its root is a type of data: it is read of the group itself."""


class Path(NamedTuple):
    """A path, taken apart."""

    before: str
    """``^``: of the whole bundle; ``<``: of what the resource is about."""
    hops: tuple[Hop, ...]


@cache
def read_path(path: str) -> Path:
    """Take a path apart.

    Raises:
        ValueError: it is none, or FHIR R4B has no such resource or element.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("write it like Observation.code.coding[0].code, from a resource or a type of data on")
    hops = tuple(_hop(one) for one in match[2].split(">"))
    if match[1] == "<" and hops[0].root not in ABOUT:
        raise ValueError(f"< goes to what a resource is about: {' or '.join(ABOUT)}")
    if any(hop.own for hop in (hops if match[1] else hops[1:])):
        raise ValueError("a resource belongs behind > and ^")
    for hop in hops[:-1]:
        if (kind := _kind(hop)) != "Reference":
            raise ValueError(f"> follows a reference, and this is {f'a {kind}' if kind else 'a plain value'}")
    _kind(hops[-1])
    return Path(match[1], hops)


def ends_in(path: str) -> str:
    """Return the type of what a path names; empty: a plain value.

    Raises:
        ValueError: it is none.
    """
    return _kind(read_path(path).hops[-1])


def _hop(text: str) -> Hop:
    root, *names = text.split(".")
    steps = tuple((match[1], int(match[2]) if match[2] else None) for match in map(_STEP.fullmatch, names) if match)
    return Hop(root, steps, root != "*" and not is_resource(root))


def _kind(hop: Hop) -> str:
    """Return the type of what a hop ends at. Raises ValueError where there is no such element."""
    wrong = ""
    for root in SUBJECTS if hop.root == "*" else (hop.root,):
        try:
            return _walked(root, hop.steps)
        except ValueError as error:
            wrong = str(error)
    raise ValueError(f"no resource has it: {wrong}" if hop.root == "*" else wrong)


def _walked(type: str, steps: Sequence[Step]) -> str:
    for name, _ in steps:
        known = elements(type) if type and type != "Resource" else {}
        if name not in known:
            raise ValueError(f"{type or 'a plain value'} has no element {name}. It has {', '.join(known) or 'none'}")
        type = known[name]
    return type


class FhirFormat:
    """How paths of FHIR are read."""

    def text(self, path: str) -> Callable[[Any, Any], str]:
        """Return what reads the first value of a path that is not empty."""
        find = _values(path)
        return lambda group, _run: next((text for one in find(group) if (text := one.text())), "")

    def together_at(self, path: str) -> str:
        """Return that each path is read alone."""
        return ""

    def several(self, paths: Sequence[str]) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the first values of paths."""
        readers = [self.text(path) for path in paths]
        return lambda group, run: [read(group, run) for read in readers]

    def texts(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path."""
        find = _values(path)
        return lambda group, _run: [text for one in find(group) if (text := one.text())]

    def every(self, path: str) -> Callable[[Any, Any], Sequence[str]]:
        """Return what reads the values of a path."""
        return self.texts(path)

    def groups(self, path: str) -> Callable[[Any, Any], Sequence[Any]]:
        """Return what finds the resources, or the elements with elements in them, that a path names."""
        if not ends_in(path):
            raise ValueError("it names a plain value, and groups are resources or elements with elements in them")
        find = _finder(read_path(path))
        return lambda group, _run: find(group)

    def deleted(self, path: str) -> Callable[[Any, Any], bool]:
        """Return that nothing is emptied: what a resource leaves out says nothing."""
        return lambda _group, _run: False

    def leaves(self, field: str, text: str) -> None:
        """Refuse every field: nothing is written back through this connector yet."""
        raise ValueError("nothing is written back through this connector")

    def take(self, group: Any) -> None:
        """Note nothing: what was read is known by the paths."""

    def together(self, groups: Sequence[Any]) -> Group:
        """Return one group that holds several."""
        return Joined(groups)

    def whole(self, path: str) -> bool:
        """Return that each value is read alone."""
        return False

    def within(self, at: str, path: str) -> str:
        """Return the path of an element; ``.>Patient.id`` follows the reference that stands there."""
        return f"{at}{path}".replace(".>", ">")

    def label(self, path: str) -> str:
        """Return the path without where it is read."""
        return path.lstrip("^<")


def _values(path: str) -> Callable[[Group], list[Group]]:
    kind = ends_in(path)
    if kind:
        raise ValueError(f"it names a {kind}, and no value in it; it has {', '.join(elements(kind))}")
    return _finder(read_path(path))


def _finder(path: Path) -> Callable[[Group], list[Group]]:
    first, *rest = path.hops
    around, about = path.before == "^", ABOUT[first.root] if path.before == "<" else None

    def find(group: Group) -> list[Group]:
        begin = group.bundle if around else group
        found = [one for part in begin.parts for one in (_about(part, first, about) if about else _first(part, first))]
        for hop in rest:
            named = [target for one in found if (target := one.referred()) is not None and target.kind == hop.root]
            found = [one for target in named for one in _walk(target, hop.steps)]
        return found

    return find


def _first(group: Group, hop: Hop) -> list[Group]:
    if hop.own:
        return _walk(group, hop.steps)
    if group is group.bundle and hop.root != "Bundle":
        resources = group.bundle.resources
        return [one for each in resources if hop.root in ("*", each.kind) for one in _walk(each, hop.steps)]
    if hop.root not in ("*", group.kind):
        return []
    depth = len(group.at)
    if tuple(name for name, _ in hop.steps[:depth]) == group.at:
        return _walk(group, hop.steps[depth:])
    return _walk(group.whole, hop.steps)


def _about(group: Group, hop: Hop, ways: Sequence[Sequence[Step]]) -> list[Group]:
    whole = group.bundle.resources if group is group.bundle else [group.whole]
    found: dict[int, Group] = {}
    for resource in whole:
        named = [one.referred() for way in ways for one in _walk(resource, way)]
        for one in [resource, *named]:
            if one is not None and one.kind == hop.root:
                found[id(one.node)] = one
                break
    return [one for each in found.values() for one in _walk(each, hop.steps)]


def _walk(group: Group, steps: Sequence[Step]) -> list[Group]:
    found = [group]
    for name, index in steps:
        found = [one for each in found for one in each.children(name, index)]
    return found
