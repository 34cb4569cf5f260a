"""Medical record quality control: the agent ``qc``, which judges a stay by rules."""

from hisbus import Register, hookimpl
from hisbus_qc.agent import Agent


@hookimpl
def register_agents(register: Register) -> None:
    """Register the agent that judges by rules."""
    register(Agent())
