"""A call on its way to a plugin's process: of a chart that the process keeps no more leaves than what changed."""

from collections import OrderedDict
from dataclasses import dataclass

from hisbus.frames import numbered
from hisbus_bus.kernel.stored import StoredChart

REMEMBERED = 4000
"""Charts; a process keeps fewer."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A ``Call`` without type, id and chart, JSON, and its chart: as it is stored, or JSON already."""

    rest: str
    chart: StoredChart | str
    grants: frozenset[str]
    """What the agent may see."""

    def whole(self) -> str:
        """Return the call without type and id, as any agent can read it."""
        return self._with(self.chart if isinstance(self.chart, str) else self.chart.json(self.grants))

    def _with(self, chart: str, more: str = "") -> str:
        return f'{self.rest[:-1]},"chart":{chart}{more}}}'

    def kept(self, chart: StoredChart, base: int | None) -> str:
        """Return the call for a process that keeps charts, with what changed in this one since a version."""
        return self._with(chart.own_json(self.grants), f',"rows":{chart.rows_json(self.grants, base)}')


class Sent:
    """The version under which a process was sent each stay last, by what of it was shown."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._versions: OrderedDict[tuple[frozenset[str], str], int] = OrderedDict()

    def frame(self, id: int, call: Outgoing) -> str:
        """Return the frame of a call that is sent now, JSON.

        What is older than what the process keeps goes whole, and leaves that as it is.
        """
        chart = call.chart
        if isinstance(chart, str):
            return numbered(id, call.whole())
        name = (call.grants, chart.encounter)
        last = self._versions.get(name)
        if last is not None and chart.version < last:
            return numbered(id, call.whole())
        self._versions[name] = chart.version
        self._versions.move_to_end(name)
        if len(self._versions) > self._most:
            self._versions.popitem(last=False)
        return numbered(id, call.kept(chart, last if last is not None and chart.tells_since(last) else None))

    def lost(self, call: Outgoing) -> None:
        """Note that the process does not keep what the rows of a call were to be laid over."""
        if isinstance(call.chart, StoredChart):
            self._versions.pop((call.grants, call.chart.encounter), None)
