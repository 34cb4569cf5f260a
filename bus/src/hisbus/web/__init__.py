"""The page and the API: what people and other programs see of the bus."""

from hisbus.web.app import create_app
from hisbus.web.process import AgentState, ModelState, Process

__all__ = ["AgentState", "ModelState", "Process", "create_app"]
