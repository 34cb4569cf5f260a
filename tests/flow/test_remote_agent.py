"""A vendor's own service, over real Kafka: it judges what it was granted, and while it is away its calls wait."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import LogSettings

pytestmark = pytest.mark.parametrize(
    "backbone", [pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])], indirect=True
)

SERVICE = '''
import asyncio, sys
from hisbus_remote import LogSettings, serve
from hisbus_schemas import Assessment, Finding, Text

class Agent:
    """Flags every admission, and writes down what it was shown."""

    name, version = "brevity", sys.argv[4]
    kinds = frozenset({"encounter.admitted"})
    grants = frozenset({"patient", "documents"})

    async def assess(self, case):
        with open(sys.argv[3], "a", encoding="utf-8") as seen:
            print(case.event.model_dump_json(), case.chart.model_dump_json(), file=seen)
        found = Finding(key="one", rule="E01", message=Text(zh="有", en="here"))
        return Assessment(evaluated=frozenset({"E01"}), proposals=[found])

asyncio.run(serve(Agent(), site=sys.argv[1], log=LogSettings(url=sys.argv[2])))
'''

HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|{visit}|P|2.5||||||UNICODE UTF-8\r"
BODY = "EVN||20260302083000+0800\rPID|1||P{visit}^^^HOSP^MR||欧阳^锋\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP\r"

Serve = Callable[..., Awaitable[Process]]


def admission(visit: str) -> bytes:
    return (HEAD + BODY).format(visit=visit).encode()


@pytest.fixture
async def serve(backbone: dict[str, Any], tmp_path: Path) -> AsyncIterator[Serve]:
    """Start the vendor's service in a process of its own, as often as asked."""
    await Cluster(LogSettings(**backbone["log"]), backbone["site"], ["brevity"]).apply()
    script = tmp_path / "service.py"
    script.write_text(SERVICE, encoding="utf-8")
    started: list[Process] = []

    async def start(version: str = "1") -> Process:
        arguments = (backbone["site"], backbone["log"]["url"], str(tmp_path / "seen"), version)
        started.append(await asyncio.create_subprocess_exec(sys.executable, str(script), *arguments))
        return started[-1]

    yield start
    for process in started:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def found(bus: Any) -> set[str]:
    return {item["visit"] for item in await bus.everything("proposals", status="open") if item["rule"] == "E01"}


REMOTE = {"brevity": {"kinds": ["encounter.admitted"], "grants": ["documents"], "silence_s": 5}}


async def test_what_a_service_finds_stands_on_the_page_and_it_saw_only_what_it_was_granted(
    hospital: Any, serve: Serve, tmp_path: Path
) -> None:
    async with hospital(remote=REMOTE) as bus:
        await serve()
        await bus.send([admission("V1"), admission("V2")])
        await bus.idle()
        assert await found(bus) == {"V1", "V2"}
        seen = (tmp_path / "seen").read_text(encoding="utf-8")
        assert "V1" in seen and "欧阳" not in seen and "PV1" not in seen
        agents = (await bus.api.get("/readyz")).json()["agents"]
        (its,) = [agent for agent in agents if agent["name"] == "brevity"]
        assert its.items() >= {"status": "running", "plugin": "brevity", "version": "1"}.items()


async def test_a_service_that_was_killed_is_waited_for_and_nothing_is_parked(hospital: Any, serve: Serve) -> None:
    async with hospital(remote=REMOTE, agents={"brevity": {"deadline_s": 2}}) as bus:
        first = await serve()
        await bus.send([admission("V1")])
        await bus.idle()
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        await bus.send([admission("V2"), admission("V3")])
        async with asyncio.timeout(60):
            while "silent" not in {agent["status"] for agent in (await bus.api.get("/readyz")).json()["agents"]}:
                await asyncio.sleep(0.1)
        await serve("2")
        await bus.idle()
        assert await found(bus) == {"V1", "V2", "V3"}
        assert await bus.everything("parked") == []


async def test_several_services_of_one_agent_share_its_cases(hospital: Any, serve: Serve, tmp_path: Path) -> None:
    async with hospital(remote=REMOTE) as bus:
        await asyncio.gather(serve(), serve())
        visits = [f"V{n}" for n in range(12)]
        await bus.send([admission(visit) for visit in visits])
        await bus.idle()
        assert await found(bus) == set(visits)
