"""Coding of diagnoses and operations: codes, rules about what is recorded, and a second voice on the codes."""

from hisbus import Register, hookimpl
from hisbus_coding.agent import Agent
from hisbus_coding.check import Check
from hisbus_coding.rules import Rules


@hookimpl
def register_agents(register: Register) -> None:
    """Register the agent that proposes codes, that which judges what is recorded, and that which looks at both."""
    register(Agent())
    register(Rules())
    register(Check())
