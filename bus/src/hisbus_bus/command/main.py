"""The command ``hisbus``. Everything but ``up`` and ``run`` works while ``up`` runs: it opens no log to write."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from hisbus.errors import BusError, ConfigError
from hisbus_bus.command.example import example
from hisbus_bus.host import registry
from hisbus_bus.kernel import audit, migrations, parked, tables, telemetry
from hisbus_bus.kernel import people as users
from hisbus_bus.kernel.settings import Settings, load
from hisbus_bus.kernel.site import open_database
from hisbus_bus.kernel.topics import FLOW

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The bus between a HIS and AI agents.")
audit_commands = typer.Typer(no_args_is_help=True, help="The audit trail.")
case_commands = typer.Typer(no_args_is_help=True, help="Conversations with what must be found after them.")
evaluate_commands = typer.Typer(no_args_is_help=True, help="How good an agent is, on cases whose answers are known.")
config_commands = typer.Typer(no_args_is_help=True, help="The configuration.")
llm_commands = typer.Typer(no_args_is_help=True, help="The model's server.")
new_commands = typer.Typer(no_args_is_help=True, help="Files to begin with.")
term_commands = typer.Typer(no_args_is_help=True, help="Code systems that agents read.")
topic_commands = typer.Typer(no_args_is_help=True, help="The topics on Kafka.")
user_commands = typer.Typer(no_args_is_help=True, help="Who may look and decide.")
app.add_typer(audit_commands, name="audit")
app.add_typer(case_commands, name="case")
app.add_typer(config_commands, name="config")
app.add_typer(evaluate_commands, name="evaluate")
app.add_typer(llm_commands, name="llm")
app.add_typer(new_commands, name="new")
app.add_typer(term_commands, name="terms")
app.add_typer(topic_commands, name="topics")
app.add_typer(user_commands, name="user")
out = Console(highlight=False)


STEPS = (*FLOW, "web")


@dataclass
class _Chosen:
    path: Path = Path("hisbus.toml")

    @property
    def settings(self) -> Settings:
        return load(self.path)


chosen = _Chosen()


@app.callback()
def choose(
    config: Annotated[Path, typer.Option("--config", help="The configuration file.")] = Path("hisbus.toml"),
) -> None:
    """Take the configuration file."""
    telemetry.set_up("error")
    chosen.path = config


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    if sys.platform != "win32":
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


@app.command()
def up() -> None:
    """Run every step in one process."""
    _serve(STEPS)


@app.command()
def run(step: Annotated[str, typer.Argument(help=f"One of: {', '.join(STEPS)}.")]) -> None:
    """Run one step."""
    if step not in STEPS:
        raise ConfigError(f"There is no step {step!r}. Choose one of: {', '.join(STEPS)}.")
    _serve((step,))


def _serve(steps: tuple[str, ...]) -> None:
    from hisbus_bus.app import App  # the whole bus; no other command needs it, and it takes a second to import

    settings = chosen.settings
    telemetry.set_up(settings.telemetry.level, settings.telemetry.json_lines)
    _run(App(settings, steps).serve())


@app.command(name="check")
def check_everything() -> None:
    """Validate the configuration and try every connection; name each mistake."""
    from hisbus_bus.command.check import check

    found = _run(check(chosen.settings, chosen.path))
    for sentence in [*found.mistakes, *found.notes]:
        out.print(sentence, markup=False, soft_wrap=True)
    if found.mistakes:
        raise typer.Exit(1)
    out.print("All is well.")


@app.command()
def plugins() -> None:
    """List installed plugins and connector types."""
    table = Table("what", "name", "distribution", "version", "API")
    for plugin in registry.plugins():
        table.add_row("plugin", plugin.name, plugin.distribution, plugin.version, plugin.api)
    for connector in registry.connector_types():
        table.add_row("connector", connector.name, connector.distribution, connector.version, connector.api)
    out.print(table)


@app.command(name="parked")
def list_parked() -> None:
    """List what was set aside, with its reason."""

    async def rows() -> Any:
        database = open_database(chosen.settings)
        try:
            async with database.read() as connection:
                wanted = (
                    select(tables.parked).where(tables.parked.c.status == "parked").order_by(tables.parked.c.parked)
                )
                return (await connection.execute(wanted)).all()
        finally:
            await database.close()

    table = Table("id", "step", "reason", "parked", "attempts", "bytes")
    for row in _run(rows()):
        when = row.parked.isoformat(timespec="seconds")
        table.add_row(row.id, row.step, row.reason, when, str(row.attempts), str(len(row.value)))
    out.print(table)


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids that `hisbus parked` lists.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is parked; with --agent, closed stays, too.")] = (
        False
    ),
    connector: Annotated[str, typer.Option(help="Read its messages again with the newest mapping.")] = "",
    begin: Annotated[str, typer.Option("--from", help="Messages stored from this time on (ISO 8601).")] = "",
    end: Annotated[str, typer.Option("--to", help="Messages stored before this time.")] = "",
    agent: Annotated[str, typer.Option(help="Let it judge current charts again.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Append parked items to their step's input again, read messages again, or judge charts again."""
    if [bool(ids or (everything and not agent)), bool(connector), bool(agent)].count(True) != 1:
        raise ConfigError("Say what to replay: IDs or --all for what is parked, --connector NAME, or --agent NAME.")
    if bool(connector) != bool(begin) or (end and not connector):
        raise ConfigError("--connector needs --from TIME, and --from and --to belong to it.")
    if connector or agent:
        from hisbus_bus.command.replay import (  # with all steps' code, which takes its time
            replay_messages,
            replay_stays,
        )

        if connector:
            _run(replay_messages(chosen.settings, connector, begin, end, dry_run=dry_run))
        else:
            _run(replay_stays(chosen.settings, agent, closed=everything, dry_run=dry_run))
        return
    if dry_run:
        raise ConfigError("--dry-run belongs to --connector and --agent. `hisbus parked` lists what is parked.")

    async def again() -> list[str]:
        database = open_database(chosen.settings)
        try:
            async with database.write() as connection:
                wanted = list(ids or [])
                if everything:
                    still = select(tables.parked.c.id).where(tables.parked.c.status == "parked")
                    wanted = list(await connection.scalars(still.order_by(tables.parked.c.parked)))
                missing = [id for id in wanted if not await parked.replay(connection, id)]
                for id in set(wanted) - set(missing):
                    await audit.record(connection, actor="command", action="parked.replayed", object=id)
                return missing
        finally:
            await database.close()

    missing = _run(again())
    if missing:
        raise ConfigError(f"Not parked (any more): {', '.join(missing)}. `hisbus parked` lists what is.")


