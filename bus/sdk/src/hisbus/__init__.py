"""hisbus: the bus between a hospital's information system and AI agents."""

from hisbus.agent import LLM, Agent, Case
from hisbus.connector import Arrival, Connector, Raw, Translation
from hisbus.errors import BadMessage, BusError, ConfigError, NotEvaluated, RetryLater
from hisbus.evidence import Grounded, Quote, grounded
from hisbus.hookspecs import Register, RegisterConnector, hookimpl

__version__ = "0.2.0"

__all__ = [
    "LLM",
    "Agent",
    "Arrival",
    "BadMessage",
    "BusError",
    "Case",
    "ConfigError",
    "Connector",
    "Grounded",
    "NotEvaluated",
    "Quote",
    "Raw",
    "Register",
    "RegisterConnector",
    "RetryLater",
    "Translation",
    "grounded",
    "hookimpl",
]
