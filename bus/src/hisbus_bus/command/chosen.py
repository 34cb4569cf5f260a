"""What every command is given: the configuration that was chosen, and a loop to work in.

Nothing that takes long is imported before a command needs it: ``hisbus --help`` answers at once.
"""

import asyncio
import gc
import signal
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


def run_orderly(work: Coroutine[Any, Any, Any]) -> Any:
    """Run as ``run`` does; SIGTERM cancels the work, so that it takes away what it has put somewhere.

    Raises:
        typer.Exit: it was asked to end; the exit status is the one that the signal would have had.
    """
    return run(_orderly(work))


async def _orderly(work: Coroutine[Any, Any, Any]) -> Any:
    import typer

    task, asked = asyncio.ensure_future(work), False

    def ask() -> None:
        nonlocal asked
        if not asked:  # a second one does not interrupt what is taken away
            asked = True
            task.cancel()

    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ask)
    try:
        return await task
    except asyncio.CancelledError:
        if not asked:
            raise
        raise typer.Exit(128 + signal.SIGTERM) from None


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work to its end; return what it returns."""
    gc.enable()
    if sys.platform != "win32":
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)
