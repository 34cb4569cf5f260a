"""The broker's disk is full, then has room again. A limit on the size of files stands in for the full disk.

Kafka ends itself when the only folder for its log fails, so what the bus sees is a broker that is gone.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from tests.faults.harness import DEADLINE_S, servers, site
from tests.faults.load import Load, numbered
from tests.faults.oracle import findings_are_those_of, judge

from hisbus_servers.kafka import Kafka
from hisbus_simulator.his import His

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(1800)]


@pytest.fixture
async def own_broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """One broker of the test's own, where brokers are given at all."""
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    await asyncio.to_thread(broker.start)
    yield broker
    await asyncio.to_thread(broker.stop)


def listener(port: int) -> psutil.Process:
    """Return the process that listens at a port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    pytest.fail(f"nobody listens at {port}")


async def test_while_the_broker_has_no_room_nothing_is_acknowledged_and_then_all_is_there(
    tmp_path: Path, own_broker: Kafka, postgres_url: str
) -> None:
    load = Load(numbered(51, 4))
    first, second = load.parts(2)
    broker = listener(int(own_broker.bootstrap.rpartition(":")[2]))
    async with His() as his, site(tmp_path, servers(own_broker.bootstrap, postgres_url), his) as hospital:
        await hospital.keep("up")
        async with hospital.person() as person:
            await load.feed([hospital.mllp], 4, part=first)
            await person.until_idle()
            resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            before = load.acked.copy()
            async with asyncio.TaskGroup() as group:
                group.create_task(load.feed([hospital.mllp], 4, part=second))
                async with asyncio.timeout(DEADLINE_S):
                    while not load.refused["AE"]:
                        await asyncio.sleep(0.05)
                assert load.acked == before, "acknowledged without room for it"
                async with asyncio.timeout(DEADLINE_S):
                    while broker.status() != psutil.STATUS_ZOMBIE:  # it ends itself
                        await asyncio.sleep(0.05)
                await asyncio.to_thread(own_broker.kill, 0)
                await asyncio.to_thread(own_broker.start_broker, 0)
            await person.settle()
            metrics = await person.metrics()
        await hospital.stop()
        await judge(hospital, load, least=len(load.sent), observed=load.refused["AE"] > 0, metrics=metrics)
        findings_are_those_of(hospital, load)
