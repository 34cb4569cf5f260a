"""What a profile is compiled with, and what its paths are read by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from hisbus import Format, Reads
from hisbus_mapping import functions, times
from hisbus_mapping.profile import Profile, told
from hisbus_mapping.run import Run

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Read = Callable[[Any, Run], T]
"""Reads something of a group."""
Place = tuple[str, ...]
"""Where in the profile something stands."""
_REPEATED = frozenset({"texts", "every", "groups"})
"""Kinds of reading that leave out no repetition."""


class Mistake(Exception):
    """The profile says something that cannot be compiled."""

    def __init__(self, place: Place, said: str) -> None:
        self.place = place
        self.said = said
        super().__init__(said)


@dataclass
class Context:
    """What is compiled with: the profile, the format of its paths, and what the configuration says."""

    profile: Profile
    format: Format
    authority: str
    """Whose numbers those are that name no authority."""
    named: bool
    """Whether the configuration says so, and it is not merely the connector's name."""
    zone: ZoneInfo
    package: str
    """Of the connector: functions are taken from it, or are ours."""
    paths: set[str] = field(default_factory=set)
    """The paths that were compiled, as their format calls them: what is read of a message."""
    each_such: set[str] = field(default_factory=set)
    """Those of them that are read of each such part of a group."""
    repeated: set[str] = field(default_factory=set)
    """Those of them of which all repetitions are read."""
    direct: set[str] = field(default_factory=set)
    """Those of them that are read of the message itself, and not of one of its groups."""
    found: "list[Mistake] | None" = None
    """Given, what is wrong with a path, table, function or key is noted here, and compiling goes on."""
    depth: int = 0
    """How many groups are around what is being compiled."""
    read_time: times.Read = field(init=False)
    read_day: Callable[[str], date | None] = field(init=False)
    codes: Mapping[str, Mapping[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.read_time = times.reader(self.profile.dates, self.zone)
            self.read_day = times.day_reader(self.profile.dates)
        except ValueError as error:
            raise Mistake(("dates",), str(error)) from error
        self.codes = {name: table.known for name, table in self.profile.codes.items()}

    def wrong(self, place: Place, said: str, stands_in: T) -> T:
        """Note a mistake, and return what stands in for what cannot be compiled.

        Raises:
            Mistake: nobody asks for all of them.
        """
        if self.found is None:
            raise Mistake(place, said)
        self.found.append(Mistake(place, said))
        return stands_in

    def valid(self, cls: type[M], said: Any, place: Place) -> M:
        """Return what is said as one of the profile's tables.

        Raises:
            Mistake: it is none.
        """
        try:
            return cls.model_validate(said)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise Mistake((*place, *map(str, first["loc"])), told(first)) from error

    def path(self, kind: str, path: str, place: Place) -> Callable[[Any, Any], Any]:
        """Compile a path: ``text``, ``texts``, ``every``, ``groups`` or ``deleted`` of the format."""
        try:
            compiled: Callable[[Any, Any], Any] = getattr(self.format, kind)(path)
        except ValueError as error:
            return self.wrong(place, f"{path!r} is no path: {error}", _nothing)
        self.reads(path, direct=kind != "groups")
        if kind == "every":
            self.each_such.add(self.format.label(path))
        if kind in _REPEATED or self.format.whole(path):
            self.repeated.add(self.format.label(path))
        return compiled

    def several(self, paths: Sequence[str], place: Place) -> Callable[[Any, Any], Sequence[str]]:
        """Compile paths that are read at once."""
        for path in paths:
            self.path("text", path, place)
        return _nothing if self.found else self.format.several(paths)

    def reads(self, path: str, *, direct: bool = True) -> None:
        """Note that a path is read; directly where that is of the message itself, and not of one of its groups."""
        label = self.format.label(path)
        self.paths.add(label)
        if direct and (not self.depth or path[:1] in "^<"):
            self.direct.add(label)

    def noted(self) -> Reads:
        """Return what was read since the last time."""
        noted = (self.direct, self.paths, self.each_such, self.repeated)
        self.direct, self.paths, self.each_such, self.repeated = set(), set(), set(), set()
        return Reads(*map(frozenset, noted))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Compile what is read of a group."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def function(self, name: str, place: Place, reads: Sequence[str] = ()) -> Callable[..., Any]:
        """Load a named function.

        Args:
            name: of module and function.
            place: where the profile names it.
            reads: the paths that it reads.

        Raises:
            Mistake: there is none, or a profile may not name it.
        """
        for path in reads:
            self.path("every", path, place)
        try:
            return functions.load(name, self.package)
        except ValueError as error:
            return self.wrong((*place, "function"), str(error), _nothing)

    def foreign(self) -> None:
        """Note the functions that a profile may not name, also in what is not compiled.

        Raises:
            Mistake: nobody asks for all of them.
        """
        for place, name in functions.named(self.profile):
            if not functions.allowed(name.partition(":")[0], self.package):
                self.function(name, place[:-1])

    def table(self, name: str, place: Place) -> Mapping[str, str]:
        """Return a table of codes."""
        if name not in self.codes:
            known = ", ".join(sorted(self.codes))
            return self.wrong((*place, "table"), f"there is no [codes.{name}]. Known: {known}", {})
        return self.codes[name]


def _nothing(*_: Any) -> Any:
    """Stand in for what cannot be compiled: what is compiled with mistakes is never called."""
