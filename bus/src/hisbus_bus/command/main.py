"""The command ``hisbus``. Everything but ``up`` and ``run`` works while ``up`` runs: it opens no log to write.

What takes long to import is imported by the command that needs it; a group of commands is a file of its name.
"""

import gc
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Literal

import typer

from hisbus_bus.command.chosen import chosen, run_orderly
from hisbus_bus.command.chosen import run as _run
from hisbus_bus.command.later import Later
from hisbus_bus.kernel.topics import STEPS

GROUPS = {
    "audit": "The audit trail.",
    "capture": "Files of messages as they came.",
    "codes": "Codes that people say the meaning of.",
    "config": "The configuration.",
    "coverage": "What the feeds bring of what rules need.",
    "evaluate": "How good an agent is, on cases whose answers are known.",
    "llm": "The model's server.",
    "new": "Files to begin with.",
    "profile": "Profiles: what they read of messages, and what they leave.",
    "staff": "The hospital's staff, as its directory says.",
    "terms": "Code systems that agents read.",
    "topics": "The topics on Kafka.",
    "user": "Who may look and decide.",
}
"""Groups of commands, each in the file of its name."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The bus between a HIS and AI agents.")
for _name, _help in GROUPS.items():
    app.add_typer(typer.Typer(cls=Later, no_args_is_help=True, help=_help), name=_name)


@app.callback()
def choose(
    config: Annotated[Path, typer.Option("--config", help="The configuration file.")] = Path("hisbus.toml"),
) -> None:
    """Take the configuration file."""
    chosen.path = config


@app.command()
def up() -> None:
    """Run every step in one process."""
    _serve(STEPS)


@app.command()
def run(step: Annotated[str, typer.Argument(help=f"One of: {', '.join(STEPS)}.")]) -> None:
    """Run one step."""
    if step not in STEPS:
        from hisbus.errors import ConfigError

        raise ConfigError(f"There is no step {step!r}. Choose one of: {', '.join(STEPS)}.")
    _serve((step,))


def _serve(steps: tuple[str, ...]) -> None:
    from hisbus_bus.app import App  # the whole bus; no other command needs it, and it takes a second to import
    from hisbus_bus.kernel import telemetry

    settings = chosen.settings
    telemetry.set_up(settings.telemetry.level, settings.telemetry.json_lines)
    _run(App(settings, steps).serve())


@app.command(name="check")
def check_everything() -> None:
    """Validate the configuration and try every connection; name each mistake."""
    from hisbus_bus.command.check import check

    found = _run(check(chosen.settings, chosen.path))
    for sentence in [*found.mistakes, *found.notes]:
        typer.echo(sentence)
    if found.mistakes:
        raise typer.Exit(1)
    typer.echo("All is well.")


@app.command(name="bench")
def bench_machine(
    embedded: Annotated[bool, typer.Option("--embedded", help="On the embedded log and database.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, although the site's servers get the load.")] = False,
) -> None:
    """Measure for a minute what this machine takes, with an imaginary hospital on a site that is taken away after."""
    from hisbus_bus.command.bench import bench  # with the whole bus

    bench(chosen.settings, embedded=embedded, yes=yes)


@app.command()
def plugins() -> None:
    """List installed plugins and connector types."""
    from hisbus_bus.command.printed import show, table_of
    from hisbus_bus.host import registry

    table = table_of("what", "name", "distribution", "version", "API")
    for plugin in registry.plugins():
        table.add_row("plugin", plugin.name, plugin.distribution, plugin.version, plugin.api)
    for connector in registry.connector_types():
        table.add_row("connector", connector.name, connector.distribution, connector.version, connector.api)
    show(table)


@app.command(name="parked")
def list_parked() -> None:
    """List what was set aside, with its reason."""
    from hisbus_bus.command import parked

    _run(parked.show(chosen.settings))


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids that `hisbus parked` lists.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is parked; with --agent, closed stays, too.")] = (
        False
    ),
    connector: Annotated[str, typer.Option(help="Read its messages again with the newest mapping.")] = "",
    begin: Annotated[str, typer.Option("--from", help="Messages stored from this time on (ISO 8601).")] = "",
    end: Annotated[str, typer.Option("--to", help="Messages stored before this time.")] = "",
    as_of: Annotated[
        str, typer.Option("--as-of", help="With --connector: what the messages tell of before this time is backfill.")
    ] = "",
    agent: Annotated[str, typer.Option(help="Let it judge current charts again.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also refused ones that a newer message of the same control id followed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Append parked items to their step's input again, read messages again, or judge charts again."""
    from hisbus.errors import ConfigError

    if [bool(ids or (everything and not agent)), bool(connector), bool(agent)].count(True) != 1:
        raise ConfigError("Say what to replay: IDs or --all for what is parked, --connector NAME, or --agent NAME.")
    if as_of and (dry_run or not connector):
        raise ConfigError("--as-of belongs to --connector, and changes no event: leave --dry-run out.")
    if force and agent:
        raise ConfigError("--force is about messages: leave it out with --agent.")
    if bool(connector) != bool(begin) or (end and not connector):
        raise ConfigError("--connector needs --from TIME, and --from and --to belong to it.")
    if connector or agent:
        from hisbus_bus.command.replay import (  # with all steps' code, which takes its time
            replay_messages,
            replay_stays,
        )

        if connector:
            _run(replay_messages(chosen.settings, connector, begin, end, force=force, as_of=as_of, dry_run=dry_run))
        else:
            _run(replay_stays(chosen.settings, agent, closed=everything, dry_run=dry_run))
        return
    if dry_run:
        raise ConfigError("--dry-run belongs to --connector and --agent. `hisbus parked` lists what is parked.")

    from hisbus_bus.command.parked import again

    if not _run(again(chosen.settings, ids or [], everything=everything, force=force)):
        raise typer.Exit(1)


