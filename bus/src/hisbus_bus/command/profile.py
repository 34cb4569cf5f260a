"""``hisbus profile``: what profiles read of messages, and what they leave."""

import typer

commands = typer.Typer(no_args_is_help=True, help="Profiles: what they read of messages, and what they leave.")
