"""``hisbus coverage``: what this site's feeds bring of what rules need, and what people say of it."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller, with_database

if TYPE_CHECKING:
    from hisbus_bus.desk.read.coverage import Item
    from hisbus_bus.kernel.database import Database

commands = typer.Typer(no_args_is_help=True, help="What the feeds bring of what rules need.")
Department = Annotated[str, typer.Option(help="Of this department alone, as the charts name it.")]


@commands.command(name="list")
def list_items(
    item: Annotated[str, typer.Argument(help="Only this one, with the rules that need it.")] = "",
    missing: Annotated[bool, typer.Option("--missing", help="Only what is not connected.")] = False,
) -> None:
    """List what rules need: whether it comes, on how many stays it was seen until that was settled, and who says so."""
    from hisbus_bus.desk.read import coverage

    async def found(database: "Database") -> "list[Item]":
        async with database.read() as connection:
            return await coverage.items(connection)

    table = table_of("item", "department", "connected", "since", "by", "stays", "rules")
    for one in with_database(found):
        if (missing and one.connected) or item not in ("", one.name):
            continue
        since = f"{one.since:%Y-%m-%d}" if one.since else ""
        rules = ", ".join(one.rules) if item else str(len(one.rules) or "")
        connected = "yes" if one.connected else "no"
        table.add_row(one.name, one.department, connected, since, one.who, _stays(one), rules)
    show(table)


def _stays(one: "Item") -> str:
    """Return on how many stays an item was seen, of those that call for it."""
    of = "" if one.called is None else f" of {one.called}"
    return "" if one.seen is None else f"{one.seen}{of}"


@commands.command(name="set")
def set_item(
    item: Annotated[str, typer.Argument(help="As `hisbus coverage list` shows it: document:C0026, class ....")],
    state: Annotated[
        Literal["connected", "not_connected", "observed"],
        typer.Argument(help='"observed" takes back what a person said: the configuration or what was seen decides.'),
    ],
    department: Department = "",
) -> None:
    """Say that something comes, or does not, whatever was seen. The stays are judged again while the site runs."""
    from pydantic import TypeAdapter, ValidationError

    from hisbus.errors import ConfigError
    from hisbus.names import Item
    from hisbus_bus.desk.read import coverage as listed
    from hisbus_bus.kernel import coverage
    from hisbus_bus.kernel.settings import load
    from hisbus_bus.kernel.site import envelope

    try:
        name: str = TypeAdapter(Item).validate_python(item)
    except ValidationError as error:
        raise ConfigError(f"{item!r} is no item. Name one as `hisbus coverage list` does: document:C0026.") from error
    head = envelope(load(chosen.path))

    async def said(database: "Database") -> bool:
        async with database.read() as connection:
            known = {one.name for one in await listed.items(connection)}
            departments = await listed.departments(connection) if department else []
        if known and name not in known:
            near = ", ".join(get_close_matches(name, sorted(known))) or "`hisbus coverage list` names them"
            raise ConfigError(f"No rule needs {name!r}, so saying so changes nothing. Did you mean: {near}?")
        if department and departments and department not in departments:
            raise ConfigError(f"No stay and nobody of the staff is of {department!r}. Known: {', '.join(departments)}.")
        async with database.write() as connection:
            return await coverage.say(connection, head, [coverage.Word(name, department, state)], caller())

    changed = with_database(said)
    typer.echo("What hangs on it is judged again while `hisbus up` runs." if changed else "Nothing changes: it is so.")