@audit_commands.command()
def verify() -> None:
    """Check the chain of seals: names the first broken row, the unsealed tail, and any difference from the anchor."""

    async def verdict() -> audit.Verdict:
        settings = chosen.settings
        database = open_database(settings)
        try:
            return await audit.verify(database, settings.anchor_file)
        finally:
            await database.close()

    found = _run(verdict())
    out.print(str(found), markup=False, soft_wrap=True)
    if not found.sound:
        raise typer.Exit(1)


@case_commands.command(name="run")
def run_cases(
    paths: Annotated[list[Path], typer.Argument(help="Cases (NAME.hl7 with NAME.json), or folders of them.")],
    connector: Annotated[str, typer.Option(help="Which takes the messages, where there are several.")] = "",
) -> None:
    """Play cases with this configuration, beside the site: say which end otherwise than they must."""
    from hisbus_bus.lab.conversations import read_all
    from hisbus_bus.play import feed, play_all, stage

    cases = read_all(paths, feed(chosen.settings, connector).split)

    async def played() -> int:
        failed = 0
        async with stage(chosen.settings, connector) as on, aclosing(play_all(on, cases)) as results:
            async for case, differences in results:
                failed += bool(differences)
                out.print(f"{'FAIL' if differences else 'ok'}\t{case.name}\t{case.title}", markup=False, soft_wrap=True)
                for line in differences:
                    out.print(f"\t{line}", markup=False, soft_wrap=True)
        return failed

    failed = _run(played())
    out.print(f"{len(cases)} cases, {failed} failed.")
    if failed:
        raise typer.Exit(1)


@evaluate_commands.command(name="run")
def run_evaluation(
    agent: Annotated[str, typer.Argument(help="Name of an installed agent.")],
    data: Annotated[Path, typer.Argument(help="A folder of charts, or a file or folder of a known corpus.")],
    folder: Annotated[Path, typer.Option("--out", help="The folder for the report; it must not exist yet.")],
    format: Annotated[str, typer.Option(help="charts, medec, aci-bench or mdace. Default: what is there tells.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many cases, drawn by --seed. 0: all.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw, and of the intervals.")] = 1,
    llm_url: Annotated[str, typer.Option(help="Another model server than llm.url.")] = "",
    model: Annotated[str, typer.Option(help="Another model than llm.model.")] = "",
    rubric: Annotated[Path | None, typer.Option(help="What drafted documents earn points by. Default: ours.")] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave all text of the records out of the report.")
    ] = False,
) -> None:
    """Run an agent over a data set in this process and write report.json and report.html. Nothing else is written."""
    from hisbus_bus.command import evaluate as cli_evaluate

    settings = cli_evaluate.with_model(chosen.settings, llm_url, model)
    evaluation = cli_evaluate.evaluate(
        settings, agent, data, folder, format=format, limit=limit, seed=seed, points=rubric, text=not no_text
    )
    if not _run(evaluation):
        raise typer.Exit(1)


