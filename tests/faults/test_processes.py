"""Two, then three processes of each step come and go, politely and not, while a hospital sends."""

import asyncio
import os
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.faults.harness import DEADLINE_S, Site, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_simulator.his import His

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(1800)]

CALLED, HOLD = "called", "hold"

SLOW = f"""
import asyncio
from pathlib import Path
from hisbus import hookimpl
from hisbus_schemas import Assessment, Finding, Text

HERE = Path(__file__).parent

class Agent:
    name, version, kinds, grants = "slow", "1", frozenset({{"encounter.admitted"}}), frozenset()

    async def assess(self, case):
        (HERE / "{CALLED}").touch()
        while (HERE / "{HOLD}").exists():
            await asyncio.sleep(0.05)
        return Assessment(
            evaluated=frozenset({{"S01"}}), proposals=[Finding(key="one", rule="S01", message=Text(zh="慢", en="slow"))]
        )

@hookimpl
def register_agents(register):
    register(Agent())
"""


async def come_and_go(site: Site, rounds: int, chance: Random) -> None:
    """End one process after the other, each by SIGKILL or SIGTERM by chance, and wait until it is back."""
    for _ in range(rounds):
        life = chance.choice(site.kept())
        number = chance.choice([signal.SIGKILL, signal.SIGTERM])
        back = site.restarts.total() + 1
        status = await life.end(number)
        assert number == signal.SIGKILL or life.stopped_well, (life.tag, status, site.said()[-3000:])
        async with asyncio.timeout(DEADLINE_S):
            while site.restarts.total() < back:
                await asyncio.sleep(0.05)
        await asyncio.sleep(chance.uniform(0.2, 1.5))


@pytest.mark.parametrize("seed", [21])
async def test_two_and_then_three_processes_of_each_step_come_and_go(
    tmp_path: Path, kafka: str, postgres_url: str, seed: int
) -> None:
    load, chance = Load(numbered(seed, 12)), Random(seed)
    async with His() as his, site(tmp_path, servers(kafka, postgres_url), his) as hospital:
        await hospital.keep_every_step(2)
        await hospital.until_agents_have_their_place()
        async with hospital.person() as person:
            async with person.deciding(), asyncio.TaskGroup() as group:
                group.create_task(load.feed([hospital.mllp, hospital.second_mllp], 6, 12))
                await come_and_go(hospital, 6, chance)
                await hospital.keep_third()
                await come_and_go(hospital, 6, chance)
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        await judge(hospital, load, least=len(load.sent), observed=hospital.restarts.total() >= 12, metrics=metrics)
        findings_are_those_of(hospital, load)


@pytest.fixture
def slow_plugin(tmp_path: Path, ship: Any) -> str:
    """Install a plugin that answers only when it may, and return its lines of the configuration."""
    python = ship(tmp_path, "slow", SLOW)
    return f'[plugins.slow]\npython = "{python}"\n[agents.slow]\ndeadline_s = 120\n'


def held(folder: Path) -> None:
    """Let the slow plugin answer no more."""
    (folder / HOLD).touch()
    (folder / CALLED).unlink(missing_ok=True)


async def called(folder: Path) -> None:
    """Wait until the slow plugin is called."""
    async with asyncio.timeout(DEADLINE_S):
        while not (folder / CALLED).exists():
            await asyncio.sleep(0.05)


async def test_sigterm_while_an_agent_is_on_trial_ends_the_start(
    tmp_path: Path, kafka: str, postgres_url: str, slow_plugin: str
) -> None:
    async with His() as his, site(tmp_path, servers(kafka, postgres_url), his, slow_plugin) as hospital:
        held(tmp_path)
        starting = await hospital.start("run", "dispatch")
        await called(tmp_path)
        assert await starting.end(signal.SIGTERM) == 0
        assert not hospital.lines("started")


async def test_sigterm_during_a_long_call_of_an_agent_ends_well_and_loses_nothing(
    tmp_path: Path, kafka: str, postgres_url: str, slow_plugin: str
) -> None:
    load = Load(numbered(22, 3))
    async with His() as his, site(tmp_path, servers(kafka, postgres_url), his, slow_plugin) as hospital:
        hospital.agents.append("slow")
        for step in ("intake", "translate", "chart", "timers", "review", "writeback", "web"):
            await hospital.keep("run", step)
        calling = await hospital.start("run", "dispatch")
        await hospital.until_logged("started", 8)
        held(tmp_path)
        await load.feed([hospital.mllp], 3)
        await called(tmp_path)
        assert await calling.end(signal.SIGTERM) == 0
        assert not any(_runs(child) for child in _children_ever(calling.pid)), "its agents outlived it"
        (tmp_path / HOLD).unlink()
        await hospital.keep("run", "dispatch")
        async with hospital.person() as person:
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        found = hospital.rows("SELECT DISTINCT encounter FROM proposals WHERE rule = 'S01'")
        admitted = hospital.rows(
            "SELECT DISTINCT encounter FROM events WHERE kind = 'encounter.admitted' AND flag = ''"
        )
        assert sorted(found) == sorted(admitted)
        await judge(hospital, load, least=len(load.sent), observed=bool(hospital.lines("stopping")), metrics=metrics)


def _children_ever(group: int) -> list[int]:
    """Return the processes of a session that was led by one that is gone."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == group:
                found.append(int(place.name))
        except ProcessLookupError:
            continue
    return found


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
