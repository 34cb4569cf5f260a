"""Every place where a plugin or a connector attaches. Two hooks, for registration only.

pluggy isolates nothing and is synchronous, so all work is in the async methods of what is registered.
"""

from collections.abc import Callable
from typing import Any

import pluggy

from hisbus.agent import Agent
from hisbus.connector import Connector

API_VERSION = "1.1"
"""Version of what plugins and connectors are written against."""

hookspec = pluggy.HookspecMarker("hisbus")
hookimpl = pluggy.HookimplMarker("hisbus")

Register = Callable[[Agent], None]
"""Takes one agent; its first agent carries the plugin's name."""

ConnectorFactory = Callable[[dict[str, Any]], Connector]
"""Makes a connector from its table ``[[connectors]]``, all keys included. Raises ConfigError."""

RegisterConnector = Callable[[str, ConnectorFactory], None]
"""Takes the ``type`` of the table and the factory."""


@hookspec
def register_agents(register: Register) -> None:
    """Register the agents of a plugin. Entry-point group ``hisbus.agents``."""


@hookspec
def register_connectors(register: RegisterConnector) -> None:
    """Register the connector types of a distribution. Entry-point group ``hisbus.connectors``."""
