"""What a command prints: tables in which nothing is cut."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_ENDLESS = 1_000_000
"""Columns of a pipe or a file."""


def table_of(*names: str) -> "Table":
    """Return a table to show; a name in it is never cut."""
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in names))


def show(table: "Table") -> None:
    """Print a table; where no person sits at a terminal, one line for each row, however long."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _ENDLESS
    console.print(table)
