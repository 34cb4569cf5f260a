"""Measure hisbus; ``make bench`` starts Kafka and PostgreSQL around it.

``BENCH_ONLY="intake_sqlite late"`` (or arguments) takes only parts that have a figure whose name begins so.
Without the servers, only what needs none is measured. Results: ``var/bench.json``, ``var/bench-profile.json``;
``--markdown`` prints the table of the last results as the README shows it.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from tests.bench import figures
from tests.bench.figures import FIGURES, Figure
from tests.bench.flow import IN_ONE, IN_SEVERAL, Offer, calm, flow
from tests.bench.intake import intake_kafka, intake_sqlite
from tests.bench.large import large_messages
from tests.bench.prefix import shared_prefix
from tests.bench.processes import ROOT, BenchError
from tests.bench.sites import KAFKA, POSTGRES, make
from tests.bench.steps import late_stay_ratio, translate_adt_us

from hisbus_servers.vllm import PYTHON

VAR = ROOT / "var"


class Bench:
    """One measurement of everything that was asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.offers: dict[str, Offer] = {}
        """By the figure's name: what the flow was offered."""
        self.notes: list[str] = []
        """What is to be said below the table."""
        self._rss_mb: list[float] = []

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

    def calm(self) -> Iterator[Figure]:
        """How soon, how large messages fare, and the memory of the process that did both."""
        site = make(self._folder / "calm", "bench-calm")
        with IN_ONE(site) as running:
            self.offers["flow_p50_ms"], waits = calm(running)
            self.notes.append(f"flow_p50_ms, flow_p99_ms: of {len(waits)} proposals.")
            yield Figure("flow_p50_ms", median(waits), "ms")
            yield Figure("flow_p99_ms", quantiles(waits, n=100)[98], "ms")
            yield from large_messages(running, make(self._folder / "large-floor", "bench-large-floor"))
            self._rss_mb.append(running.peak_rss_mb())

    def flow(self) -> Iterator[Figure]:
        """How many, in one process."""
        offer = self.offers["flow_events_per_s"] = flow(self._folder, "bench-flow", IN_ONE)
        self._rss_mb.append(offer.rss_mb)
        yield Figure("flow_events_per_s", offer.rate, "events/s")
        yield Figure("agent_calls_per_event", offer.agent_calls / len(offer.sent), "calls")

    def several(self) -> Iterator[Figure]:
        """How many, with each step in a process of its own."""
        offer = self.offers["flow_events_per_s_processes"] = flow(self._folder, "bench-several", IN_SEVERAL)
        yield Figure("flow_events_per_s_processes", offer.rate, "events/s")

    def memory(self) -> Iterator[Figure]:
        """What the process that did it all in one held at most."""
        if self._rss_mb:
            yield Figure("rss_mb", max(self._rss_mb), "MiB")

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
    Bench.kafka: tuple(name for name in FIGURES if name.startswith("intake_kafka")),
    Bench.calm: ("flow_p50_ms", "flow_p99_ms", *(n for n in FIGURES if n.startswith("large")), "rss_mb"),
    Bench.flow: ("flow_events_per_s", "agent_calls_per_event", "rss_mb"),
    Bench.several: ("flow_events_per_s_processes",),
    Bench.memory: ("rss_mb",),
    Bench.prefix: tuple(name for name in FIGURES if name.startswith("llm")),
}
NO_SERVER: frozenset[Part] = frozenset({Bench.steps, Bench.sqlite, Bench.prefix})


def main(only: Sequence[str]) -> None:
    """Measure, print, write."""
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
            figures.save(found, VAR / "bench.json")
    profile = {name: offer.profile for name, offer in bench.offers.items()}
    if profile:
        (VAR / "bench-profile.json").write_text(json.dumps(profile, indent=1) + "\n", "utf-8")
    figures.show(found, [*bench.notes, *(_note(name, offer) for name, offer in bench.offers.items()), *failed])
    sys.exit(bool(failed))


def _note(name: str, offer: Offer) -> str:
    shares = sorted(offer.profile.items(), key=lambda share: -share[1])
    costs = ", ".join(f"{process} {cost:,.0f}" for process, cost in shares)
    return f"{name}: {len(offer.sent):,} messages at {offer.rate:g}/s; CPU µs a message: {costs}."


if sys.argv[1:] == ["--markdown"]:
    sys.stdout.write(figures.markdown(figures.load(VAR / "bench.json")))
else:
    main(sys.argv[1:] or os.environ.get("BENCH_ONLY", "").split())
