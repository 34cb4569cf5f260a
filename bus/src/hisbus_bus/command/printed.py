"""What a command prints: tables in which nothing is cut."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table_of(*names: str) -> "Table":
    """Return a table to show; a name in it is never cut."""
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in names))


def show(table: "Table") -> None:
    """Print a table."""
    from rich.console import Console

    Console(highlight=False, markup=False).print(table)
