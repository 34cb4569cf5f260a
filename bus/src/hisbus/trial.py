"""A trial call of every agent on an empty chart, so that wrong settings are found before the first patient is."""

from collections.abc import Iterable
from datetime import UTC, datetime

from hisbus.agent import Case
from hisbus.agent_host import Host
from hisbus.errors import BusError, ConfigError
from hisbus.settings import Settings
from hisbus_schemas import Chart, VisitId

NOBODY = Chart(
    encounter="trial",
    version=0,
    now=datetime(2000, 1, 1, tzinfo=UTC),
    visit=VisitId(authority="", number=""),
    status="registered",
)


async def refused_settings(hosts: Iterable[Host], settings: Settings) -> list[str]:
    """Return what agents say of their settings, one sentence each. What else goes wrong is left to real calls."""
    refused = []
    for host in hosts:
        for agent in host.agents:
            its = settings.agent(agent.name)
            try:
                case = Case(None, NOBODY, NOBODY.now, settings=its.settings)
                await host.assess(agent.name, case, its.deadline_s, priority=None)
            except ConfigError as error:
                refused.append(f"agents.{agent.name}.settings: {error}")
            except BusError:
                continue
    return refused
