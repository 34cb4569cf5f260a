"""``hisbus codes``: codes that no table of a profile has, and what people say they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller, with_database

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database
    from hisbus_mapping import Asks

SHOWN = 50
"""Mistakes that are printed; the others are counted."""

commands = typer.Typer(no_args_is_help=True, help="Codes that people say the meaning of.")
Open = Annotated[bool, typer.Option("--open", help="Only those that nobody has answered yet.")]


@commands.command(name="list")
def list_codes(unanswered: Open = False) -> None:
    """List codes, the open ones first, with how many stays and messages wait for an answer."""
    from hisbus_bus.kernel import codes

    async def found(database: "Database") -> list[tuple[Any, tuple[int, int]]]:
        async with database.read() as connection:
            rows = (await connection.execute(_ordered(unanswered))).all()
            return [(row, await codes.hanging(connection, row.id)) for row in rows]

    table = table_of("connector", "sender", "table", "code", "text", "item", "word", "who", "when", "stays", "messages")
    for row, (stays, messages) in with_database(found):
        when = row.answered.isoformat(timespec="minutes") if row.answered else ""
        named = (row.connector, row.sender, row.table, row.code, row.text, row.item)
        table.add_row(*named, row.standing, row.who, when, str(stays or ""), str(messages or ""))
    show(table)


@commands.command(name="set")
def set_code(
    connector: Annotated[str, typer.Argument(help="Whose messages send it.")],
    table: Annotated[str, typer.Argument(help="The table of its profile, as `hisbus codes list` shows it.")],
    code: Annotated[str, typer.Argument(help="The code, as sent.")],
    word: Annotated[str, typer.Argument(help='Our word; "none": it is none of ours; "": open again.')],
    sender: Annotated[str, typer.Option(help="Only where this sender sends it, as the list shows it.")] = "",
) -> None:
    """Say what a code is. The messages that looked it up are read again."""
    from hisbus_bus.kernel import codes

    asks = _asks(connector)

    async def said(database: "Database") -> bool:
        async with database.write() as connection:
            key = codes.Key(connector, sender, table, code)
            return await codes.answer(connection, key, word, asks=asks[connector], who=caller())

    changed = with_database(said)
    typer.echo("Its messages are read again while `hisbus up` runs." if changed else "Nothing changes: it is so.")


@commands.command(name="import")
def import_codes(file: Annotated[Path, typer.Argument(help="CSV, as `hisbus codes export` writes it.")]) -> None:
    """Take answers in from a file: all of them, or where a row is wrong nothing."""
    from hisbus.errors import ConfigError
    from hisbus_bus.kernel import codes, codes_file

    asks = _asks()
    try:
        read = codes_file.read(file.read_bytes(), asks)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read. Check its name, and who may read it.") from error
    for mistake in read.mistakes[:SHOWN]:
        typer.echo(f"row {mistake.row}: {mistake.reason}")
    if read.mistakes:
        raise ConfigError(f"The file has {len(read.mistakes)} mistakes, and nothing was taken. Mend them.")

    async def taken(database: "Database") -> int:
        changed = 0
        async with database.write() as connection:
            for key, system, text, word in sorted(read.lines):
                beside = {"system": system, "text": text}
                its = asks[key.connector]
                changed += await codes.answer(connection, key, word, asks=its, who=caller(), **beside)
        return changed

    changed = with_database(taken)
    same = len(read.lines) - changed
    typer.echo(f"{changed} codes were answered, {same} were so already, {read.open} lines have no answer.")


@commands.command(name="export")
def export_codes(
    file: Annotated[Path, typer.Argument(help="Where to; an existing file is replaced.")], unanswered: Open = False
) -> None:
    """Write all codes with their answers to a file."""
    from hisbus.errors import ConfigError
    from hisbus_bus.kernel import codes_file

    async def found(database: "Database") -> Sequence[Any]:
        async with database.read() as connection:
            return (await connection.execute(_ordered(unanswered))).all()

    rows = with_database(found)
    try:
        file.write_text(codes_file.written(rows), encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written. Check its folder, and who may write there.") from error
    typer.echo(f"{len(rows)} codes were written.")


def _ordered(unanswered: bool) -> Any:
    from hisbus_bus.kernel import codes, tables

    code = tables.codes.c
    query = codes.listed().order_by(codes.standing() != "", code.connector, code.table, code.code, code.sender)
    return query.where(codes.unanswered()) if unanswered else query


def _asks(connector: str = "") -> "Mapping[str, Mapping[str, Asks]]":
    """Return by connector what its profile asks. Raises ConfigError where there is no such connector."""
    from hisbus.errors import ConfigError
    from hisbus_bus.host import registry
    from hisbus_bus.kernel.live import live

    meanings = registry.mappings(registry.connectors(chosen.settings))
    asks = {name: one.asks for name, one in with_database(lambda database: live(database, meanings)).items()}
    if connector and connector not in asks:
        raise ConfigError(f"There is no connector {connector!r}. Choose one of: {', '.join(sorted(asks)) or 'none'}.")
    return asks
