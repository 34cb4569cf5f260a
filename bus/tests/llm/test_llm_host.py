"""A plugin's process asks, the bus answers: about the chart of the call, in the bus's time, as the bus counts it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from hisbus.agent import Case
from hisbus.errors import CallFailed, ConfigError, RetryLater
from hisbus.testing import make_case, make_chart, make_document, make_patient, make_vital
from hisbus_bus.host.agents import AgentHost, Policy
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.host.process import MOST_ASKS
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

from .conftest import metric

MODULE = """
import asyncio, os
from typing import Annotated
from pydantic import BaseModel, Field
from hisbus import Case, NotEvaluated, Quote, RetryLater, grounded, hookimpl
from hisbus_schemas import Assessment

class Verdict(BaseModel):
    present: bool
    quotes: Annotated[list[Quote], Field(max_length=3)]

class Endless(BaseModel):
    text: str

class Agent:
    name, version, kinds, grants = "asker", "1", frozenset({"document.filed"}), frozenset({"documents"})
    seen = set()
    async def assess(self, case):
        ask = lambda question="Is it?", **more: case.llm.ask(
            **{"system": "Judge.", "question": question, "answer": Verdict, **more})
ASSESS

@hookimpl
def register_agents(register):
    register(Agent())
"""
GOOD = {"present": True, "quotes": [{"document": "D1", "text": "胸痛"}, {"document": "D1", "text": "发热"}]}
ONE = "said = await ask()\nreturn Assessment(evaluated={str(said.present)})"

Host = Callable[..., Awaitable[AgentHost]]


@pytest.fixture
async def host(server: FakeServer, tmp_path: Path, ship: Any) -> AsyncIterator[Host]:
    opened: list[Any] = []

    async def start(assess: str = ONE, *, model: bool = True, agents: Any = None, **llm: Any) -> AgentHost:
        source = MODULE.replace("ASSESS", indent(dedent(assess), " " * 8))
        python = ship(tmp_path, "asker", source)
        settings = Settings(site="test", plugins={"asker": {"python": python}}, agents=agents or {})
        client = Client(server.settings(**llm), "salt") if model else None
        made = AgentHost(Plugin("asker"), settings, Policy(first_s=0.0, longest_s=0.01), client)
        await made.start()
        assert made.state == "running", made.reason
        opened.extend(filter(None, (made, client)))
        return made

    yield start
    for one in opened:
        await one.close()


def case(text: str = "患者胸痛。", encounter: str = "e1", **more: Any) -> Case:
    chart = make_chart(documents=[make_document("C0037", text, id="d1")], encounter=encounter, **more)
    return make_case(chart)


def content(request: dict[str, Any]) -> str:
    said: str = request["messages"][1]["content"]
    return said


async def test_an_agent_asks_about_its_own_chart_as_far_as_it_may_see_it(host: Host, server: FakeServer) -> None:
    running = await host()
    chart = case(patient=make_patient("王建国", sex="male"), vitals=[make_vital("8310-5", "39")]).chart
    answer = await running.assess("asker", make_case(chart), 20)
    assert answer.evaluated == {"False"}
    (request,) = server.requests
    assert "患者胸痛。" in content(request) and "Is it?" in content(request)
    assert "sex" not in content(request) and "39" not in content(request), "neither was granted"
    assert request["priority"] == Priority.LIVE


async def test_what_was_asked_is_recorded_by_the_bus_whatever_the_agent_says(host: Host, server: FakeServer) -> None:
    server.then(fake.answer(GOOD), fake.cut(), fake.cut())
    running = await host(
        """
        said = await ask()
        found = grounded(case.chart, said.quotes)
        try:
            await ask("Again?")
        except NotEvaluated as error:
            code = error.code
        made = {"model": "invented", "prompt": "x", "outcome": "answered"}
        return Assessment(evaluated={code, *(span.quote for span in found.evidence)}, unverified=found.dropped,
                          asked=[made])
        """
    )
    before = metric("hisbus_agent_unverified_total", agent="asker")
    answer = await running.assess("asker", case(), 20)
    assert answer.evaluated == {"length", "胸痛"} and answer.unverified == 1
    assert [(one.model, one.outcome, one.repaired) for one in answer.asked] == [
        ("tiny", "answered", False),
        ("tiny", "length", True),
    ]
    assert metric("hisbus_agent_unverified_total", agent="asker") - before == 1


async def test_many_questions_of_one_call_wait_side_by_side(host: Host, server: FakeServer) -> None:
    held = asyncio.Event()
    server.otherwise = fake.after(held, fake.answer(GOOD))
    running = await host(
        """
        said = await asyncio.gather(*(ask(f"number {n}") for n in range(5)))
        return Assessment(evaluated={str(len(said))})
        """
    )
    calling = asyncio.create_task(running.assess("asker", case(), 20))
    await server.until(lambda: server.running == 5)
    held.set()
    answer = await calling
    assert answer.evaluated == {"5"} and len(answer.asked) == 5
    heads = {content(request).partition("⟦TASK⟧")[0] for request in server.requests}
    assert len(heads) == 1, "they share what stands before the question"


async def test_the_agents_deadline_stands_still_while_the_model_is_waited_for(host: Host, server: FakeServer) -> None:
    held = asyncio.Event()
    server.otherwise = fake.after(held, fake.answer(GOOD))
    running = await host(ONE, concurrency=1)
    pid = running.pid
    calls = [asyncio.create_task(running.assess("asker", case(encounter=f"e{n}"), 0.5)) for n in range(2)]
    await server.until(lambda: server.running == 1)
    await asyncio.sleep(0.7)
    assert not any(call.done() for call in calls), "neither the slow one nor the one that waits for its turn"
    held.set()
    assert [answer.evaluated for answer in await asyncio.gather(*calls)] == [{"True"}, {"True"}]
    assert running.pid == pid


async def test_after_an_answer_the_agent_has_what_was_left_of_its_time(host: Host) -> None:
    running = await host("await ask()\nwhile True:\n    pass")
    with pytest.raises(CallFailed) as caught:
        await running.assess("asker", case(), 0.5)
    assert caught.value.code == "deadline"


async def test_a_model_that_is_down_makes_the_call_wait_and_says_why(host: Host, server: FakeServer) -> None:
    running = await host(ONE, breaker_failures=1, breaker_pause_s=600)
    server.then(fake.busy())
    codes = []
    for _ in range(2):
        with pytest.raises(RetryLater) as caught:
            await running.assess("asker", case(), 20)
        codes.append(caught.value.code)
    assert codes == ["llm_busy", "llm"] and len(server.requests) == 1


async def test_an_agent_that_does_not_handle_an_unusable_answer_fails_its_call(host: Host, server: FakeServer) -> None:
    server.then(fake.text(""), fake.text(""))
    running = await host()
    with pytest.raises(CallFailed) as caught:
        await running.assess("asker", case(), 20)
    assert caught.value.code == "not_evaluated"


async def test_a_form_without_bounds_is_refused_with_its_field(host: Host, server: FakeServer) -> None:
    running = await host("await ask(answer=Endless)")
    with pytest.raises(ConfigError) as caught:
        await running.assess("asker", make_case(case().chart, kind="document.filed"), 20)
    assert caught.value.code == "unbounded_answer.text" and server.requests == []


async def test_an_agent_can_take_a_question_back_and_go_on(host: Host, server: FakeServer) -> None:
    server.then(fake.after(asyncio.Event(), fake.answer(GOOD)))
    running = await host(
        """
        try:
            await asyncio.wait_for(ask("slow"), 0.2)
        except TimeoutError:
            await ask("quick")
        return Assessment(evaluated={"went on"})
        """,
        concurrency=1,
    )
    answer = await running.assess("asker", case(), 20)
    assert answer.evaluated == {"went on"}
    await server.until(lambda: server.aborted == 1)
    assert [one.outcome for one in answer.asked] == ["answered"]


ENDS = {
    "answered": 'asyncio.ensure_future(ask("late"))\nwhile case.llm._child._asks == 0:\n    await asyncio.sleep(0)\n'
    "await asyncio.sleep(0.3)\nreturn Assessment()",
    "crashed": 'asyncio.ensure_future(ask("late"))\nawait asyncio.sleep(0.3)\nos._exit(3)',
}


@pytest.mark.parametrize("assess", ENDS.values(), ids=ENDS.keys())
async def test_questions_end_with_their_call(host: Host, server: FakeServer, assess: str) -> None:
    server.then(fake.after(asyncio.Event(), fake.answer(GOOD)))
    running = await host(assess)
    await asyncio.gather(running.assess("asker", case(), 20), return_exceptions=True)
    await server.until(lambda: server.aborted == 1)
    assert server.running == 0


async def test_a_call_that_is_cancelled_takes_its_questions_back_and_tells_the_agent(
    host: Host, server: FakeServer
) -> None:
    server.then(fake.after(asyncio.Event(), fake.answer(GOOD)))
    running = await host(
        """
        if case.chart.encounter == "e2":
            return Assessment(evaluated=set(self.seen))
        try:
            await ask("late")
        except RetryLater as error:
            self.seen.add(error.code)
            try:
                await ask("later still")
            except RetryLater as error:
                self.seen.add("again " + error.code)
        """
    )
    pid = running.pid
    calling = asyncio.create_task(running.assess("asker", case(), 20))
    await server.until(lambda: server.running == 1)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await server.until(lambda: server.aborted == 1)
    async with asyncio.timeout(20):
        while (await running.assess("asker", case(encounter="e2"), 20)).evaluated != {"withdrawn", "again withdrawn"}:
            await asyncio.sleep(0.01)
    assert len(server.requests) == 1 and running.pid == pid


async def test_an_agent_that_asks_without_end_gets_no_more_answers(host: Host, server: FakeServer) -> None:
    running = await host(
        """
        for n in range(1000):
            try:
                await ask(str(n))
            except NotEvaluated as error:
                return Assessment(evaluated={str(n), error.code})
        """
    )
    answer = await running.assess("asker", case(), 20)
    assert answer.evaluated == {str(MOST_ASKS), "too_many_questions"} and len(server.requests) == MOST_ASKS


@pytest.mark.parametrize("priority", [None, Priority.LIVE])
async def test_without_a_model_the_agent_knows(host: Host, server: FakeServer, priority: Priority | None) -> None:
    running = await host("return Assessment(evaluated={str(case.llm)})", model=priority is None)
    assert (await running.assess("asker", case(), 20, priority)).evaluated == {"None"}
    assert server.requests == []


async def test_a_question_where_there_is_no_model_ends_the_process(host: Host, server: FakeServer) -> None:
    running = await host(
        """
        from hisbus.frames import Ask, pack
        import sys
        os.write(int(sys.argv[2]), pack(Ask(call=1, id=1, system="", question="", answer={})))
        await asyncio.sleep(60)
        """,
        model=False,
    )
    with pytest.raises(CallFailed) as caught:
        await running.assess("asker", case(), 20)
    assert caught.value.code == "bad_answer"


async def test_a_bug_of_ours_fails_the_call_and_not_the_process(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> str:
        raise ZeroDivisionError

    running = await host()
    pid = running.pid
    monkeypatch.setattr("hisbus_bus.host.llm.case.record", broken)
    with pytest.raises(ZeroDivisionError):
        await running.assess("asker", case(), 20)
    assert running.pid == pid


async def test_one_prompt_never_holds_two_patients(host: Host, server: FakeServer) -> None:
    running = await host('await ask(only={"d1", "e2-d1"})\nreturn Assessment()')
    cases = [case(f"金丝雀{n}", encounter=f"e{n}") for n in range(8)]
    await asyncio.gather(*(running.assess("asker", each, 20) for each in cases))
    for request in server.requests:
        assert sum(f"金丝雀{n}" in content(request) for n in range(8)) == 1


async def test_an_agent_asks_the_model_that_the_operator_named_for_it(host: Host, server: FakeServer) -> None:
    server.models = ("tiny", "adapter")
    asks = "await ask()\nreturn Assessment(evaluated={case.llm.model})"
    running = await host(asks, agents={"asker": {"model": "adapter"}})
    answer = await running.assess("asker", case(), 20, Priority.BACKFILL)
    assert (server.requests[0]["model"], server.requests[0]["priority"]) == ("adapter", 20)
    assert answer.asked[0].model == "adapter"
    assert answer.evaluated == {"adapter"}, "an agent knows which model it asks"
