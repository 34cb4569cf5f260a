"""Clinical documents: the agent ``documentation``, which drafts them from the record, each sentence with its source."""

from hisbus import Register, hookimpl
from hisbus_documentation.agent import Agent


@hookimpl
def register_agents(register: Register) -> None:
    """Register the agent that drafts."""
    register(Agent())
