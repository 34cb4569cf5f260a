"""``python -m hisbus_servers``: Kafka and PostgreSQL around a command, or until Ctrl-C; vLLM until then."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hisbus_servers.kafka import Kafka
from hisbus_servers.postgres import Postgres, binaries
from hisbus_servers.process import STOP_S, ServerError
from hisbus_servers.vllm import CONTEXT, MODEL, Vllm

JAVA = 17
"""Least version that the broker needs."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Real Kafka, PostgreSQL and vLLM on 127.0.0.1.")

Brokers = Annotated[int, typer.Option(min=1, help="Three replicate everything; one is alone.")]
Folder = Annotated[Path | None, typer.Option(help="Keep data, logs and ports here. Default: a new one, removed.")]


@app.command()
def run(command: list[str], brokers: Brokers = 1, folder: Folder = None) -> None:
    """Run a command with HISBUS_TEST_KAFKA and HISBUS_TEST_POSTGRES set; take the servers down whatever happens."""
    with _up(brokers, folder) as (kafka, postgres):
        addresses = {"HISBUS_TEST_KAFKA": kafka.bootstrap, "HISBUS_TEST_POSTGRES": postgres.url()}
        status = _status_of(command, os.environ | addresses)
    raise typer.Exit(status)


@app.command()
def up(brokers: Brokers = 1, folder: Folder = None) -> None:
    """Keep both up until Ctrl-C; print the lines for hisbus.toml."""
    with _up(brokers, folder) as (kafka, postgres):
        durability = "" if brokers >= 3 else 'durability = "single-broker"\n'
        typer.echo(f'[log]\nurl = "kafka://{kafka.bootstrap}"\n{durability}[database]\nurl = "{postgres.url()}"')
        signal.pause()


@app.command()
def vllm(folder: Folder = None) -> None:
    """Keep a vLLM with a tiny random model up until Ctrl-C; print the lines for hisbus.toml."""
    with _orderly(folder) as (inside, stack):
        server = Vllm(inside / "vllm")
        stack.callback(server.stop)
        server.start()
        typer.echo(
            f'[llm]\nurl = "{server.url}"\nmodel = "{MODEL}"\napi_key_file = "{server.key_file}"\n'
            f"context_tokens = {CONTEXT}\nmax_tokens = 512"
        )
        signal.pause()


@app.command()
def lacking() -> None:
    """Say in one line what this machine lacks for both servers, and exit with 1; nothing and 0 where all is there."""
    version = re.search(r'version "(\d+)', _said("java", "-version")) if shutil.which("java") else None
    there = {
        f"Java {JAVA}": version is not None and int(version[1]) >= JAVA,
        "Maven": shutil.which("mvn") is not None,
        "a PostgreSQL server": binaries() is not None,
        "setpriv (util-linux)": shutil.which("setpriv") is not None,
    }
    if missing := [name for name, found in there.items() if not found]:
        typer.echo(f"lacking: {', '.join(missing)}")
        raise typer.Exit(1)


@contextmanager
def _up(brokers: int, folder: Path | None) -> Iterator[tuple[Kafka, Postgres]]:
    """Start Kafka and PostgreSQL."""
    with _orderly(folder) as (inside, stack):
        postgres = Postgres(inside / "postgres")
        stack.callback(postgres.stop)
        postgres.start()
        kafka = Kafka(inside / "kafka", brokers)
        stack.callback(kafka.stop)
        kafka.start()
        yield kafka, postgres


@contextmanager
def _orderly(folder: Path | None) -> Iterator[tuple[Path, ExitStack]]:
    """Give a folder and what takes servers down; SIGTERM and SIGINT end the block, and nothing interrupts its end."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hisbus-servers-")))
            folder.chmod(0o711)  # PostgreSQL's own user walks through
        try:
            yield folder, stack
        except ServerError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        finally:
            _ignore_signals()


def _end(number: int, _frame: object) -> NoReturn:
    raise typer.Exit(128 + number)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _status_of(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit status, as a shell does."""
    child = subprocess.Popen(["setpriv", "--pdeathsig=TERM", "--", *command], env=environment)  # noqa: S603, S607
    try:
        status = child.wait()
    except typer.Exit as ended:
        if ended.exit_code != 128 + signal.SIGINT:  # the terminal sends Ctrl-C to the command, too
            child.terminate()
        raise
    finally:
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return status if status >= 0 else 128 - status


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout + done.stderr


def main() -> None:
    """Run the command."""
    app()
