"""The process is killed with SIGKILL in every gap of the flow, while a hospital feeds it and a person decides.

One life ends in each gap; the next begins where the log says. At the end the oracle asks: is anything lost, doubled,
out of order, unapproved or unaudited?
"""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.harness import Backbone, Site, embedded, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_simulator.his import His

pytestmark = pytest.mark.long

GAPS = [
    "intake:begun:3", "intake:tables:2", "intake:appended:2",
    "translate:begun:2", "translate:tables:2", "translate:appended:3", "translate:committed:2",
    "chart:begun:2", "chart:tables:2", "chart:appended:2", "chart:committed:2",
    "dispatch:begun:2", "dispatch:tables:2", "dispatch:appended:2", "dispatch:committed:2",
    "timers:begun:2", "timers:tables:2", "timers:committed:2",
    "relay:tables:1", "relay:appended:1",
    "review:begun:1", "review:tables:1", "review:committed:1",
    "writeback:begun:1", "writeback:tables:1", "writeback:committed:1",
    "sender:begun:1", "sender:tables:1", "sender:appended:1",
]  # fmt: skip

LOAD = ["intake:appended:30", "translate:tables:8", "chart:appended:8", "dispatch:tables:6", "review:tables:5"]
"""Deeper into a load of several senders, where batches hold many patients."""


GRACE = """
[review]
grace_s = 0.3
"""
"""The relay holds the rows of decisions while it sends them; what dies in between lets them go."""


async def die_in(site: Site, gaps: Sequence[str]) -> None:
    """Live once for each gap, and then once more."""
    for gap in gaps:
        life = await site.start("up", gap=gap)
        try:
            assert await life.over() == -signal.SIGKILL, (gap, site.said()[-2000:])
        except TimeoutError:
            pytest.fail(f"nothing ever came to {gap}")
    await site.start("up")


async def killed_in(folder: Path, backbone: Backbone, gaps: Sequence[str], lanes: int, patients: int) -> None:
    load = Load(numbered(7, patients))
    async with His() as his, site(folder, backbone, his, GRACE) as hospital, hospital.person() as person:
        async with person.deciding(), asyncio.TaskGroup() as group:
            group.create_task(die_in(hospital, gaps))
            group.create_task(load.feed([hospital.mllp], lanes))
        undecided = await person.settle()
        metrics = await person.metrics()
        await hospital.stop()
        lost = sum(gap.startswith(("sender:tables", "sender:appended")) for gap in gaps)
        assert lost <= undecided <= len(gaps), (
            "a life that ended between `sending` and the receipt leaves it to a person"
        )
        killed = [life for life in hospital.lives.values() if life.status == -signal.SIGKILL]
        await judge(hospital, load, least=len(load.sent), observed=len(killed) == len(gaps), metrics=metrics)
        findings_are_those_of(hospital, load)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "gaps, lanes, patients",
    [(GAPS[::2], 1, 5), (GAPS[1::2], 1, 5), (LOAD, 6, 10)],
    ids=["half of them", "the others", "during a load"],
)
async def test_sigkill_in_every_gap_loses_nothing_and_doubles_nothing(
    tmp_path: Path, gaps: Sequence[str], lanes: int, patients: int
) -> None:
    await killed_in(tmp_path, embedded(tmp_path), gaps, lanes, patients)


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("gaps", [GAPS[::3], GAPS[1::3], GAPS[2::3]], ids=["a third", "another", "the rest"])
async def test_sigkill_in_every_gap_on_kafka_and_postgresql(
    tmp_path: Path, kafka: str, postgres_url: str, gaps: Sequence[str]
) -> None:
    await killed_in(tmp_path, servers(kafka, postgres_url), gaps, 1, 5)
