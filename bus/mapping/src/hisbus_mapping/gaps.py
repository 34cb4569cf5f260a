"""Where a profile has gaps: what of the event contract it does not say or never found, what of its source it leaves."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from hisbus import Translation
from hisbus_mapping.compile import BODIES
from hisbus_mapping.profile import Profile
from hisbus_schemas import Demographics, Fact, Stay

State = Literal["mapped", "constant", "missing", "never seen"]
"""Of a field of the event contract: a path says it and some message carried it; the profile says it itself, or when; no
rule says it; a path says it and no message carried it."""

_PLAIN = frozenset({"value", "with", "table", "otherwise", "item", "flag", "is", "in", "starts", "types", "present"})
"""Keys of a value or a condition that hold no path."""
_BODIES = {name: cls for name, cls in BODIES.items() if name != "due"}
_SUBJECT: Mapping[str, type[BaseModel]] = {"demographics": Demographics, "stay": Stay}


class Contract(NamedTuple):
    """A field of the event contract, as a profile says it."""

    name: str
    """``stay.admitted``, ``report.readings.unit``; the body alone where no section makes one."""
    state: State
    times: int
    """Entries that carry it."""
    of: int
    """Entries that could."""


class Left(NamedTuple):
    """A place of the source, and what becomes of its values."""

    place: str
    """As its format calls it: ``OBX-17``."""
    messages: int
    """That have a value there."""
    values: int
    unread: int
    """Values that nobody reads."""


class Gaps:
    """What a profile says, beside what its messages carry."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.messages = 0
        self.authorities: Counter[str] = Counter()
        """Facts by who gave their visit's number."""
        self._values: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._holding: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._of: Counter[str] = Counter()

    def add(self, translation: Translation) -> None:
        """Take a message into account."""
        counted = translation.count(each=True)
        self.messages += 1
        self._values.update(counted.carried)
        self._unread.update(counted.unread)
        self._holding.update(counted.carried.keys())
        for fact in translation.facts:
            self._of[""] += 1
            self._seen.update(name for name in ("time", "patient", "visit") if getattr(fact, name) is not None)
            if fact.visit is not None:
                self.authorities[fact.visit.authority] += 1
            for name, model in _carried(fact):
                self._count(name, model)

    def source(self) -> list[Left]:
        """Return every place that carried a value, those that are left first, then what most messages have."""
        places = [Left(one, self._holding[one], times, self._unread[one]) for one, times in self._values.items()]
        return sorted(places, key=lambda one: (not one.unread, -one.messages, one.place))

    def contract(self) -> list[Contract]:
        """Return every field of the event contract that a profile can say, in its order."""
        found = [self._field(name, "mapped", "") for name in ("time", "patient", "visit")]
        subject = self._profile.subject
        for name, cls in _SUBJECT.items():
            said = getattr(subject, name) if subject is not None else {}
            found += self._fields(name, cls, [said])
        sections = [one for one in self._profile.facts.values() if one.emit and not one.off]
        for body, cls in _BODIES.items():
            said = [one.data for one in sections if one.data.get("body") == body]
            if said or self._profile.function:
                found += self._fields(body, cls, said)
            else:
                found.append(Contract(body, "missing", self._of[body], self._of[body]))
        return found

    def _count(self, name: str, model: BaseModel) -> None:
        self._of[name] += 1
        for field, value in model:
            if not _is_told(type(model), field) or not _says(value, type(model).model_fields[field].default):
                continue
            self._seen[f"{name}.{field}"] += 1
            for one in value if isinstance(value, list) else ():
                if isinstance(one, BaseModel):
                    self._count(f"{name}.{field}", one)

    def _fields(self, name: str, cls: type[BaseModel], said: Sequence[Any]) -> Iterator[Contract]:
        tables = [table for one in said for table in self._tables(one)]
        for field, one in cls.model_fields.items():
            if not _is_told(cls, field):
                continue
            its = [table[field] for table in tables if field in table]
            state: State = "missing"
            if its or self._profile.function:
                state = "mapped" if self._profile.function or any(map(_reads, its)) else "constant"
            yield self._field(f"{name}.{field}", state, name)
            entry = _entry(one.annotation)
            if entry is not None and state != "missing":
                yield from self._fields(f"{name}.{field}", entry, its)

    def _field(self, name: str, state: State, of: str) -> Contract:
        times = self._seen[name]
        return Contract(name, "never seen" if state == "mapped" and not times else state, times, self._of[of])

    def _tables(self, said: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the tables of a value that is one or several, with what their shapes stand for."""
        for one in said if isinstance(said, (list, tuple)) else [said]:
            if isinstance(one, Mapping):
                yield {**self._profile.shapes.get(str(one.get("shape", "")), {}), **one}


def _carried(fact: Fact) -> Iterator[tuple[str, BaseModel]]:
    """Yield what a fact carries, by its name."""
    for name in _SUBJECT:
        if (said := getattr(fact, name)) is not None:
            yield name, said
    if fact.data is not None:
        yield fact.data.body, fact.data


def _is_told(cls: type[BaseModel], field: str) -> bool:
    """Tell whether a profile says a field: the body it says once, and what is emptied follows from the others."""
    return field != "body" and not (field == "deleted" and get_origin(cls.model_fields[field].annotation) is list)


def _says(value: Any, default: Any) -> bool:
    """Tell whether a value says something; a truth that is not there by default does."""
    if isinstance(value, BaseModel):
        return any(_says(one, None) for _, one in value)
    return bool(value) or (value is False and default is None) or (value == 0 and value is not False)


def _reads(said: Any) -> bool:
    """Tell whether a value has a path in it, and is not the profile's own."""
    if isinstance(said, str):
        return True
    if isinstance(said, Mapping):
        return any(_reads(one) for key, one in said.items() if key not in _PLAIN)
    return isinstance(said, (list, tuple)) and any(map(_reads, said))


def _entry(annotation: Any) -> type[BaseModel] | None:
    """Return the model of the entries of a list."""
    if get_origin(annotation) in (Union, UnionType):
        return next(filter(None, map(_entry, get_args(annotation))), None)
    (item,) = get_args(annotation) if get_origin(annotation) is list else (None,)
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None
