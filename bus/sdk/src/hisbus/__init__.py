"""hisbus: the bus between a hospital's information system and AI agents."""

from hisbus.agent import LLM, Agent, Case
from hisbus.connector import Arrival, Connector, Format, Place, Raw, Reads, Sink, Source, Translation, Unread, Verdict
from hisbus.errors import BadMessage, BusError, ConfigError, LostPlace, NotEvaluated, RetryLater
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
    "Format",
    "Grounded",
    "LostPlace",
    "NotEvaluated",
    "Place",
    "Quote",
    "Raw",
    "Reads",
    "Register",
    "RegisterConnector",
    "RetryLater",
    "Sink",
    "Source",
    "Translation",
    "Unread",
    "Verdict",
    "grounded",
    "hookimpl",
]
