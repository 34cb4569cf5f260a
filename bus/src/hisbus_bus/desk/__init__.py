"""The page and the API: what people and other programs see of the bus."""

from hisbus_bus.desk.app import create_app
from hisbus_bus.desk.process import AgentState, ModelState, Process

__all__ = ["AgentState", "ModelState", "Process", "create_app"]
