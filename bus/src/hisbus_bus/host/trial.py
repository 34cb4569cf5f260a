"""A trial call of every agent on a stay of nobody, so that wrong settings are found before the first patient is.

What an agent cannot evaluate there for want of something, it will not evaluate of any patient: that is said as well.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from hisbus.agent import Case
from hisbus.errors import BusError, ConfigError
from hisbus_bus.host.agents import Host
from hisbus_bus.kernel.settings import Settings
from hisbus_schemas import Chart, Moment, Patient, PatientId, Unevaluated, VisitId

_THEN = datetime(2000, 1, 1, tzinfo=UTC)
_NAMED = 3
"""Rules that a sentence names; the others are counted."""

NOBODY = Chart(
    encounter="trial",
    version=0,
    now=_THEN,
    visit=VisitId(authority="", number=""),
    patient=Patient(id=PatientId(authority="", number=""), sex="female", birth_date=date(1960, 1, 1)),
    status="admitted",
    patient_class="inpatient",
    admitted=Moment(at=_THEN, offset=0),
)
"""An inpatient of whom nothing is written yet."""


@dataclass(slots=True)
class Tried:
    """What came of the trial, one sentence each."""

    refused: list[str] = field(default_factory=list)
    """Settings that agents refuse."""
    left_out: list[str] = field(default_factory=list)
    """What agents do not evaluate as the site is now, with the reason."""
    rules: dict[str, frozenset[str]] = field(default_factory=dict)
    """The rules that each agent goes by under its settings, as far as it says so of nobody."""


async def tried(hosts: Iterable[Host], settings: Settings) -> Tried:
    """Try every agent. What else goes wrong is left to real calls."""
    result = Tried()
    for host in hosts:
        for agent in host.agents:
            its = settings.agent(agent.name)
            try:
                case = Case(None, NOBODY, NOBODY.now, settings=its.settings)
                answer = await host.assess(agent.name, case, its.deadline_s, priority=None)
            except ConfigError as error:
                result.refused.append(f"agents.{agent.name}.settings: {error}")
            except BusError:
                continue
            else:
                result.rules[agent.name] = answer.evaluated | {one.rule for one in answer.unevaluated}
                if its.enabled:
                    result.left_out += _left_out(agent.name, answer.unevaluated)
    return result


def _left_out(agent: str, unevaluated: Iterable[Unevaluated]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in unevaluated:
        by_reason[one.text.en].append(one.rule)
    for said, rules in by_reason.items():
        others = f" and {len(rules) - _NAMED} more" if len(rules) > _NAMED else ""
        yield f"agents.{agent}: {said} ({', '.join(rules[:_NAMED])}{others})"
