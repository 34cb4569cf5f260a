"""``hisbus evaluate``: how an agent does on cases whose answers are known, and how two runs differ."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from hisbus.agent import Agent
from hisbus.errors import ConfigError
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.chosen import run as run_to_end
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import LLMSettings, Settings
from hisbus_bus.lab.evaluate import coding, datasets, excerpts, html, indicators, labelled, report, rubric, store
from hisbus_bus.lab.evaluate import compare as comparing
from hisbus_bus.lab.evaluate.build import build
from hisbus_bus.lab.evaluate.indicators import IndicatorFigures
from hisbus_bus.lab.evaluate.report import AgentRun, DataUsed, Rate, Report
from hisbus_bus.lab.evaluate.run import Progress, Result, agent_of, model, run
from hisbus_bus.lab.evaluate.sample import Sample

PAGE = "report.html"
COMPARISON_PAGE = "comparison.html"
SHOWN = 20
"""Most labels that the terminal shows."""

commands = typer.Typer()
out = Console(highlight=False, markup=False, soft_wrap=True)


@commands.command(name="run")
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
    settings = _with_model(chosen.settings, llm_url, model)
    evaluation = _evaluate(
        settings, agent, data, folder, format=format, limit=limit, seed=seed, points=rubric, text=not no_text
    )
    if not run_to_end(evaluation):
        raise typer.Exit(1)


def _with_model(settings: Settings, url: str, name: str) -> Settings:
    """Return the settings with another server or model.

    Raises:
        ConfigError: they do not fit together.
    """
    given = {key: value for key, value in (("url", url), ("model", name)) if value}
    if not given:
        return settings
    try:
        llm = LLMSettings.model_validate(settings.llm.model_dump() | given)
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        raise ConfigError("\n".join(f"--llm-url, --model: {mistake['msg']}" for mistake in mistakes)) from None
    return settings.model_copy(update={"llm": llm})


async def _evaluate(
    settings: Settings,
    name: str,
    data: Path,
    folder: Path,
    *,
    format: str,
    limit: int,
    seed: int,
    points: Path | None,
    text: bool,
) -> bool:
    """Run an agent over a data set and write the report. Return whether any call succeeded.

    Raises:
        ConfigError: agent, data, rubric or folder cannot be used.
    """
    store.check(folder)
    plugin, agent = agent_of(settings, name)
    scale, whole = rubric.read(points), datasets.read(data, format)
    taken = whole.drawn(limit, seed)
    used = DataUsed(
        name=whole.name, format=whole.format, sha256=taken.sha256, cases=len(taken.samples), of=len(whole.samples),
        seed=seed,
    )  # fmt: skip
    begun = time.perf_counter()
    async with model(settings) as client:
        with _progress() as progress:
            results = await run(agent, taken.samples, settings, client, progress)
    made = build(
        agent, results, used=used, ran=_ran(settings, plugin, agent, results), rubric=scale, hisbus=version("hisbus"),
        wall_seconds=time.perf_counter() - begun, text=text,
    )  # fmt: skip
    store.store(folder, {report.FILE: made.model_dump_json(indent=1), PAGE: html.page(made)})
    _say(made, folder)
    return any(not result.failed for result in results)


@commands.command(name="coding")
def evaluate_coding(
    labels: Annotated[Path, typer.Argument(help="A TOML file of notes whose codes a person has labelled.")],
    folder: Annotated[Path, typer.Option("--out", help="The folder for the report; it must not exist yet.")],
    texts: Annotated[
        Path | None, typer.Option(help="A CSV file or a folder with the texts, where they are not with the labels.")
    ] = None,
    agent: Annotated[str, typer.Option(help="Name of the agent that proposes codes.")] = "coding",
) -> None:
    """Say how right proposed codes are, by halves of the notes: precision, recall, principal diagnosis, calibration."""
    store.check(folder)
    notes = labelled.read(labels, texts)
    results = run_to_end(_asked(chosen.settings, agent, [note.sample for note in notes]))
    made = coding.judge(labels.name, agent, zip(notes, results, strict=True))
    store.store(folder, {coding.FILE: made.model_dump_json(indent=1), coding.PAGE: html.coding_page(made)})
    for half in made.halves:
        table = table_of(half.name or "all", "codes", "categories")
        table.add_row("notes", str(half.notes), "")
        table.add_row("precision, high band", _counted(half.top), "")
        table.add_row("precision, shown set", _counted(half.shown), _counted(half.category_shown))
        table.add_row("recall, shown set", _counted(half.recall), _counted(half.category_recall))
        table.add_row("recall with candidates", _counted(half.offered), "")
        table.add_row("principal diagnosis", _counted(half.principal), "")
        for band in half.bands:
            table.add_row(f"right of band {band.name} (mean {band.mean:.2f})", _counted(band.right), "")
        table.add_row("neither right nor wrong", str(half.neither), "")
        show(table)
    out.print(f"{folder / coding.PAGE}")


async def _asked(settings: Settings, name: str, samples: list[Sample]) -> list[Result]:
    _, agent = agent_of(settings, name)
    async with model(settings) as client:
        with _progress() as progress:
            return await run(agent, samples, settings, client, progress)


@commands.command(name="indicators")
def evaluate_indicators(
    files: Annotated[list[Path], typer.Argument(help="Files of excerpts in the form of CMQCIC-Bench, JSON lines.")],
    agent: Annotated[str, typer.Option(help="Name of an agent whose rules are named like the indicators.")] = "",
    patterns: Annotated[
        Path | None, typer.Option(help="Or a TOML file of patterns: what is found in the excerpt counts.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="A folder for the report, JSON and HTML.")] = None,
) -> None:
    """Say how well indicators are told from excerpts, each beside its commoner answer. Without an agent: that alone."""
    if agent and patterns:
        raise ConfigError("Name an agent or a file of patterns, not both.")
    if folder is not None:
        store.check(folder)
    read = excerpts.read(files)
    answers: list[indicators.Answer] = [None] * len(read)
    failed = 0
    if agent:
        results = run_to_end(_asked(chosen.settings, agent, [one.sample for one in read]))
        answers, failed = indicators.of_agent(read, results), sum(result.assessment is None for result in results)
    elif patterns:
        answers = indicators.of_patterns(read, indicators.patterns(patterns))
    by = agent or (patterns.name if patterns else "")
    made = indicators.judge([file.name for file in files], by, read, answers, failed)
    table = table_of(
        "indicator", "count/excerpts", "commoner: right", "specificity", "answered", "right", "precision", "recall",
        "specificity", "p",
    )  # fmt: skip
    for one in made.each:
        table.add_row(one.name, *_row(one, by))
    if made.told is not None:
        table.add_row("all that were answered", *_row(made.told, by))
    table.add_row("all", *_row(made.whole, by))
    show(table)
    if made.repeated:
        out.print(f"{made.repeated} excerpts stand twice under one indicator.")
    if failed:
        out.print(f"{failed} calls failed.")
    if folder is not None:
        page = html.indicators_page(made)
        store.store(folder, {indicators.FILE: made.model_dump_json(indent=1), indicators.PAGE: page})
        out.print(f"{folder / indicators.PAGE}")


def _row(one: IndicatorFigures, by: str) -> list[str]:
    """Return the cells of an indicator behind its name."""
    free = one.commoner
    row = [f"{one.base.good}/{one.base.of}", _plain(free.accuracy.value), _plain(free.specificity.value)]
    if one.answers is None:
        return [*row, f"{by} does not answer this" if by else "no agent answers this", *[""] * 5]
    its = one.answers
    rates = map(_rate, (its.accuracy, its.precision, its.recall, its.specificity))
    return [*row, str(one.answered.good), *rates, _plain(one.p)]


def _counted(rate: Rate) -> str:
    return f"{_rate(rate)} {rate.good}/{rate.of}"


@commands.command(name="compare")
def compare(
    first: Annotated[Path, typer.Argument(help="A report, or its folder.")],
    second: Annotated[Path, typer.Argument(help="Another one, on the same cases.")],
    folder: Annotated[Path | None, typer.Option("--out", help="A folder for the comparison, JSON and HTML.")] = None,
) -> None:
    """Compare two runs on the same cases, case by case: what changed both ways, and whether that may be chance."""
    if folder is not None:
        store.check(folder)
    found = comparing.compare(report.load(first), report.load(second))
    if said := html.verdict(found.cases):
        out.print(said[1])
    table = table_of("figure", "first", "second", "difference", "95 %", "p")
    for one in found.differences:
        interval = f"{_plain(one.difference.low)} to {_plain(one.difference.high)}"
        values = (one.first, one.second, one.difference.value)
        table.add_row(html.FIGURES[one.name][1], *map(_plain, values), interval, _plain(one.p))
    show(table)
    moved = [label for label in found.labels if label.gained or label.lost]
    if moved:
        table = table_of("label", "gained", "lost", "p", "Holm", "cases")
        for label in moved[:SHOWN]:
            ids = " ".join([*(f"+{id}" for id in label.gained[:SHOWN]), *(f"-{id}" for id in label.lost[:SHOWN])])
            counts = (str(len(label.gained)), str(len(label.lost)))
            table.add_row(label.name, *counts, _plain(label.p), _plain(label.p_holm), ids)
        show(table)
    if folder is not None:
        page = html.comparison_page(found)
        store.store(folder, {comparing.FILE: found.model_dump_json(indent=1), COMPARISON_PAGE: page})
        out.print(f"{folder / COMPARISON_PAGE}")


def _ran(settings: Settings, plugin: Plugin, agent: Agent, results: list[Result]) -> AgentRun:
    its = settings.agent(agent.name)
    asked = bool(settings.llm.url)
    return AgentRun(
        name=agent.name, version=agent.version, plugin=plugin.name, distribution=plugin.distribution,
        distribution_version=plugin.version, settings=its.settings,
        model=(its.model or settings.llm.model) if asked else "",
        temperature=settings.llm.temperature if asked else None,
        prompts=sorted({one.prompt for result in results for one in result.asked}),
    )  # fmt: skip


def _say(made: Report, folder: Path) -> None:
    out.print(f"{made.data.cases} cases in {made.wall_seconds:.1f} s.")
    if made.labels is not None:
        table = table_of("label", "right", "wrong", "missed", "precision", "recall", "F1")
        for one in [made.labels.whole, *made.labels.each[:SHOWN]]:
            counts = (str(one.tp), str(one.fp), str(one.fn))
            table.add_row(one.name or "all", *counts, *map(_rate, (one.precision, one.recall, one.f1)))
        show(table)
    if made.documents is not None:
        table = table_of("section", "captured", "accurate", "unsupported", "omitted", "contradictions")
        for part in made.documents.sections:
            rates = map(_rate, (part.captured, part.accurate, part.unsupported, part.omitted))
            table.add_row(part.title or part.name or "all", *rates, str(part.contradictions))
        show(table)
    for code, count in made.failed.items():
        out.print(f"{count} calls failed: {code}.")
    if unanswered := made.usage.unanswered:
        out.print(
            f"{unanswered} of {made.usage.questions} questions were not answered: these are not the model's figures."
        )
    out.print(made.notice.en)
    out.print(f"{folder / PAGE}")


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return "-"
    interval = "" if rate.low is None or rate.high is None else f" ({rate.low:.2f}-{rate.high:.2f})"
    return f"{rate.value:.2f}{interval}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show how far it is, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluate", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
