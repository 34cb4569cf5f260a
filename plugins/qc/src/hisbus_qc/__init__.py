"""Medical record quality control: ``qc`` judges by rules, ``qc-text`` puts what must be understood to the model."""

from hisbus import Register, hookimpl
from hisbus_qc.agent import Agent
from hisbus_qc.text.agent import TextAgent


@hookimpl
def register_agents(register: Register) -> None:
    """Register the agent that judges by rules, and the one that asks the model."""
    register(Agent())
    register(TextAgent())
