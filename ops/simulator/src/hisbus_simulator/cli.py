"""The command ``hisbus-simulator``."""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from hisbus.addresses import address
from hisbus_simulator import demo as demonstration
from hisbus_simulator.child import Servers
from hisbus_simulator.his import MANNERS, Behaviour, His
from hisbus_simulator.load import fire, hospital, lanes
from hisbus_simulator.sender import Sender, SendError, feed
from hisbus_simulator.sites import Kind
from hisbus_simulator.week import CHARSETS, PAST, STAYS, Message, signed, ward_week

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An imaginary hospital: sends a ward's week, knows what must be found in it, takes the write-backs.",
)
out = Console(highlight=False)

Seed = Annotated[int, typer.Option(help="The same seed tells the same week; 1 is the demo's.")]
Patients = Annotated[int, typer.Option(min=1, help="Stays; outpatients come besides.")]


def _charset(value: str) -> str:
    if value not in CHARSETS:
        raise typer.BadParameter(f"choose among {', '.join(CHARSETS)}")
    return value


def _address(value: str) -> tuple[str, int]:
    try:
        return address(value)
    except ValueError:
        raise typer.BadParameter("write it as HOST:PORT") from None


Charset = Annotated[str, typer.Option(callback=_charset, help="utf-8, gb18030, or both: half of the patients each.")]


Site = Annotated[Kind, typer.Option(help="What kind of hospital sends it: full, plain or small.")]


@app.command()
def demo(
    seed: Seed = 1,
    patients: Patients = STAYS,
    folder: Annotated[Path, typer.Option()] = Path("var/demo"),
    site: Site = "full",
    past: Annotated[int, typer.Option(min=0, help="Earlier stays that are read in first, for coverage.")] = PAST,
    kafka: Annotated[str, typer.Option(help="HOST:PORT of a broker; with --database. Default: embedded ones.")] = "",
    database: Annotated[str, typer.Option(help="Address of an empty PostgreSQL database.")] = "",
) -> None:
    """Start a fresh hisbus and play a ward's week to it. Without a terminal or with DEMO_ONCE=1 a script decides."""
    once = os.environ.get("DEMO_ONCE") == "1" or not (sys.stdin.isatty() and sys.stdout.isatty())
    if bool(kafka) != bool(database):
        raise typer.BadParameter("--kafka and --database go together")
    if site != "full" and not past:
        raise typer.BadParameter(
            "a site that sends less must have been seen to: leave out --past 0", param_hint="--site"
        )
    servers = Servers(kafka, database) if kafka else None
    wanted = demonstration.Wanted(seed, patients, site, past, servers)
    raise typer.Exit(asyncio.run(demonstration.run(folder, wanted, once=once, console=out)))


@app.command()
def sign(
    visit: Annotated[str, typer.Argument(help="Of the demo's week: ZY260300003.")],
    type: Annotated[str, typer.Argument(help="Type of the document: C0037.")],
    to: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:2575",
    seed: Seed = 1,
    patients: Patients = STAYS,
    site: Site = "full",
) -> None:
    """Send a document of a stay as it should have been: there, and signed in time."""
    host, port = _address(to)
    message = signed(seed, patients, visit, type, site)
    if message is None:
        typer.echo(f"Stay {visit} of this week has no {type}. `hisbus-simulator expect` lists what is wrong.", err=True)
        raise typer.Exit(1)
    try:
        asyncio.run(feed([message], [Sender(host, port)]))
    except SendError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    out.print(f"Sent: {type} of {visit}.")


@app.command()
def send(
    to: Annotated[str, typer.Option(help="HOST:PORT")],
    seed: Seed = 1,
    patients: Patients = STAYS,
    charset: Charset = "both",
    site: Site = "full",
    pace: Annotated[float, typer.Option(min=0, help="Messages a second; 0: as fast as acknowledged.")] = 0,
    connections: Annotated[int, typer.Option(min=1, help="The order of time holds within each stay only.")] = 1,
) -> None:
    """Send a ward's week to any hisbus."""
    host, port = _address(to)
    messages = ward_week(seed, patients, charset=charset, site=site).messages
    senders = [Sender(host, port) for _ in range(connections)]
    with Progress(console=out) as progress:
        bar = progress.add_task("messages", total=len(messages))

        def count(_: Message) -> None:
            progress.advance(bar)

        try:
            asyncio.run(feed(messages, senders, pace=pace, sent=count))
        except SendError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None


@app.command()
def load(
    to: Annotated[str, typer.Option(help="HOST:PORT")],
    rate: Annotated[float, typer.Option(min=1, help="Messages a second.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="For so long; every stay is told to its end.")] = 10,
    connections: Annotated[int, typer.Option(min=1)] = 8,
    seed: Seed = 1,
    report: Annotated[Path | None, typer.Option(help="File for what was sent when, as JSON.")] = None,
) -> None:
    """Offer a large hospital's messages at a fixed rate, whether or not they are taken as fast."""
    import uvloop  # where there is none, nothing else of the simulator misses it

    host, port = _address(to)
    dealt = lanes(hospital(round(rate * seconds), seed).messages, connections, rate)
    fired = uvloop.run(fire(host, port, dealt))
    if report:
        report.write_text(json.dumps(asdict(fired)), "utf-8")
    out.print(f"{fired.stored} stored, {fired.refused} refused, in {fired.seconds:.1f} s; ", end="")
    out.print(f"at worst {fired.behind_s:.2f} s behind.")


@app.command()
def receive(
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:2576",
    behave: Annotated[
        list[str] | None, typer.Option(help=f"For the next message, in order: {', '.join(MANNERS)}; slow:SECONDS.")
    ] = None,
) -> None:
    """Take write-backs until Ctrl-C, then print how many times each took effect."""
    host, port = _address(listen)
    try:
        behaviours = [Behaviour.parse(text) for text in behave or []]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--behave") from None
    his = His(host, port, behaviours)

    async def serve() -> None:
        async with his:
            out.print(f"Listening at {his.address[0]}:{his.address[1]}.")
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        typer.echo(json.dumps({"received": len(his.received), "effects": his.effects}, indent=1))


@app.command()
def expect(seed: Seed = 1, patients: Patients = STAYS, site: Site = "full") -> None:
    """Print what must be found once the week has been taken, as JSON."""
    typer.echo(json.dumps([asdict(finding) for finding in ward_week(seed, patients, site=site).expected], indent=1))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")], seed: Seed = 1, patients: Patients = STAYS
) -> None:
    """Write the week's charts with what must be found in them, for `hisbus evaluate run qc FOLDER`."""
    from hisbus_simulator.export import export as write  # with the chart step's code, which takes its time

    out.print(f"{write(ward_week(seed, patients), folder)} visits.")


@app.command()
def messages(
    seed: Seed = 1,
    patients: Patients = STAYS,
    charset: Charset = "both",
    visit: Annotated[str, typer.Option(help="Only this visit.")] = "",
) -> None:
    """Print the feed for reading: segments on lines, messages apart."""
    for message in ward_week(seed, patients, charset=charset).messages:
        if visit in ("", message.visit):
            typer.echo(message.text.replace("\r", "\n"))


def main() -> None:
    """Run the command."""
    app()