Targets = Annotated[list[str], typer.Argument(metavar="TARGET", help="step:NAME, connector:NAME or agent:NAME.")]
Reason = Annotated[str, typer.Option(help="Why, for the others. Kept in the audit: no patient's data.")]


@app.command()
def pause(targets: Targets, reason: Reason = "") -> None:
    """Let parts of the site start nothing more; what runs is finished. Senders are told to send again."""
    _hold(targets, "pause", reason)


@app.command()
def drain(targets: Targets, reason: Reason = "") -> None:
    """Let parts of the site take nothing new in, and finish what they have in hand."""
    _hold(targets, "drain", reason)


@app.command()
def resume(targets: Targets, reason: Reason = "") -> None:
    """Let parts of the site go on."""
    _hold(targets, "run", reason)


def _hold(targets: list[str], wanted: Literal["run", "pause", "drain"], reason: str) -> None:
    from hisbus_bus.command import operate

    _run(operate.ask(chosen.settings, targets, wanted, reason))


@app.command(name="controls")
def list_controls() -> None:
    """List what was asked of which part, and what it does now."""
    from hisbus_bus.command import operate

    _run(operate.show_controls(chosen.settings))


@app.command(name="signals")
def list_signals() -> None:
    """List what changed its state and when: outages, agents that are down, parts that are held."""
    from hisbus_bus.command import operate

    _run(operate.show_signals(chosen.settings))


@app.command(name="play")
def play_conversations(
    paths: Annotated[list[Path], typer.Argument(help="Conversations (NAME.hl7 with NAME.json), or folders of them.")],
    connector: Annotated[str, typer.Option(help="Which takes the messages, where there are several.")] = "",
) -> None:
    """Play conversations with this configuration, beside the site: say which end otherwise than they must."""
    from hisbus_bus.lab.conversations import read_all
    from hisbus_bus.play import feed, play_all, stage

    conversations = read_all(paths, feed(chosen.settings, connector).split)

    async def played() -> int:
        failed = 0
        async with stage(chosen.settings, connector) as on, aclosing(play_all(on, conversations)) as results:
            async for one, differences in results:
                failed += bool(differences)
                typer.echo(f"{'FAIL' if differences else 'ok'}\t{one.name}\t{one.title}")
                for line in differences:
                    typer.echo(f"\t{line}")
        return failed

    failed = run_orderly(played())
    typer.echo(f"{len(conversations)} conversations, {failed} failed.")
    if failed:
        raise typer.Exit(1)


def _config_first(arguments: list[str]) -> list[str]:
    """Put ``--config FILE`` before the command, so that it may stand anywhere."""
    rest, front = list(arguments), list[str]()
    for at, word in enumerate(arguments):
        if word == "--config" or word.startswith("--config="):
            front = rest[at : at + (2 if word == "--config" else 1)]
            del rest[at : at + len(front)]
            break
    return [*front, *rest]


def main() -> None:
    """Run the command. A mistake that a person can mend ends in one sentence, not in a stack.

    Hardly anything that a short command makes is garbage before it ends, and looking for it would take a fifth of its
    time; ``chosen.run``, which runs what may be long, switches that on again.
    """
    gc.disable()
    try:
        app(_config_first(sys.argv[1:]))
    except Exception as error:
        from hisbus.errors import BusError, ConfigError

        if not isinstance(error, BusError):
            raise
        typer.echo(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    finally:
        gc.freeze()  # nor is it worth to look when the process ends


if __name__ == "__main__":
    main()
