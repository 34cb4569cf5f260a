"""``hisbus user``: who may look and decide. Each change is audited with the operating-system user who made it.

Nothing is imported before a command runs: a command line that is slow is a command line that nobody likes.
"""

import os
import stat
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller, with_database

Name = Annotated[str, typer.Argument(help="The user's name.")]


class _Tokens(TyperGroup):
    """``token NAME`` is ``token make NAME``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``make`` before what is none of the commands."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


commands = typer.Typer(no_args_is_help=True, help="Who may look and decide.")
session_commands = typer.Typer(no_args_is_help=True, help="Log-ins.")
token_commands = typer.Typer(
    no_args_is_help=True, cls=_Tokens, help="Bearer tokens for programs. `hisbus user token NAME` makes one."
)
commands.add_typer(session_commands, name="sessions")
commands.add_typer(token_commands, name="token")


@commands.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, reviewer or admin. Default: reviewer.")] = "",
) -> None:
    """Add a user. The password is asked for; without a terminal it is made and printed once."""
    from hisbus_bus.kernel import people

    password = _asked()
    made = with_database(lambda database: people.add(database, name, role, password, by=caller()))
    if made is not None:
        typer.echo(made)


@commands.command(name="list")
def list_users() -> None:
    """List users with what they have open."""
    from hisbus_bus.kernel import people

    table = table_of("name", "role", "state", "full name", "department", "title", "staff numbers", "log-ins", "tokens")
    for user in with_database(people.listed):
        numbers = ", ".join(f"{authority}/{number}" if authority else number for authority, number in user.numbers)
        state = "disabled" if user.disabled else ""
        if user.locked_until is not None:
            state = f"{state} locked until {user.locked_until.isoformat(timespec='minutes')}".strip()
        who = (user.full_name, user.department, user.title)
        table.add_row(user.name, user.role, state, *who, numbers, str(user.sessions), str(user.tokens))
    show(table)


@commands.command()
def role(
    ctx: typer.Context, name: Name, role: Annotated[str, typer.Argument(help="viewer, reviewer or admin.")]
) -> None:
    """Give a user another role. Log-ins and tokens end."""
    from hisbus_bus.kernel import people

    with_database(lambda database: people.change_role(database, name, role, by=caller()))
    typer.echo(f"{name} is {role} now. Log-ins and tokens have ended.")


@commands.command()
def password(name: Name) -> None:
    """Give a user another password, asked for or made. Log-ins and tokens end, a lock is lifted."""
    from hisbus_bus.kernel import people

    given = _asked()
    made = with_database(lambda database: people.change_password(database, name, given, by=caller()))
    if made is not None:
        typer.echo(made)


@commands.command()
def disable(name: Name) -> None:
    """Shut a user out at once: log-ins and tokens end."""
    from hisbus_bus.kernel import people

    with_database(lambda database: people.disable(database, name, by=caller()))
    typer.echo(f"{name} is shut out. Log-ins and tokens have ended.")


@commands.command()
def enable(name: Name) -> None:
    """Let a user in again. Log-ins and tokens that were ended stay so."""
    from hisbus_bus.kernel import people

    with_database(lambda database: people.enable(database, name, by=caller()))
    typer.echo(f"{name} may log in again.")


@commands.command()
def number(
    name: Name,
    number: Annotated[str, typer.Argument(help="The staff number, as the HIS sends it.")],
    authority: Annotated[str, typer.Option(help="Who gave it, as the HIS sends it; often nothing.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it from the user.")] = False,
) -> None:
    """Note a staff number of a user, or take it away. A user may have several."""
    from hisbus_bus.kernel import people

    change = people.remove_number if remove else people.add_number
    with_database(lambda database: change(database, name, number, authority, by=caller()))
    which = f"{authority}/{number}" if authority else number
    typer.echo(f"{which} is {name}'s no more." if remove else f"{which} is {name}'s.")


@session_commands.command()
def end(name: Name) -> None:
    """End a user's log-ins. Tokens go on."""
    from hisbus_bus.kernel import people

    ended = with_database(lambda database: people.end_sessions(database, name, by=caller()))
    typer.echo(f"{ended} log-ins were ended.")


@token_commands.command()
def make(
    name: Name,
    days: Annotated[int, typer.Option(help="How many days it works, 1 to 3650.")] = 365,
    purpose: Annotated[str, typer.Option("--for", help="What it is for, as lists show it.")] = "",
) -> None:
    """Print a new token, once and alone. Others of the user go on."""
    from hisbus_bus.kernel import people

    made = with_database(lambda database: people.token(database, name, days=days, purpose=purpose, by=caller()))
    typer.echo(made)


@token_commands.command(name="list")
def list_tokens(name: Name) -> None:
    """List a user's tokens by their ids; the tokens themselves are not kept."""
    from hisbus_bus.kernel import people

    table = table_of("id", "state", "for", "made", "until", "last used")
    for token in with_database(lambda database: people.tokens_of(database, name)):
        state = "works" if token.works else "revoked" if token.revoked else "over"
        times = (
            time.isoformat(timespec="minutes") if time else "" for time in (token.created, token.until, token.used)
        )
        table.add_row(token.id, state, token.purpose, *times)
    show(table)


@token_commands.command()
def revoke(
    name: Name,
    id: Annotated[str, typer.Argument(help="As `hisbus user token list NAME` shows it.")],
) -> None:
    """End a token at once."""
    from hisbus_bus.kernel import people

    with_database(lambda database: people.revoke(database, name, id, by=caller()))


def _asked() -> str | None:
    """Return the password that a person at a terminal gives; None: one is to be made."""
    if not sys.stdin.isatty():
        if _is_piped():
            typer.echo(
                "There is no terminal to ask at, and what is piped in is not read: a password is made.", err=True
            )
        return None
    return typer.prompt("Password (empty: make one)", default="", hide_input=True, show_default=False) or None


def _is_piped() -> bool:
    """Tell whether somebody gives us something to read: a pipe or a file, not the empty device."""
    try:
        return not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)
    except OSError:  # a stand-in of a test
        return True
