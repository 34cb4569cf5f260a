"""A chart that notes what is looked at, and how each part of it stands: what a remembered answer rests on."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hisbus_schemas import LISTS, Chart, Coverage, Entry

ALL, STAY, NOW, TERMS, COVERAGE = "all", "stay", "now", "terms", "coverage"
"""The whole chart; what it says of the stay and its patient; the present; terminologies; what the feeds bring."""

_PARTS = frozenset(part.name for part in LISTS)
_MOVING = frozenset({"version", "now", "key"})
"""Fields that change with every event, and of which no rule has asked yet."""
_FACTS = {*Chart.model_fields} - _PARTS - _MOVING
_SAYS_STAY = frozenset({*_FACTS, "stay", "stay_ref"})


class Watched:
    """A chart, whose parts are noted as they are asked for. It is asked like the chart itself."""

    __slots__ = ("_chart", "_note")

    def __init__(self, chart: Chart, note: Callable[[str], None]) -> None:
        """Watch a chart; ``note`` is given the name of a part: of a list, ``stay``, or ``all`` for what is neither."""
        self._chart, self._note = chart, note

    def __getattr__(self, name: str) -> Any:
        """Return what the chart has, and note that somebody asked."""
        self._note(name if name in _PARTS else STAY if name in _SAYS_STAY else ALL)
        return getattr(self._chart, name)


class Stamps:
    """How the parts of a chart stand: two charts whose part has one stamp say the same there."""

    def __init__(self, chart: Chart, coverage: Coverage, terms: Path | None) -> None:
        """Take a chart and what it is judged with."""
        self._chart, self._coverage, self._terms = chart, coverage, terms
        self._known: dict[str, Any] = {}
        self._by_type: dict[str, list[Entry]] = {}
        for one in chart.documents:
            self._by_type.setdefault(one.type.code, []).append(one)

    def of(self, part: str) -> Any:
        """Return how a part stands; ``documents:TYPE`` is the documents of one type."""
        if part not in self._known:
            self._known[part] = self._stamp(part)
        return self._known[part]

    def _stamp(self, part: str) -> Any:
        name, _, type = part.partition(":")
        if type:
            return _entries(self._by_type.get(type, []))
        if name in _PARTS:
            return _entries(getattr(self._chart, name))
        if name == STAY:
            return self._chart.model_dump_json(include=_FACTS)
        if name == COVERAGE:
            return self._coverage.model_dump_json()
        if name == TERMS:
            return (self._terms, _file(self._terms))
        return (self._chart.version, *map(self.of, (STAY, *sorted(_PARTS))))


def _file(path: Path | None) -> tuple[int, int] | None:
    """Return which file stands there: one is replaced by another of its name."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns) if found else None


def _entries(entries: list[Any]) -> bytes:
    said: list[Entry] = entries
    if not said:
        return b""
    return blake2b("\n".join([one.ref for one in said]).encode(), digest_size=16).digest()