@evaluate_commands.command(name="compare")
def compare_evaluations(
    first: Annotated[Path, typer.Argument(help="A report, or its folder.")],
    second: Annotated[Path, typer.Argument(help="Another one, on the same cases.")],
    folder: Annotated[Path | None, typer.Option("--out", help="A folder for the comparison, JSON and HTML.")] = None,
) -> None:
    """Compare two runs on the same cases, case by case: what changed both ways, and whether that may be chance."""
    from hisbus_bus.command import evaluate as cli_evaluate

    cli_evaluate.compare(first, second, folder)


@config_commands.command(name="example")
def print_example() -> None:
    """Print the annotated configuration."""
    typer.echo(example(), nl=False)


@llm_commands.command(name="check")
def check_llm() -> None:
    """Ask the model's server what only asking can show, with made-up text; say what will not work."""
    from hisbus_bus.host.llm.check import probe

    async def failed() -> bool:
        works = True
        async for line in probe(chosen.settings.llm):
            out.print(f"{'ok' if line.works else 'FAIL'}\t{line.said}", markup=False, soft_wrap=True)
            works = works and line.works
        return not works

    if _run(failed()):
        raise typer.Exit(1)


@new_commands.command(name="plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens.")],
    folder: Annotated[Path, typer.Option(help="In which its folder is made.")] = Path(),
) -> None:
    """Write a plugin whose test passes: its agent, its test, its README."""
    from hisbus_bus.command import scaffold  # with the templates' library, which no other command needs

    for path in scaffold.new_plugin(name, folder):
        out.print(str(path), markup=False, soft_wrap=True)


@term_commands.command(name="load")
def load_terms(
    source: Annotated[str, typer.Argument(help="A CSV or TSV file; or icd-10-cm, which came with hisbus.")],
    system: Annotated[str, typer.Option(help="Short name of the code system; an earlier load of it is replaced.")] = "",
    version: Annotated[str, typer.Option(help="Version of the table.")] = "",
    kind: Annotated[str, typer.Option(help="diagnosis, procedure, item (limits of charges) or crosswalk.")] = (
        "diagnosis"
    ),
    target: Annotated[str, typer.Option(help="Crosswalk: the system that it leads to.")] = "",
    licence: Annotated[str, typer.Option(help="A note on who may use the table.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=HEADER, where a header is not known: code=疾病编码.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out rows that are broken.")] = False,
) -> None:
    """Load a code system: a national or insurance table, a crosswalk, or ICD-10-CM. UTF-8 or GB18030."""
    from hisbus_bus.command import terms as cli_terms

    cli_terms.load(
        chosen.settings,
        source,
        system=system,
        version=version,
        kind=kind,
        licence=licence,
        target=target,
        columns=column or [],
        skip_broken=skip_broken,
    )


@term_commands.command(name="list")
def list_terms() -> None:
    """List what is loaded, and where it came from."""
    from hisbus_bus.command import terms as cli_terms

    cli_terms.show(chosen.settings)


@topic_commands.command(name="apply")
def apply_topics() -> None:
    """Make the topics that are missing on Kafka, and give all of them their settings."""
    settings = chosen.settings
    if not settings.log.url.startswith("kafka:"):
        raise ConfigError("log.url names the embedded log, which makes its topics itself.")
    from hisbus_bus.kernel.log.kafka_cluster import Cluster

    made = _run(Cluster(settings.log, settings.site, settings.remote).apply())
    for name in made:
        out.print(name, markup=False)
    out.print(f"{len(made)} topics were made; all have their settings.")


@user_commands.command(name="add")
def add_user(name: str, role: Annotated[str, typer.Option(help="viewer, reviewer or admin.")] = "reviewer") -> None:
    """Add a user. The password is asked for; without a terminal it is made and printed once."""
    password = None
    if sys.stdin.isatty():
        password = typer.prompt("Password (empty: make one)", default="", hide_input=True, show_default=False) or None
    made = _with_users(lambda database: users.add(database, name, role, password))
    if made is not None:
        typer.echo(made)


@user_commands.command(name="token")
def make_token(name: str) -> None:
    """Print a new bearer token, once and alone; an older one stops working."""
    typer.echo(_with_users(lambda database: users.token(database, name)))


def _with_users(work: Any) -> Any:
    async def done() -> Any:
        database = open_database(chosen.settings)
        try:
            await migrations.upgrade(database)
            return await work(database)
        finally:
            await database.close()

    return _run(done())


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
    """Run the command. A mistake that a person can mend ends in one sentence, not in a stack."""
    try:
        app(_config_first(sys.argv[1:]))
    except BusError as error:
        typer.echo(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


if __name__ == "__main__":
    main()
