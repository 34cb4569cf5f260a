"""What a command writes: into the site's database, by somebody whom the audit names."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hisbus_bus.command.chosen import chosen

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database

T = TypeVar("T")


def caller() -> str:
    """Return how the audit names who calls this command: the operating-system user, and who became it by sudo."""
    try:
        import pwd

        # Not the environment, which anybody sets.
        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        import getpass

        name = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    before = os.environ.get("SUDO_USER", "")
    return f"command:{before}/{name}" if before and before != name else f"command:{name}"


def with_database(work: "Callable[[Database], Awaitable[T]]") -> T:
    """Return what some work on the site's database returns; its tables are made where there are none."""
    from hisbus_bus.kernel import migrations
    from hisbus_bus.kernel.settings import load
    from hisbus_bus.kernel.site import open_database

    logging.basicConfig(handlers=[_First()], force=True)

    async def done() -> T:
        database = open_database(load(chosen.path), direct=True)
        try:
            await migrations.upgrade(database)
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(done())


class _First(logging.Handler):
    """Sets the log up with the first line that there is, which most commands do not see."""

    def emit(self, record: logging.LogRecord) -> None:
        """Set up, and hand the line over."""
        from hisbus_bus.kernel import telemetry

        telemetry.set_up("error")
        root = logging.getLogger()
        if root.isEnabledFor(record.levelno):
            root.handle(record)
