"""Coding of diagnoses and operations: the agent ``coding``, which needs no model."""

from hisbus import Register, hookimpl
from hisbus_coding.agent import Agent


@hookimpl
def register_agents(register: Register) -> None:
    """Register the agent that proposes codes."""
    register(Agent())
