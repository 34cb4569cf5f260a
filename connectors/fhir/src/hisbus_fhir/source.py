"""A message as FHIR has it: read from JSON, and held to the models of fhir.resources."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from hisbus import BadMessage, Counted, Raw, Reads, Unread
from hisbus_fhir.bundle import Bundle, Group
from hisbus_fhir.elements import is_resource
from hisbus_fhir.paths import ABOUT, FhirFormat, Hop, Step, read_path

FORMAT = FhirFormat()
TYPES = ("message", "collection", "transaction", "batch")
"""What a bundle must be to be taken: it says what is so, and is no answer, list or document."""
_ADDRESSES = frozenset({"resourceType", "id", "meta"})
"""Names a resource is found by: they say nothing of the patient."""

Place = tuple[Step, ...]
Read = Mapping[tuple[str, ...], Sequence[Sequence[int | None]]]
"""By the names of elements, which of several are read."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON of a body, its numbers as they are written.

    Raises:
        BadMessage: it is none, a name stands twice in one object, or it is no bundle.
    """
    try:
        text = body.decode("utf-8-sig")
        found = json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError):  # from None: the library's words hold what the message says
        raise BadMessage("It is not JSON in UTF-8.", code="not_json") from None
    if not isinstance(found, dict) or found.get("resourceType") != "Bundle":
        raise BadMessage("It is no Bundle.", code="not_a_bundle")
    return found


def _no_number(text: str) -> None:
    raise ValueError  # NaN and Infinity, which JSON does not have


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadMessage("A name stands twice in one object, so one of its values would be lost.", code="name_twice")
    return found


class FhirSource(Bundle):
    """One message."""

    __slots__ = ("authority", "raw", "sender", "type", "withheld")

    def __init__(self, node: dict[str, Any], raw: Raw) -> None:
        super().__init__(node)
        self.raw = raw
        self.type = "Bundle"
        self.withheld = self.authority = self.sender = ""

    @classmethod
    def read(cls, raw: Raw) -> "FhirSource":
        """Read a message.

        Raises:
            BadMessage: it is no bundle of the types that are taken, or breaks the rules of FHIR R4B.
        """
        node = parsed(raw.body)
        if node.get("type") not in TYPES:
            raise BadMessage(f"A bundle's type is one of {', '.join(TYPES)}.", code="bundle_type")
        try:
            get_fhir_model_class("Bundle").model_validate(node)
            for entry in node.get("entry", ()):
                if "resource" in entry:
                    _held_to_a_type(entry["resource"])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise BadMessage("It breaks the rules of FHIR R4B.", code="not_fhir") from None
        return cls(node, raw)

    def groups(self, path: str) -> Sequence[Group]:
        """Return what a path names and repeats."""
        found: Sequence[Group] = FORMAT.groups(path)(self, None)
        return found

    def texts(self, path: str) -> Sequence[str]:
        """Return the values that a path names."""
        return FORMAT.texts(path)(self, None)

    def unread(self, reads: Reads) -> list[Unread]:
        """Return the elements that nobody reads, each as high as nothing in it is read; only their names are told."""
        known = _known(reads)
        found = [Unread("Bundle.entry", _json(one)) for one in self.node.get("entry", ()) if "resource" not in one]
        for resource in self.resources:
            read = known.get(resource.kind, known["*"])
            rest, any_read = _rest(resource.kind, (), resource.node, read)
            found += rest if any_read else [Unread(resource.kind, _json(resource.node))]
        return found

    def count(self, reads: Reads, *, each: bool = False) -> Counted:
        """Return how many plain values there are, and how many nobody reads. Addresses are not counted."""
        known = _known(reads)
        unread, carried = dict[str, int](), dict[str, int]()
        for resource in self.resources:
            read = known.get(resource.kind, known["*"])
            for at in _plain((), resource.node):
                label = ".".join((resource.kind, *(name for name, _ in at)))
                carried[label] = carried.get(label, 0) + 1
                if not _is_read(at, read):
                    unread[label] = unread.get(label, 0) + 1
        if bare := sum("resource" not in one for one in self.node.get("entry", ())):
            carried["Bundle.entry"] = unread["Bundle.entry"] = bare
        return Counted(len(self.resources) + bare, sum(carried.values()), unread, carried if each else {})


def _plain(at: Place, node: Any) -> Iterator[Place]:
    """Yield where plain values stand."""
    if not isinstance(node, dict):
        yield at
        return
    for key, value in node.items():
        if at or key not in _ADDRESSES:
            for number, one in enumerate(value if isinstance(value, list) else [value]):
                yield from _plain((*at, (key, number)), one)


def _held_to_a_type(resource: dict[str, Any]) -> None:
    """Raise ValueError or LookupError where a resource, or one in it, names no type; the library takes it for any."""
    if not is_resource(resource["resourceType"]):
        raise ValueError
    for contained in resource.get("contained", ()):
        _held_to_a_type(contained)


def _rest(name: str, at: Place, node: Any, read: Read) -> tuple[list[Unread], bool]:
    """Return what is not read below an element, and whether anything is."""
    if not isinstance(node, dict):
        return [], _is_read(at, read)
    found: list[Unread] = []
    any_read = False
    for key, value in node.items():
        if not at and key in _ADDRESSES:
            continue
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            below, its = _rest(f"{name}.{key}", (*at, (key, number)), one, read)
            found += below if its else [Unread(f"{name}.{key}", _json(one))]
            any_read = any_read or its
    return found, any_read


def _is_read(at: Place, read: Read) -> bool:
    numbers = [number for _, number in at]
    wanted = read.get(tuple(name for name, _ in at), ())
    return any(all(one in (None, its) for one, its in zip(which, numbers, strict=True)) for which in wanted)


@lru_cache(maxsize=64)
def _known(reads: Reads) -> dict[str, Read]:
    """Return the places of plain values that are read, by the type of their resource; ``*``: of any other."""
    paths = [read_path(label) for label in frozenset().union(*reads)]
    known: dict[str, set[Place]] = {"*": {(*way, ("reference", None)) for ways in ABOUT.values() for way in ways}}
    own = [hop.steps for path in paths for hop in path.hops if hop.own]
    for path in paths:
        for hop, last in _hops(path.hops):
            places = known.setdefault(hop.root, set())
            places.add(hop.steps if last else (*hop.steps, ("reference", None)))
            places |= {(*hop.steps, *steps) for steps in own} if last and hop.steps else set()
    return {root: _by_names(places | known["*"]) for root, places in known.items()}


def _by_names(places: Iterable[Place]) -> Read:
    read: dict[tuple[str, ...], list[list[int | None]]] = {}
    for place in places:
        read.setdefault(tuple(name for name, _ in place), []).append([index for _, index in place])
    return read


def _hops(hops: Sequence[Hop]) -> Iterator[tuple[Hop, bool]]:
    for number, hop in enumerate(hops, 1):
        if not hop.own:
            yield hop, number == len(hops)


def _json(node: Any) -> str:
    return json.dumps(node, ensure_ascii=False, separators=(",", ":"), default=str)
