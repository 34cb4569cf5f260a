"""The server dies, freezes and comes back: questions wait, nothing is lost, nothing closes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.flow.test_model_faults import admission, clock, found, note, until, waiting
from tests.vllm.chart import made_up
from tests.vllm.conftest import Asker, Connect, Served, Watched
from tests.vllm.forms import Long, Yes

from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_servers import Vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]


def kill(own: Vllm) -> None:
    own.kill()


def kill_engine(own: Vllm) -> None:
    """Kill the process that holds the model; what listens goes on for a while without it."""
    (engine,) = [child for child in psutil.Process(own.pid).children() if "EngineCore" in child.name()]
    engine.kill()


@pytest.mark.parametrize("kill", [kill, kill_engine], ids=["the server", "its engine"])
async def test_questions_at_a_server_that_is_killed_wait_for_the_next(
    own: Vllm, asking: Connect, count: Watched, kill: Callable[[Vllm], None]
) -> None:
    ask = asking(max_tokens=4000, breaker_failures=3, breaker_pause_s=5.0)
    await ask(made_up(0), Yes)
    asked = [asyncio.create_task(ask.outcome(made_up(n), Long)) for n in range(6)]
    await count.until("num_requests_running", lambda running: running == 6)
    await ask(made_up(0), Yes, priority=Priority.INTERACTIVE)  # others were answered meanwhile

    await asyncio.to_thread(kill, own)
    said = await asyncio.gather(*asked)
    assert all(code.startswith("llm") for code in said), said
    assert ask.client.breaker.state == "open"
    assert await ask.outcome(made_up(0), Yes) == "llm", "it is left alone"

    await asyncio.to_thread(own.kill)
    await asyncio.to_thread(own.start)
    assert [await until_answered(ask, n) for n in range(6)] == ["answered"] * 6
    assert ask.client.breaker.state == "closed"


async def until_answered(ask: Asker, number: int) -> str:
    """Ask as the bus does: what cannot be answered now is asked again."""
    while (said := await ask.outcome(made_up(number), Yes)).startswith("llm"):
        await asyncio.sleep(0.02)
    return said


async def test_a_server_that_freezes_is_left_alone_and_asked_again_when_it_thaws(own: Vllm, asking: Connect) -> None:
    ask = asking(breaker_failures=2, breaker_pause_s=0.1, deadline_s=2.0)
    await asyncio.to_thread(own.pause)
    try:
        said = await asyncio.gather(*(ask.outcome(made_up(n), Yes) for n in range(3)))
        assert set(said) <= {"llm_slow", "llm_unreachable"} and ask.client.breaker.state == "open"
    finally:
        await asyncio.to_thread(own.resume)
    assert await until_answered(ask, 1) == "answered"


# --- a whole site -----------------------------------------------------------------------------------------------------

PLUGIN = """
from typing import Annotated, Literal
from pydantic import BaseModel, Field
from hisbus import NotEvaluated, Quote, grounded, hookimpl
from hisbus_schemas import Assessment, Finding, Text

class Found(Quote):
    document: Literal["D1"]
    text: Literal["胸痛较前缓解", "继续观察"]

class Verdict(BaseModel):
    defect: Literal["yes"]
    quotes: Annotated[list[Found], Field(min_length=1, max_length=2)]

class Agent:
    name, version, kinds, grants = "asker", "1", frozenset({"document.filed"}), frozenset({"documents"})

    async def assess(self, case):
        try:
            said = await case.llm.ask(system="Judge the note.", question="Is there a defect?", answer=Verdict)
        except NotEvaluated:
            return Assessment()
        found = grounded(case.chart, said.quotes)
        finding = Finding(key="L01", rule="L01", message=Text(zh="有", en="yes"), evidence=found.evidence)
        return Assessment(evaluated={"L01"}, proposals=[finding], unverified=found.dropped)

@hookimpl
def register_agents(register):
    register(Agent())
"""


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """What is shown here rests on no particular log."""
    return embedded


@pytest.fixture
def site(tmp_path: Path, hospital: Any, served: Served, ship: Any) -> Any:
    """A site with an agent that always finds something, in words of the note, once the model has answered."""
    python = ship(tmp_path, "asker", PLUGIN)
    llm = served.settings(breaker_failures=1, breaker_pause_s=0.1).model_dump(mode="json")
    return hospital(plugins={"asker": {"python": python}}, llm=llm)


async def test_the_model_is_killed_between_two_assessments_and_no_finding_closes(site: Any, own: Vllm) -> None:
    pauses = REGISTRY.get_sample_value("hisbus_pauses_total", {"step": "dispatch.asker"}) or 0.0
    async with site as bus:
        await bus.send([admission("V1", 1), note("V1", 2)])
        await bus.idle()
        assert await found(bus) == {"V1 L01"}
        (finding,) = await bus.everything("proposals", status="open")

        await asyncio.to_thread(own.kill)
        await bus.send([note("V1", 3), admission("V2", 4), note("V2", 5), clock(6)])

        async def only_the_asker_waits() -> bool:
            return set(await waiting(bus)) == {"dispatch.asker"} and "V2 R02" in await found(bus)

        await until(only_the_asker_waits)
        assert "V1 L01" in await found(bus) and "V2 L01" not in await found(bus)
        assert (REGISTRY.get_sample_value("hisbus_pauses_total", {"step": "dispatch.asker"}) or 0.0) > pauses

        await asyncio.to_thread(own.start)
        await bus.idle()
        assert await found(bus) >= {"V1 L01", "V2 L01", "V2 R02"}
        assert await found(bus, "resolved") == set()
        assert finding["id"] in {item["id"] for item in await bus.everything("proposals", status="open")}
        assert await bus.everything("parked") == []
