"""What is measured, what is wanted, and how it is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Column, Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    """The same work without hisbus, measured in turns with it."""
    ratio: float | None = None
    """Value through floor: the median over the turns."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on a figure's value or ratio."""

    least: float | None = None
    most: float | None = None
    of: str = "value"

    def met(self, figure: Figure) -> bool:
        """Tell whether the figure is within the bound."""
        number = getattr(figure, self.of)
        return (self.least is None or number >= self.least) and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        bound = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"
        return f"{bound} × floor" if self.of == "ratio" else bound


CONNECTIONS = (1, 16, 64)
MIBS = (5, 10, 20)
QUESTIONS = (3, 9)
"""About one chart, of three agents."""
WHOSE = {"up": "up", "agents": "up: agents", "postgresql": "PostgreSQL", "kafka": "Kafka"}
"""By the end of a figure's name: the processes whose CPU it is. The floor's two have the names of hisbus's."""

FIGURES: Mapping[str, Wanted | None] = {
    **{f"intake_kafka_{n}": Wanted(least=0.9, of="ratio") for n in CONNECTIONS},
    **{f"intake_kafka_{n}_cpu_us": Wanted(most=1.3, of="ratio") for n in CONNECTIONS},
    **{f"intake_camel_{n}": None for n in CONNECTIONS},
    **{f"intake_camel_{n}_cpu_us": None for n in CONNECTIONS},
    **{f"intake_sqlite_{n}": Wanted(least=0.6, of="ratio") for n in CONNECTIONS},
    **{f"intake_sqlite_{n}_cpu_us": None for n in CONNECTIONS},
    "translate_adt_us": Wanted(most=100),
    "flow_events_per_s": Wanted(least=0.3, of="ratio"),
    "flow_cpu_us": Wanted(most=4, of="ratio"),
    **{f"flow_cpu_us_{whose}": None for whose in WHOSE},
    "flow_events_per_s_all": Wanted(least=0.15, of="ratio"),
    "flow_cpu_us_all": None,
    **{f"flow_cpu_us_all_{whose}": None for whose in WHOSE},
    "agent_calls_per_event": None,
    "rss_mb": Wanted(most=300),
    "flow_behind_s": Wanted(most=10),
    "flow_events_per_s_processes": None,
    "flow_p50_ms_20": Wanted(most=60),
    "flow_p99_ms_20": Wanted(most=500),
    "flow_cpu_us_50": None,
    "late_stay_ratio": Wanted(most=1.5),
    **{f"large_message_{mib}mib_s": None for mib in MIBS},
    "rss_mb_large": None,
    **{f"llm_shared_prefix_{n}": Wanted(least=2, of="ratio") for n in QUESTIONS},
}
"""Every figure by name, with the bound that is wanted of it."""


def compared(name: str, unit: str, ours: Sequence[float], floors: Sequence[float]) -> Figure:
    """Return the median figure of runs that took turns with their floor."""
    ratios = [one / floor for one, floor in zip(ours, floors, strict=True)]
    return Figure(name, median(ours), unit, median(floors), median(ratios))


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures as they are shown."""
    shown = Table(Column("figure", no_wrap=True), "value", "unit", "floor", "ratio", "wanted", "")
    for figure in figures:
        wanted = FIGURES[figure.name]
        met = "" if wanted is None else "[green]yes[/]" if wanted.met(figure) else "[red]no[/]"
        numbers = [_short(figure.value), figure.unit, _short(figure.floor), _short(figure.ratio)]
        shown.add_row(figure.name, *numbers, str(wanted or ""), met)
    return shown


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures; those that were not measured this time stay as they were."""
    known = {figure.name: figure for figure in [*(load(path) if path.is_file() else []), *figures]}
    rows = [asdict(known[name]) for name in FIGURES if name in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def show(figures: Sequence[Figure], notes: Sequence[str]) -> None:
    """Print the table and what is to be said below it."""
    console = Console(highlight=False)
    console.print(table(figures))
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)


def load(path: Path) -> list[Figure]:
    """Read what was saved."""
    return [Figure(**row) for row in json.loads(path.read_text("utf-8"))]


def markdown(figures: Sequence[Figure]) -> str:
    """Return the figures as the README shows them, with a row for those that were not measured."""
    rows = ["| figure | value | unit | floor | ratio | wanted |", "| --- | --- | --- | --- | --- | --- |"]
    known = {figure.name: figure for figure in figures}
    for name, wanted in FIGURES.items():
        if name not in known:
            rows.append(f"| `{name}` | not measured |  |  |  | {wanted or ''} |")
            continue
        figure = known[name]
        verdict = "" if wanted is None else f"{wanted}{'' if wanted.met(figure) else ': **not reached**'}"
        numbers = [_short(figure.value), figure.unit, _short(figure.floor), _short(figure.ratio), verdict]
        rows.append(f"| `{name}` | {' | '.join(numbers)} |")
    return "\n".join(rows) + "\n"


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
