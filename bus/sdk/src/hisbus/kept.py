"""The charts that a plugin's process keeps, so that of each no more is sent and read again than what changed."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from hisbus.fixed import fix
from hisbus.frames import Rows
from hisbus_schemas import LISTS, Chart, Entry

KEPT_STAYS = 2000


@dataclass(frozen=True, slots=True)
class _Row:
    """A stored entry in one part of the chart."""

    place: str
    digest: int
    items: Sequence[Entry]


@dataclass(slots=True)
class _Stay:
    """A stay as it was sent last: its lists, of the parts that were granted."""

    version: int = 0
    digest: int = 0
    size: int = 0
    rows: dict[str, dict[str, _Row]] = field(default_factory=dict)
    lists: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    """What the rows show, in order."""

    def change(self, part: str, changed: Sequence[tuple[str, str, int, Sequence[Entry]]]) -> None:
        """Take in rows of a part that are others now."""
        rows = self.rows.setdefault(part, {})
        for entry, place, digest, items in changed:
            if (old := rows.pop(entry, None)) is not None:
                self.digest ^= old.digest
            self.digest ^= digest
            if items:
                rows[entry] = _Row(place, digest, [fix(item) for item in items])
        ordered = sorted(rows.items(), key=lambda named: (named[1].place, named[0]))
        self.lists[part] = tuple(item for _, row in ordered for item in row.items)


class KeptCharts:
    """The stays that were sent last, by what of them may be seen. Losing them costs only time."""

    def __init__(self, most: int, stays: int = KEPT_STAYS) -> None:
        """Keep about so many bytes of JSON at most, and so many stays."""
        self._most, self._most_stays = most, stays
        self._stays: OrderedDict[tuple[frozenset[str], str], _Stay] = OrderedDict()
        self._size = 0

    def chart(self, grants: Collection[str], sent: Chart, rows: Rows) -> Chart | None:
        """Return a chart of which rows were sent. None: what they are to be laid over is not here.

        Whatever an agent does with its lists, the next call finds them as they were sent.

        Args:
            grants: of the agent.
            sent: the chart without its lists.
            rows: what changed in them.
        """
        name = (frozenset(grants), sent.encounter)
        stay = self._stays.pop(name, None)
        self._size -= stay.size if stay is not None else 0
        if rows.base is None:
            stay = _Stay()
        elif stay is None or stay.version != rows.base:
            return None
        for part in LISTS:
            if changed := getattr(rows, part.name):
                stay.change(part.name, changed)
        if stay.digest != rows.digest:
            return None
        stay.version, stay.size = sent.version, rows.size
        self._stays[name] = stay
        self._size += stay.size
        while self._size > self._most or len(self._stays) > self._most_stays:
            self._size -= self._stays.popitem(last=False)[1].size
        return sent.model_copy(update={part: list(entries) for part, entries in stay.lists.items()})
