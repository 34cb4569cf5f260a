"""Groups of commands that are imported when one of theirs is asked for: what others need is not waited for."""

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


class Later(TyperGroup):
    """The commands of the file that has the group's name, its ``commands``."""

    @cached_property
    def _group(self) -> TyperGroup:
        return typer.main.get_group(import_module(f"hisbus_bus.command.{self.name}").commands)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the group's commands."""
        return self._group.list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one of the group's commands; None where there is none of that name."""
        return self._group.get_command(ctx, cmd_name)
