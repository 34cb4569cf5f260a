"""What the web part is told about the process that it runs in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ELSEWHERE = "elsewhere"
"""Another process calls the agent, and knows how it is doing."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """How one agent is doing."""

    name: str
    status: str
    """A ``State`` of ``agent_host``, or ``elsewhere``."""
    plugin: str = ""
    version: str = ""


class Process(Protocol):
    """What the process knows that neither log nor database holds."""

    @property
    def agents(self) -> Sequence[AgentState]:
        """The agents that this process calls."""
        ...


@dataclass(frozen=True, slots=True)
class Still:
    """A process that calls the agents it is given, or none: the web part alone, and tests."""

    agents: Sequence[AgentState] = ()
