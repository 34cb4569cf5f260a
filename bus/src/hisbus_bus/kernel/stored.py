"""A stay as it is stored, and what changed of it since an earlier version: text that nobody has read yet. Pure.

Making a ``Chart`` of it costs some fifty times as much as storing or sending its text.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from hisbus_schemas import GRANTS, LISTS, Chart, ChartUnknown

NOTHING = "[]"
ROW_BYTES = 300
"""What a row takes beside its text, about."""

_UNKNOWN = TypeAdapter(list[ChartUnknown])
_BITS = (1 << 63) - 1


class Row(NamedTuple):
    """What one stored entry shows in one part of the chart."""

    entry: str
    place: str
    """Its order within the part."""
    version: int
    """Of the stay, by which it changed last."""
    items: str
    """A JSON list. ``[]``: nothing, or nothing any more."""
    digest: int
    """Tells it from every other and from itself before, within this process and its children. 0: it shows nothing."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.items) + ROW_BYTES


def row(part: str, entry: str, place: str, version: int, items: str = NOTHING) -> Row:
    """Return a row of a part."""
    digest = 0 if items == NOTHING else hash((part, entry, place, items)) & _BITS
    return Row(entry, place, version, items, digest)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one part by their entries, in the order in which they changed."""

    by_entry: Mapping[str, Row] = field(default_factory=dict)
    digest: int = 0
    """Of all its rows, in whatever order."""
    size: int = 0
    """About how many bytes they take."""

    def after(self, changed: Iterable[Row]) -> "Rows":
        """Return the rows once some are others, each of a later version than any that is there."""
        rows, digest, size = dict(self.by_entry), self.digest, self.size
        for new in sorted(changed, key=lambda each: each.version):
            old = rows.pop(new.entry, None)
            if old is not None:
                digest, size = digest ^ old.digest, size - old.size
            rows[new.entry] = new
            digest, size = digest ^ new.digest, size + new.size
        return Rows(rows, digest, size)

    def since(self, version: int) -> Iterator[Row]:
        """Yield what changed after a version, the newest first."""
        for each in reversed(self.by_entry.values()):  # type: ignore[call-overload] # a dict's values
            if each.version <= version:
                return
            yield each

    def json(self) -> str:
        """Return what they show, a JSON list."""
        shown = [each for each in self.by_entry.values() if each.items != NOTHING]
        return f"[{','.join(each.items[1:-1] for each in sorted(shown, key=lambda each: (each.place, each.entry)))}]"


EMPTY = Rows()


@dataclass(frozen=True, slots=True)
class StoredChart:
    """A stay as it stands, for whoever hands it on without looking inside."""

    encounter: str
    version: int
    now: datetime
    key: str
    _fields: Mapping[str, str]
    """The other fields of the chart by their names, each as JSON; what is missing has its default."""
    _stay: str
    """The stay's own fields, a JSON object."""
    parts: Mapping[str, Rows] = field(default_factory=dict)
    """Its lists, by their names."""
    since: int = 0
    """From which version on its rows tell what changed: what went before is not known."""
    waits: bool = False
    """Something of it is parked."""
    head: tuple[Any, ...] = field(default=(), compare=False)
    """All that was read of it beside its entries."""

    def json(self, grants: Collection[str] = GRANTS) -> str:
        """Return the chart as JSON that ``Chart`` reads, with the parts that are granted."""
        return self._json(grants, [f'"{name}":{rows.json()}' for name, rows in self._granted(grants)])

    def own_json(self, grants: Collection[str] = GRANTS) -> str:
        """Return it without its lists: what it says of the stay, and where granted of the patient."""
        return self._json(grants, [])

    def rows_json(self, grants: Collection[str], base: int | None) -> str:
        """Return ``Rows`` of ``hisbus.frames``: what changed since a version in the lists that are granted.

        Args:
            grants: names of parts.
            base: the version, of ``since`` at least; None: all rows.
        """
        granted = dict(self._granted(grants))
        digest, size = 0, 0
        for rows in granted.values():
            digest, size = digest ^ rows.digest, size + rows.size
        parts = [f'{{"base":{"null" if base is None else base},"digest":{digest},"size":{size}']
        for name, rows in granted.items():
            if said := [_said(each) for each in (rows.by_entry.values() if base is None else rows.since(base))]:
                parts.append(f'"{name}":[{",".join(said)}]')
        return f"{','.join(parts)}}}"

    def tells_since(self, version: int) -> bool:
        """Tell whether its rows say all that changed since a version."""
        return self.since <= version <= self.version

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return sum(rows.size for rows in self.parts.values()) + ROW_BYTES * len(LISTS)

    @property
    def backfill(self) -> bool:
        """Whether nothing of the stay came as it happened."""
        return "backfill" in self._fields

    @property
    def live_from(self) -> datetime | None:
        """Since when a stay that was read in later came as it happened; None: it has not, or was never read in."""
        said = self._fields.get("live_from")
        return datetime.fromisoformat(from_json(said)) if said else None

    @property
    def department(self) -> str:
        """Where the patient lies, or lay last."""
        return str(from_json(self._stay).get("department", ""))

    @property
    def unknown(self) -> list[ChartUnknown]:
        """The codes that nobody has answered yet: most stays have none, and then nothing is read."""
        said = self.parts.get("unknown", EMPTY).json()
        return _UNKNOWN.validate_json(said) if said != NOTHING else []

    def chart(self) -> Chart:
        """Return the chart itself."""
        return Chart.model_validate_json(self.json())

    def _granted(self, grants: Collection[str]) -> Iterator[tuple[str, Rows]]:
        for name, rows in self.parts.items():
            if name in grants or name not in GRANTS:
                yield name, rows

    def _json(self, grants: Collection[str], lists: list[str]) -> str:
        own = {"encounter": self.encounter, "version": self.version, "now": self.now.isoformat(), "key": self.key}
        said = [f'"{name}":{value}' for name, value in self._fields.items() if name in grants or name not in GRANTS]
        return f"{to_json(own).decode()[:-1]},{','.join((*said, *lists, self._stay[1:]))}"


def _said(each: Row) -> str:
    return f"{to_json((each.entry, each.place, each.digest)).decode()[:-1]},{each.items}]"
