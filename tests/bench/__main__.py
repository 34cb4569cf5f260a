"""Measure hisbus; ``make bench`` starts Kafka and PostgreSQL around it.

``BENCH_ONLY="intake_sqlite late"`` (or arguments) takes only parts that have a figure whose name begins so.
Without the servers, only what needs none is measured. Results: ``var/bench.json``, ``var/bench-profile.json``;
``--markdown`` prints the table of the last results as the README shows it.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import figures
from tests.bench.calm import calm
from tests.bench.figures import FIGURES, Figure
from tests.bench.flow import AT_ONCE, Offer
from tests.bench.intake import intake_kafka, intake_sqlite
from tests.bench.prefix import shared_prefix
from tests.bench.processes import ROOT, BenchError
from tests.bench.rates import behind, in_several, in_turns
from tests.bench.sites import KAFKA, POSTGRES
from tests.bench.steps import late_stay_ratio, translate_adt_us

from hisbus_servers.vllm import PYTHON

VAR = ROOT / "var"
RESULTS, PROFILE = VAR / "bench.json", VAR / "bench-profile.json"


class Bench:
    """One measurement of everything that was asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.offers: dict[str, Offer] = {}
        """By the figure's name: what the flow was offered."""
        self.notes: list[str] = []
        """What is to be said below the table."""

    def steps(self) -> Iterator[Figure]:
        """What needs no process."""
        yield translate_adt_us()
        ratio, early, late = late_stay_ratio(self._folder)
        self.notes.append(f"late_stay_ratio: {late:,.0f} µs through {early:,.0f} µs.")
        yield Figure("late_stay_ratio", ratio, "")

    def sqlite(self) -> Iterator[Figure]:
        """Intake on the embedded log."""
        yield from intake_sqlite(self._folder)

    def kafka(self) -> Iterator[Figure]:
        """Intake on Kafka."""
        yield from intake_kafka(self._folder)

    def rates(self) -> Iterator[Figure]:
        """How many events a second, in turns with the floor."""
        for figure, offered in in_turns(self._folder):
            if offered is not None:
                self.offers[figure.name] = offered
            yield figure

    def behind(self) -> Iterator[Figure]:
        """How far behind it is after many at a rate that it should keep."""
        known = {figure.name: figure.value for figure in figures.load(RESULTS)} if RESULTS.is_file() else {}
        if "flow_events_per_s" not in known:
            raise BenchError("flow_events_per_s must be known first.")
        offer = self.offers["flow_behind_s"] = behind(self._folder, known["flow_events_per_s"])
        yield Figure("flow_behind_s", max(offer.drained_s, offer.behind_s), "s")

    def several(self) -> Iterator[Figure]:
        """How many, with each step in a process of its own."""
        offer = self.offers["flow_events_per_s_processes"] = in_several(self._folder)
        yield Figure("flow_events_per_s_processes", offer.kept, "events/s")

    def calm(self) -> Iterator[Figure]:
        """How soon when little is going on, and how large messages fare."""
        yield from calm(self._folder)

    def prefix(self) -> Iterator[Figure]:
        """What the layout of prompts is worth, on a vLLM of its own."""
        if not PYTHON.exists():
            self.notes.append("llm_shared_prefix was not measured: `make .venv-vllm/.ready` installs vLLM.")
            return
        for figure, note in shared_prefix(self._folder):
            self.notes.append(note)
            yield figure


Part = Callable[[Bench], Iterator[Figure]]
PARTS: Mapping[Part, Sequence[str]] = {
    Bench.steps: ("translate_adt_us", "late_stay_ratio"),
    Bench.sqlite: tuple(name for name in FIGURES if name.startswith("intake_sqlite")),
    Bench.kafka: tuple(name for name in FIGURES if name.startswith(("intake_kafka", "intake_camel"))),
    Bench.rates: (
        "flow_events_per_s",
        "flow_events_per_s_all",
        "flow_cpu_us",
        "flow_cpu_us_all",
        "agent_calls",
        "rss_mb",
    ),
    Bench.behind: ("flow_behind_s",),
    Bench.several: ("flow_events_per_s_processes",),
    Bench.calm: (
        "flow_p50_ms_20",
        "flow_p99_ms_20",
        "flow_cpu_us_50",
        *(n for n in FIGURES if n.startswith("large")),
        "rss_mb_large",
    ),
    Bench.prefix: tuple(name for name in FIGURES if name.startswith("llm")),
}
NO_SERVER: frozenset[Part] = frozenset({Bench.steps, Bench.sqlite, Bench.prefix})


def main(only: Sequence[str]) -> None:
    """Measure, print, write."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what it has started ends with it
    shutil.rmtree(VAR / "bench", ignore_errors=True)
    bench, found, failed = Bench(VAR / "bench"), list[Figure](), list[str]()
    (VAR / "bench").mkdir(parents=True)
    for part, names in PARTS.items():
        if only and not any(name.startswith(tuple(only)) for name in names):
            continue
        if part in NO_SERVER or (KAFKA and POSTGRES):
            try:
                found += part(bench)
            except BenchError as error:
                failed.append(f"{', '.join(names)}: {error}")
            figures.save(found, RESULTS)
    profile = json.loads(PROFILE.read_text("utf-8")) if PROFILE.is_file() else {}
    profile |= {name: offer.profile for name, offer in bench.offers.items()}
    PROFILE.write_text(json.dumps(profile, indent=1) + "\n", "utf-8")
    figures.show(found, [*bench.notes, *(_note(name, offer) for name, offer in bench.offers.items()), *failed])
    sys.exit(bool(failed))


def _note(name: str, offer: Offer) -> str:
    shares = sorted(offer.profile.items(), key=lambda share: -share[1])
    costs = ", ".join(f"{process} {cost:,.0f}" for process, cost in shares)
    return f"{name}: {len(offer.sent):,} messages at {_rate(offer.rate)}; CPU µs a message: {costs}."


def _rate(rate: float) -> str:
    return "once" if rate == AT_ONCE else f"{rate:g}/s"


if sys.argv[1:] == ["--markdown"]:
    sys.stdout.write(figures.markdown(figures.load(RESULTS)))
else:
    main(sys.argv[1:] or os.environ.get("BENCH_ONLY", "").split())
