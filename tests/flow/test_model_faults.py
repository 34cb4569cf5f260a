"""The model is down, slow, talks nonsense or makes things up: its agent waits or says less, all others go on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

PLUGIN = """
from typing import Annotated
from pydantic import BaseModel, Field
from hisbus import NotEvaluated, Quote, grounded, hookimpl
from hisbus_schemas import Assessment, Finding, Text

class Verdict(BaseModel):
    defect: bool
    quotes: Annotated[list[Quote], Field(max_length=3)]

class Agent:
    name, version, kinds, grants = "asker", "1", frozenset({"document.filed"}), frozenset({"documents"})

    async def assess(self, case):
        try:
            said = await case.llm.ask(system="Judge the note.", question="Is there a defect?", answer=Verdict)
        except NotEvaluated:
            return Assessment()
        found = grounded(case.chart, said.quotes)
        if said.defect and not found.evidence:
            return Assessment(unverified=found.dropped)
        finding = Finding(key="L01", rule="L01", message=Text(zh="有", en="yes"), evidence=found.evidence,
                          model=case.llm.model)
        return Assessment(evaluated={"L01"}, proposals=[finding] if said.defect else [], unverified=found.dropped)

@hookimpl
def register_agents(register):
    register(Agent())
"""
HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|202603020830{n:02}+0800||{type}|{n}|P|2.5||||||UNICODE UTF-8\r"
WHO = "EVN||202603020830{n:02}+0800\rPID|1||P{visit}^^^HOSP^MR||X^Y\rPV1|1|I|W3||||||||||||||||{visit}^^^HOSP\r"
NOTE = (
    "TXA|1|C0038|TX|202603020830{n:02}+0800|||||D1^李|||D{n}|||||AU||AV|||D1^李^^^^^^^^^^^^^202603020830{n:02}+0800\r"
    "OBX|1|TX|TEXT^正文||胸痛较前缓解，继续观察。||||||F\r"
)
DEFECT = fake.answer({"defect": True, "quotes": [{"document": "D1", "text": "胸痛较前缓解"}]})


def admission(visit: str, n: int) -> bytes:
    return (HEAD.format(n=n, type="ADT^A01^ADT_A01") + WHO.format(n=n, visit=visit)).encode()


def note(visit: str, n: int) -> bytes:
    return (HEAD.format(n=n, type="MDM^T02^MDM_T02") + WHO.format(n=n, visit=visit) + NOTE.format(n=n)).encode()


def clock(n: int) -> bytes:
    """A stay a day later: what was due by then is missing at the others."""
    return admission("VZ", n).replace(b"20260302", b"20260303")


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as running:
        running.otherwise = DEFECT
        yield running


@pytest.fixture
def start(tmp_path: Path, hospital: Any, server: FakeServer, ship: Any) -> Callable[..., Any]:
    python = ship(tmp_path, "asker", PLUGIN)
    llm = {"url": server.url, "model": "tiny", "breaker_failures": 1, "breaker_pause_s": 0.1}

    def started(**more: Any) -> Any:
        return hospital(plugins={"asker": {"python": python}}, agents={"asker": {"deadline_s": 1.0}}, llm=llm | more)

    return started


async def found(bus: Any, status: str = "open") -> set[str]:
    return {f"{item['visit']} {item['rule']}" for item in await bus.everything("proposals", status=status)}


async def waiting(bus: Any) -> dict[str, int]:
    lag: dict[str, int] = (await bus.api.get("/readyz")).json()["lag"]
    return {step: count for step, count in lag.items() if count}


async def waits_for(bus: Any) -> set[str]:
    """Return the agents whose calls wait for the model."""
    agents = (await bus.api.get("/readyz")).json()["agents"]
    return {agent["name"] for agent in agents if agent["waits_for"].startswith("llm")}


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await true():
            await asyncio.sleep(0.02)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_while_the_model_is_down_its_agent_waits_the_others_go_on_and_nothing_closes(
    start: Any, server: FakeServer
) -> None:
    async with start() as bus:
        await bus.send([admission("V1", 1), note("V1", 2)])
        await bus.idle()
        assert await found(bus) == {"V1 L01"}

        await server.kill()
        pauses = metric("hisbus_pauses_total", step="dispatch.asker")
        await bus.send([note("V1", 3), admission("V2", 4), note("V2", 5), clock(6)])

        async def only_the_asker_waits() -> bool:
            return set(await waiting(bus)) == {"dispatch.asker"} and "V2 R02" in await found(bus)

        await until(only_the_asker_waits)
        assert "V1 L01" in await found(bus) and "V2 L01" not in await found(bus)
        ready = (await bus.api.get("/readyz")).json()
        assert ready["ready"] and ready["model"] == {"status": "down", "name": "tiny", "reason": "llm_unreachable"}
        assert await waits_for(bus) == {"asker"}, "people see who waits for it"
        assert metric("hisbus_pauses_total", step="dispatch.asker") > pauses
        assert await bus.everything("parked") == []

        await server.start()
        await bus.idle()
        assert await found(bus) >= {"V1 L01", "V2 L01", "V2 R02"}
        assert await bus.everything("parked") == []
        assert metric("hisbus_llm_down") == 0
        assert (await bus.api.get("/readyz")).json()["model"] == {"status": "up", "name": "tiny", "reason": ""}
        assert await waits_for(bus) == set()
        judged = await bus.everything("proposals", rule="L01")
        assert {item["model"] for item in judged} == {"tiny"}
        said = (await bus.get(f"charts/{judged[0]['encounter']}/assessments"))["items"]
        assert [one["agent"] for one in said if one["asked"]] == ["asker"]


async def test_a_slow_model_delays_its_agent_alone_and_kills_no_process(start: Any, server: FakeServer) -> None:
    held = asyncio.Event()
    server.otherwise = fake.after(held, DEFECT)
    async with start(concurrency=1) as bus:
        (host,) = [host for host in bus.app.hosts if host.plugin.name == "asker"]
        pid = host.pid
        await bus.send([admission("V1", 1), note("V1", 2), admission("V2", 3), note("V2", 4), clock(5)])

        async def rules_are_done() -> bool:
            return set(await waiting(bus)) == {"dispatch.asker"} and await found(bus) >= {"V1 R02", "V2 R02"}

        await until(rules_are_done)
        await asyncio.sleep(1.2)  # longer than the agent's own deadline
        assert server.running == 1 and host.pid == pid
        held.set()
        await bus.idle()
        assert await found(bus) >= {"V1 L01", "V2 L01"} and host.pid == pid
        assert await bus.everything("parked") == []


@pytest.mark.parametrize(
    "nonsense",
    [
        fake.text("所见属实。"),
        fake.cut(),
        fake.text(""),
        fake.answer({"defect": "no", "quotes": []}),
        fake.reasoned({"defect": False, "quotes": []}),
        fake.too_long(),
    ],
    ids=["prose", "cut", "empty", "wrong form", "reasoning", "too long"],
)
@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_nonsense_of_the_model_makes_no_finding_and_closes_none(
    start: Any, server: FakeServer, nonsense: fake.Move
) -> None:
    async with start() as bus:
        await bus.send([admission("V1", 1), note("V1", 2)])
        await bus.idle()
        server.otherwise = nonsense
        await bus.send([note("V1", 3), admission("V2", 4), note("V2", 5)])
        await bus.idle()
        assert await found(bus) == {"V1 L01"}
        server.otherwise = fake.answer({"defect": False, "quotes": []})
        await bus.send([note("V1", 6)])
        await bus.idle()
        assert await found(bus) == set() and "V1 L01" in await found(bus, "resolved")
        assert await bus.everything("parked") == []


async def test_words_that_nobody_wrote_make_no_finding_and_are_counted(start: Any, server: FakeServer) -> None:
    before = metric("hisbus_agent_unverified_total", agent="asker")
    invented = {"document": "D1", "text": "胸痛加重"}
    server.otherwise = fake.answer({"defect": True, "quotes": [invented]})
    async with start() as bus:
        await bus.send([admission("V1", 1), note("V1", 2)])
        await bus.idle()
        assert await found(bus) == set()
        assert metric("hisbus_agent_unverified_total", agent="asker") == before + 1
        assert await bus.everything("parked") == []
