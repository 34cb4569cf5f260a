"""What every command is given: the configuration that was chosen, and a loop to work in.

Nothing that takes long is imported before a command needs it: ``hisbus --help`` answers at once.
"""

import asyncio
import gc
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # with all contracts, which take their time
    from hisbus_bus.kernel.settings import Settings


@dataclass
class _Chosen:
    path: Path = Path("hisbus.toml")

    @property
    def settings(self) -> "Settings":
        """The configuration. Raises ConfigError, which names every mistake."""
        from hisbus_bus.kernel import telemetry
        from hisbus_bus.kernel.settings import load

        telemetry.set_up("error")
        return load(self.path)


chosen = _Chosen()
"""The file that ``--config`` names."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work to its end; return what it returns."""
    gc.enable()
    if sys.platform != "win32":
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)
