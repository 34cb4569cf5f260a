"""hisbus: the bus between a hospital's information system and AI agents.

A name is imported when it is first asked for: whoever needs an error alone does not wait for all contracts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hisbus.agent import LLM, Agent, Case
    from hisbus.connector import (
        Arrival,
        Connector,
        Counted,
        Format,
        LookedUp,
        Place,
        Raw,
        Reads,
        Sink,
        Source,
        Translation,
        Unread,
        Verdict,
    )
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
    "Counted",
    "Format",
    "Grounded",
    "LookedUp",
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

_HOMES = {
    "agent": ("LLM", "Agent", "Case"),
    "connector": (
        *("Arrival", "Connector", "Counted", "Format", "LookedUp", "Place", "Raw", "Reads", "Sink", "Source"),
        *("Translation", "Unread", "Verdict"),
    ),
    "errors": ("BadMessage", "BusError", "ConfigError", "LostPlace", "NotEvaluated", "RetryLater"),
    "evidence": ("Grounded", "Quote", "grounded"),
    "hookspecs": ("Register", "RegisterConnector", "hookimpl"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
