"""The clocks of a site's processes are hours apart, and one is put back while it works."""

import signal
from pathlib import Path

import pytest
from tests.faults.harness import Backbone, embedded, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_bus.kernel.topics import FLOW
from hisbus_simulator.his import His

pytestmark = pytest.mark.long

HOURS = 3600.0


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(1800)
async def test_clocks_hours_apart_change_neither_order_nor_findings(
    tmp_path: Path, kafka: str, postgres_url: str
) -> None:
    fast = dict.fromkeys((*FLOW, "web")[::2], 2 * HOURS)
    await a_week(tmp_path, servers(kafka, postgres_url), {step: fast.get(step, -2 * HOURS) for step in (*FLOW, "web")})


async def test_a_clock_that_is_put_back_changes_neither_order_nor_findings(tmp_path: Path) -> None:
    await a_week(tmp_path, embedded(tmp_path), {"": 2 * HOURS})


async def a_week(folder: Path, backbone: Backbone, clocks: dict[str, float]) -> None:
    """Send a week to processes with these clocks, and put the fast ones back by two hours in the middle."""
    load = Load(numbered(41, 8))
    first, second = load.parts(2)
    async with His() as his, site(folder, backbone, his) as hospital, hospital.person() as person:
        lives = {
            life: clock
            for step, clock in clocks.items()
            for life in [await hospital.start(*(("run", step) if step else ("up",)), clock_s=clock)]
        }
        async with person.deciding():
            await load.feed([hospital.mllp], 6, part=first)
            for life, clock in lives.items():
                if clock > 0:
                    life.tell(signal.SIGUSR1)
            await load.feed([hospital.mllp], 6, part=second)
        await person.settle()
        metrics = await person.metrics()
        await hospital.stop()
        stamps = [line["timestamp"][:13] for line in hospital.lines("started") + hospital.lines("stopping")]
        await judge(hospital, load, least=len(load.sent), observed=len(set(stamps)) > 1, metrics=metrics)
        findings_are_those_of(hospital, load)
