"""What the web part is told about the process that it runs in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

ELSEWHERE: Final = "elsewhere"
"""Another process calls the agent, and knows how it is doing."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """How one agent is doing."""

    name: str
    status: str
    """A ``State`` of ``agent_host``, or ``elsewhere``."""
    plugin: str = ""
    version: str = ""
    reason: str = ""
    """Why it has this status, as a stable code."""
    waits_for: str = ""
    """What its calls wait for since it is not available, as a stable code; empty: they do not."""
    asks: bool = False
    """It asks the model."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """How the model's server is doing, as far as this process asks it."""

    status: Literal["none", "up", "down", "elsewhere"]
    """``none``: none is configured. ``down``: it is left alone for a while. ``elsewhere``: another process asks it."""
    name: str = ""
    reason: str = ""
    """Why it is left alone, as a stable code."""


class Process(Protocol):
    """What the process knows that neither log nor database holds."""

    @property
    def agents(self) -> Sequence[AgentState]:
        """The agents that this process calls."""
        ...

    @property
    def model(self) -> ModelState:
        """The model that they ask."""
        ...


@dataclass(frozen=True, slots=True)
class Still:
    """A process that calls the agents it is given, or none: the web part alone, and tests."""

    agents: Sequence[AgentState] = ()
    model: ModelState = ModelState("none")
