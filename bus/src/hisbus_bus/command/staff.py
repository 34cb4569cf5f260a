"""``hisbus staff``: the directory of staff, imported from a file of the hospital."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller, with_database

if TYPE_CHECKING:
    from hisbus_bus.kernel.people.directory import Directory, Person
    from hisbus_bus.kernel.people.staff import Plan

SHOWN = 50
"""Lines of a kind that are printed; the others are counted."""

commands = typer.Typer(no_args_is_help=True, help="The directory of staff.")


@commands.command(name="import")
def import_staff(
    file: Annotated[Path, typer.Argument(help="CSV: number, name, and authority, department, title, head.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for scripts.")] = False,
) -> None:
    """Import the whole directory. Says what will change and asks; who is no longer in it is shut out."""
    from hisbus.errors import ConfigError
    from hisbus_bus.kernel.people import directory, staff

    read = directory.read(_bytes(file))
    _refuse(read)
    plan = with_database(lambda database: staff.plan(database, read.people))
    if plan.nothing:
        typer.echo(f"Nothing changes: {len(read.people)} people are in the directory as they are in the file.")
        return
    _say(plan)
    if yes and 2 * len(plan.gone) > plan.present:
        raise ConfigError(
            f"{len(plan.gone)} of {plan.present} people would leave: is the file whole? Nothing was imported."
            " Where it is so, import it without --yes and confirm."
        )
    if not yes and not typer.confirm("Import this?"):
        raise typer.Exit(1)
    with_database(lambda database: staff.take(database, read.people, plan, by=caller()))
    typer.echo("The directory was imported.")


@commands.command(name="list")
def list_staff(
    ctx: typer.Context, left: Annotated[bool, typer.Option("--left", help="Those who have left as well.")] = False
) -> None:
    """List the directory by department."""
    from hisbus_bus.kernel.people import staff

    table = table_of("department", "name", "title", "head", "number", "users", "left")
    for one in with_database(lambda database: staff.everybody(database, left=left)):
        person, gone = one.person, one.left.date().isoformat() if one.left else ""
        head = "head" if person.head else ""
        row = (person.department, person.name, person.title, head, _number(person), ", ".join(one.users), gone)
        table.add_row(*row)
    show(table)


def _bytes(file: Path) -> bytes:
    from hisbus.errors import ConfigError

    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read. Check its name, and who may read it.") from error


def _refuse(read: "Directory") -> None:
    """Name every mistake. Raises ConfigError where there is one."""
    from hisbus.errors import ConfigError

    _lines([f"row {mistake.row}: {mistake.reason}" for mistake in read.mistakes])
    if read.mistakes:
        raise ConfigError(f"The file has {len(read.mistakes)} mistakes, and nothing was imported. Mend them.")


def _say(plan: "Plan") -> None:
    _lines([f"new: {_line(person)}" for person in plan.new])
    _lines([f"changed: {_line(before)} -> {_line(after)}" for before, after in plan.changed])
    _lines([f"back: {_line(person)}" for person in plan.back])
    _lines([f"gone: {_line(person)}" for person in plan.gone])
    for name in plan.users:
        typer.echo(f"user {name} will be disabled: log-ins and tokens end")
    counts = (
        f"{len(plan.new)} new",
        f"{len(plan.changed)} changed",
        f"{len(plan.back)} back",
        f"{len(plan.gone)} gone",
    )
    typer.echo(f"{', '.join(counts)}; {len(plan.users)} users will be disabled.")


def _lines(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        typer.echo(line)
    if len(lines) > SHOWN:
        typer.echo(f"and {len(lines) - SHOWN} more of these")


def _line(person: "Person") -> str:
    parts = (_number(person), person.name, person.department, person.title, "head" if person.head else "")
    return ", ".join(part for part in parts if part)


def _number(person: "Person") -> str:
    return f"{person.authority}/{person.number}" if person.authority else person.number
