"""What a command writes: into the site's database, by somebody whom the audit names."""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hisbus_bus.command.chosen import chosen, run

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
    from hisbus_bus.kernel.site import open_database

    async def done() -> T:
        database = open_database(chosen.settings)
        try:
            await migrations.upgrade(database)
            return await work(database)
        finally:
            await database.close()

    result: T = run(done())
    return result
