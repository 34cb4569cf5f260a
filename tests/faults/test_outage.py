"""Brokers and the database go away and come back, while a hospital sends and a person decides."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from tests.faults.harness import DEADLINE_S, Site, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_servers.kafka import Kafka
from hisbus_servers.postgres import Postgres
from hisbus_simulator.his import His

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(1800)]

OUTAGE_S = 5.0
PACE = 10.0


async def until(true: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what}: not within {DEADLINE_S} s")


async def all_brokers_die(cluster: Kafka, load: Load, sending: Callable[[], Coroutine[None, None, None]]) -> None:
    """While nothing can be stored nothing is acknowledged: who asks is told AE."""
    for node in range(3):
        await asyncio.to_thread(cluster.kill, node)
    before, refused = load.acked.copy(), load.refused["AE"]
    async with asyncio.TaskGroup() as group:
        group.create_task(sending())
        await until(lambda: load.refused["AE"] > refused, "a refusal")
        await asyncio.sleep(OUTAGE_S)
        assert load.acked == before, "acknowledged while no broker could store it"
        for node in range(3):
            group.create_task(asyncio.to_thread(cluster.start_broker, node))


async def test_brokers_die_one_by_one_and_then_all_at_once(
    tmp_path: Path, three_brokers: Kafka, postgres_url: str
) -> None:
    load, brokers = Load(numbered(11, 8)), three_brokers
    parts = load.parts(6)[::-1]
    async with His() as his, site(tmp_path, servers(brokers.bootstrap, postgres_url), his) as hospital:
        await hospital.keep("up")
        async with hospital.person() as person:
            async with person.deciding():
                for node in range(3):  # two of three stay in sync, so the flow goes on under new leaders
                    async with asyncio.TaskGroup() as group:
                        group.create_task(load.feed([hospital.mllp], 6, PACE, parts.pop()))
                        group.create_task(asyncio.to_thread(brokers.kill, node))
                    await asyncio.to_thread(brokers.start_broker, node)
                async with asyncio.TaskGroup() as group:
                    group.create_task(load.feed([hospital.mllp], 6, PACE, parts.pop()))
                    await asyncio.to_thread(brokers.pause, 0)
                    await asyncio.sleep(OUTAGE_S)
                    await asyncio.to_thread(brokers.resume, 0)
                await all_brokers_die(brokers, load, lambda: load.feed([hospital.mllp], 6, 0, parts.pop()))
                await load.feed([hospital.mllp], 6, 0, parts.pop())
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        await judge(hospital, load, least=len(load.sent), observed=load.refused["AE"] > 0, metrics=metrics)
        findings_are_those_of(hospital, load)


async def positions(site: Site) -> dict[tuple[str, int], int]:
    """Return what the log says is done, of the steps that have tables."""
    groups = {"translate": "raw", "chart": "events", "timers": "assessments", "review": "assessments"}
    async with site.reader() as log:
        return {
            (f"{site.name}.{step}", partition): offset
            for step, topic in groups.items()
            for partition, offset in (await log.committed(topic, f"{site.name}.{step}")).items()  # type: ignore[arg-type]
        }


async def test_messages_are_taken_while_the_database_is_away_and_nothing_is_committed_ahead_of_it(
    tmp_path: Path, kafka: str, own_postgres: Postgres
) -> None:
    load, database = Load(numbered(12, 8)), own_postgres
    parts = load.parts(5)[::-1]
    await asyncio.to_thread(database.create, "fault")
    async with His() as his, site(tmp_path, servers(kafka, database.url("fault")), his) as hospital:
        await hospital.keep("run", "intake")
        for step in ("translate", "chart", "dispatch", "timers", "review", "writeback", "web"):
            await hospital.keep("run", step)
        await hospital.until_agents_have_their_place()  # one that first comes later sees only the stays that go on
        async with hospital.person() as person:
            async with person.deciding():
                await load.feed([hospital.mllp], 6, 0, parts.pop())
                for away in (database.kill, database.stop, database.pause):
                    await asyncio.to_thread(away)
                    paused = len(hospital.lines("paused", code="database"))
                    await load.feed([hospital.mllp], 6, PACE, parts.pop())  # all of it is acknowledged
                    if away != database.pause:
                        await hospital.until_logged("paused", paused + 1, code="database")
                    done = await positions(hospital)
                    await asyncio.to_thread(database.resume if away == database.pause else database.start)
                    query = 'SELECT "group", "partition", next FROM offsets'
                    told = {(group, at): next for group, at, next in hospital.rows(query)}
                    ahead = {place: offset for place, offset in done.items() if offset > told.get(place, 0)}
                    assert not ahead, "committed ahead of the database"
                await load.feed([hospital.mllp], 6, 0, parts.pop())
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        paused = len(hospital.lines("paused", code="database"))
        assert hospital.restarts["intake"] == 0
        await judge(hospital, load, least=len(load.sent), observed=paused > 1, metrics=metrics)
        findings_are_those_of(hospital, load)
