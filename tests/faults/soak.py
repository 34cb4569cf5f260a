"""``make soak``: for half an hour something is killed every few seconds, and then the oracle is asked.

Three brokers with two in sync, PostgreSQL, two processes of each step, a hospital that sends and a person who accepts
whatever is found. ``SOAK_MINUTES`` says how long, ``SOAK_RATE`` how many messages a second, ``SOAK_SEED`` what is
killed when. Then come the fault tests beside busy loops (``busy.py``, whose settings hold; ``BUSY_RUNS=0`` leaves them
out). Writes ``var/soak.json``; exits with 1 where the oracle says no, or a test fails.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from tests.faults import busy
from tests.faults.harness import Site, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import Figures, findings_are_those_of, judge

from hisbus_servers.kafka import Kafka
from hisbus_servers.postgres import Postgres
from hisbus_servers.process import ServerError
from hisbus_simulator import ward_week
from hisbus_simulator.his import His

VAR = Path(__file__).parents[2] / "var"
LANES = 8
PARTITIONS = 6
RSS_MB = 300.0
"""Most that a process may hold at the end, MiB."""
DRAIN_S = 600.0
START_TRIES = 4

Blow = Callable[[], Awaitable[None]]


class Trouble:
    """Kills one thing after the other, by chance, and brings it back."""

    def __init__(self, site: Site, brokers: Kafka, database: Postgres, seed: int) -> None:
        self._site, self._brokers, self._database = site, brokers, database
        self._chance = Random(seed)
        self.done: Counter[str] = Counter()
        self.left_badly: list[str] = []
        """What did not end well when it was asked to."""

    async def until(self, deadline: float) -> None:
        """Make trouble until then, every three to seven seconds."""
        blows: dict[str, tuple[int, Blow]] = {
            "step killed": (8, self._kill_a_step),
            "step stopped": (3, self._stop_a_step),
            "agent killed": (3, self._kill_an_agent),
            "broker killed": (3, self._kill_a_broker),
            "broker frozen": (1, self._freeze_a_broker),
            "PostgreSQL killed": (1, self._kill_the_database),
            "PostgreSQL frozen": (1, self._freeze_the_database),
        }
        weights = [weight for weight, _ in blows.values()]
        while monotonic() < deadline:
            [kind] = self._chance.choices(list(blows), weights)
            await blows[kind][1]()
            self.done[kind] += 1
            await asyncio.sleep(self._chance.uniform(3, 7))

    async def _kill_a_step(self) -> None:
        if kept := self._site.kept():
            await self._chance.choice(kept).end(signal.SIGKILL)

    async def _stop_a_step(self) -> None:
        if kept := self._site.kept():
            life = self._chance.choice(kept)
            status = await life.end()
            if not life.stopped_well:
                self.left_badly.append(f"{life.name}: {status}")

    async def _kill_an_agent(self) -> None:
        parents = [life for life in self._site.kept() if life.name == "dispatch"]
        with suppress(psutil.NoSuchProcess, IndexError):
            self._chance.choice(psutil.Process(self._chance.choice(parents).pid).children()).kill()

    async def _kill_a_broker(self) -> None:
        node = self._chance.randrange(3)
        await asyncio.to_thread(self._brokers.kill, node)
        await asyncio.sleep(self._chance.uniform(0, 6))
        await self._back(partial(self._brokers.start_broker, node), partial(self._brokers.kill, node))

    async def _freeze_a_broker(self) -> None:
        node = self._chance.randrange(3)
        await asyncio.to_thread(self._brokers.pause, node)
        await asyncio.sleep(self._chance.uniform(1, 8))
        await asyncio.to_thread(self._brokers.resume, node)

    async def _kill_the_database(self) -> None:
        await asyncio.to_thread(self._database.kill)
        await asyncio.sleep(self._chance.uniform(0, 6))
        await self._back(self._database.start, self._database.kill)

    async def _back(self, start: Callable[[], None], kill: Callable[[], None]) -> None:
        """Start a server, and again where it was too slow: the machine is busy."""
        for _ in range(START_TRIES - 1):
            try:
                return await asyncio.to_thread(start)
            except ServerError:
                await asyncio.to_thread(kill)
        await asyncio.to_thread(start)

    async def _freeze_the_database(self) -> None:
        await asyncio.to_thread(self._database.pause)
        await asyncio.sleep(self._chance.uniform(1, 8))
        await asyncio.to_thread(self._database.resume)


async def soak(folder: Path, minutes: float, rate: float, seed: int) -> dict[str, Any]:
    """Return the report."""
    brokers, database = Kafka(folder / "kafka", 3), Postgres(folder / "postgres")
    try:
        await asyncio.to_thread(brokers.start)
        await asyncio.to_thread(database.start)
        await asyncio.to_thread(database.create, "soak")
        wanted = round(minutes * 60 * rate)
        patients = round(25 * wanted / len(ward_week().messages)) + 1
        load = Load(numbered(seed, patients))
        backbone = servers(brokers.bootstrap, database.url("soak"), partitions=PARTITIONS)
        async with His() as his, site(folder / "site", backbone, his) as hospital:
            hospital.quick_session = False
            return await _suffer(hospital, load, Trouble(hospital, brokers, database, seed), minutes, rate)
    finally:
        await asyncio.to_thread(database.stop)
        await asyncio.to_thread(brokers.stop)


async def _suffer(site: Site, load: Load, trouble: Trouble, minutes: float, rate: float) -> dict[str, Any]:
    begun = monotonic()
    await site.keep_every_step(2)
    async with site.person() as person:
        async with person.deciding(), asyncio.TaskGroup() as group:
            group.create_task(load.feed([site.mllp, site.second_mllp], LANES, rate))
            group.create_task(trouble.until(begun + minutes * 60))
        calm = monotonic()
        await person.until_idle(DRAIN_S)
        drained = monotonic() - calm
        undecided = await person.settle()
        metrics = await person.metrics()
    rss = site.rss_mb()
    with_children = len(_children(site))
    await site.stop()
    verdict, figures = "holds", None
    try:
        pauses = len(site.lines("paused"))
        figures = await judge(site, load, least=len(load.sent), observed=trouble.done.total() > 0, metrics=metrics)
        findings_are_those_of(site, load)
        assert max(rss.values()) <= RSS_MB, f"a process holds {max(rss.values()):.0f} MiB"
        assert not trouble.left_badly, f"ended with another status than 0: {trouble.left_badly}"
    except AssertionError as no:
        verdict = f"BROKEN: {str(no).splitlines()[0]}"
    return {
        "verdict": verdict, "minutes": minutes, "messages": len(load.acked), "kills": dict(trouble.done),
        "restarts": dict(site.restarts), "pauses": pauses, "sent_again": load.resent, "refused": dict(load.refused),
        "longest_wait_s": round(load.longest_wait_s, 1), "drained_s": round(drained, 1), "undecided": undecided,
        "rss_mb": round(max(rss.values())), "children": with_children,
        **({} if figures is None else _without_messages(figures)),
    }  # fmt: skip


def _children(site: Site) -> list[psutil.Process]:
    return [child for life in site.running() for child in psutil.Process(life.pid).children()]


def _without_messages(figures: Figures) -> dict[str, int]:
    return {name: value for name, value in asdict(figures).items() if name != "messages"}


def main() -> int:
    """Run, write the report and print it."""
    minutes, rate = float(os.environ.get("SOAK_MINUTES", "30")), float(os.environ.get("SOAK_RATE", "10"))
    seed = int(os.environ.get("SOAK_SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="hisbus-soak-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's own user walks through
        report = asyncio.run(soak(Path(folder), minutes, rate, seed))
        if report["verdict"] != "holds":
            VAR.mkdir(exist_ok=True)
            (VAR / "soak.log").write_bytes((Path(folder) / "site" / "hisbus.log").read_bytes())
    VAR.mkdir(exist_ok=True)
    if os.environ.get("BUSY_RUNS") != "0":
        report["busy"] = busy.beside_servers()
    (VAR / "soak.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    table = Table("figure", "value")
    for name, value in report.items():
        if name == "busy":
            continue  # it has printed a table of its own
        told = ", ".join(f"{count} {kind}" for kind, count in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name, told)
    Console().print(table)
    return 0 if report["verdict"] == "holds" and busy.holds(report.get("busy", {"passed": 1, "failed": 0})) else 1


if __name__ == "__main__":
    sys.exit(main())
