"""An operator holds a connector, steps and an agent, and lets them go on, while a hospital sends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.faults.harness import DEADLINE_S, Backbone, Site, embedded, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_bus.kernel import controls
from hisbus_bus.kernel.controls import Wanted
from hisbus_bus.kernel.site import open_database
from hisbus_bus.kernel.topics import FLOW, Name
from hisbus_simulator.his import His

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PACE = 15.0
READS: dict[str, tuple[Name, str]] = {
    "step:chart": ("events", "chart"),
    "step:translate": ("raw", "translate"),
    "agent:qc": ("charted", "dispatch.qc"),
}
"""What a target reads, and under which group."""


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    if request.param == "embedded":
        return embedded(tmp_path)
    return servers(request.getfixturevalue("kafka"), request.getfixturevalue("postgres_url"))


async def ask(hospital: Site, target: str, wanted: Wanted) -> None:
    """Ask as the command does: beside the running site."""
    database = open_database(hospital.settings)
    async with database.write() as connection:
        await controls.ask(connection, target, wanted, who="command")
    await database.close()


async def until_held(hospital: Site, target: str, wanted: str) -> None:
    """Wait until the site itself says that the target has come to rest; an empty ``wanted``: that it goes on."""
    query = f"SELECT detail FROM signals WHERE part = '{target}' AND kind = 'held' AND ended IS NULL"
    async with asyncio.timeout(DEADLINE_S):
        while [row[0] for row in hospital.rows(query)] != ([wanted] if wanted else []):
            await asyncio.sleep(0.05)


async def reached(hospital: Site, target: str) -> tuple[dict[int, int], int]:
    """Return what a target has committed, and how much waits for it."""
    topic, step = READS[target]
    async with hospital.reader() as log:
        done = dict(await log.committed(topic, f"{hospital.name}.{step}"))
        ends = await log.ends(topic)
    return done, sum(end - done.get(partition, 0) for partition, end in ends.items())


async def test_what_is_held_loses_and_reorders_nothing(tmp_path: Path, backbone: Backbone) -> None:
    load = Load(numbered(31, 10))
    parts = load.parts(9)[::-1]
    refused: list[int] = []
    waiting: dict[str, int] = {}

    async def feed(pace: float = 0) -> None:
        await load.feed([hospital.mllp], 6, pace, parts.pop())

    async with His() as his, site(tmp_path, backbone, his) as hospital:
        if backbone.embedded:
            await hospital.keep("up")
            await hospital.until_logged("started")
        else:
            for step in (*FLOW, "web"):
                await hospital.keep("run", step)
        await hospital.until_agents_have_their_place()
        async with hospital.person() as person:
            async with person.deciding():
                await feed()
                for wanted in ("pause", "drain"):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(feed(PACE))
                        await ask(hospital, "connector:his", wanted)  # type: ignore[arg-type]
                        await until_held(hospital, "connector:his", wanted)
                        await load.answered()
                        held, before = load.acked.copy(), load.refused["AE"]
                        async with asyncio.timeout(DEADLINE_S):
                            while load.refused["AE"] < before + 3:
                                await asyncio.sleep(0.05)
                        assert load.acked == held, "acknowledged while an operator held the connector"
                        refused.append(load.refused["AE"] - before)
                        await ask(hospital, "connector:his", "run")
                    await until_held(hospital, "connector:his", "")
                asked: Any = [("step:translate", "drain"), ("step:chart", "pause"), ("agent:qc", "pause")]
                for target, wanted in asked:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(feed(PACE))
                        await ask(hospital, target, wanted)
                        await until_held(hospital, target, wanted)
                    done, _ = await reached(hospital, target)
                    await feed()  # all of it is acknowledged: who is held is no matter of the sender's
                    async with asyncio.timeout(DEADLINE_S):
                        while not (await reached(hospital, target))[1]:
                            await asyncio.sleep(0.05)
                    now, waiting[target] = await reached(hospital, target)
                    assert now == done, f"{target} went on"
                    await ask(hospital, target, "run")
                    await until_held(hospital, target, "")
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        observed = len(refused) == 2 and all(refused) and all(waiting.values()) and len(waiting) == 3
        await judge(hospital, load, least=len(load.sent), observed=observed, metrics=metrics)
        findings_are_those_of(hospital, load)
