"""Running an agent over cases: what it is shown, what comes of failures, what the report counts."""

import asyncio
from typing import Any

import pytest

from hisbus.errors import ConfigError, NotEvaluated, RetryLater
from hisbus_bus.host.llm.client import Client
from hisbus_bus.kernel.settings import AgentSettings
from hisbus_bus.lab.evaluate.run import agent_of, run
from hisbus_servers.fake_model import FakeServer, answer

from .conftest import DATA, SECRET, SETTINGS, Asker, Evaluate, Looker, outcomes


async def test_figures_are_those_of_the_counts(evaluate: Evaluate) -> None:
    report = await evaluate(Looker("bad", "odd"))
    assert outcomes(report) == [("c1", "tp"), ("c2", "tp"), ("c3", "tp"), ("c4", "fp"), ("c5", "tn")]
    assert report.labels is not None
    whole = report.labels.whole
    assert (whole.precision.good, whole.precision.of, whole.precision.value) == (3, 4, 0.75)
    assert (whole.recall.good, whole.recall.of, whole.recall.value) == (3, 3, 1.0)
    assert whole.f1.value == pytest.approx(6 / 7) == report.labels.macro_f1
    assert (report.labels.exact.good, report.labels.exact.of) == (4, 5)
    assert report.labels.overlap_tokens.count == 2 and report.labels.overlap_tokens.mean == 1
    assert report.unverified == 5 and report.seconds.count == 5
    assert [case.right for case in report.cases] == [True, True, True, False, True]


async def test_an_agent_that_sees_less_has_the_lower_figures_that_it_earned(evaluate: Evaluate) -> None:
    blind = (await evaluate(Looker())).labels
    half = (await evaluate(Looker("bad"))).labels
    assert blind is not None and half is not None
    assert (blind.whole.recall.value, blind.whole.precision.value, blind.whole.f1.value) == (0.0, None, 0.0)
    assert (half.whole.recall.value, half.whole.precision.value) == (pytest.approx(2 / 3), 1.0)


async def test_it_sees_what_it_was_granted_and_no_clock_of_ours() -> None:
    agent = Looker("bad")
    settings = SETTINGS.model_copy(update={"agents": {"looker": AgentSettings(settings={"limit": 3})}})
    await run(agent, DATA.samples, settings, None, lambda done, total: None)
    case = agent.cases[0]
    assert case.chart.patient is None and case.event is None and case.llm is None
    assert case.now == DATA.samples[0].chart.now and case.settings == {"limit": 3}
    assert case.terms == SETTINGS.terms_file.absolute()


async def test_failed_calls_are_counted_by_code_and_miss_what_they_should_have_found(evaluate: Evaluate) -> None:
    broken = {"another": ValueError(SECRET), "odd": NotEvaluated(), "fine": RetryLater()}
    agent = Looker("bad", raises=broken)
    report = await evaluate(agent)
    assert report.failed == {"agent_raised": 1, "not_evaluated": 2, "retry_later": 1}
    assert outcomes(report) == [("c1", "tp"), ("c2", "fn"), ("c3", "fn"), ("c4", "tn"), ("c5", "tn")]
    assert report.labels is not None and report.labels.whole.not_evaluated == 4
    assert len(agent.cases) == 6, "who asks to be called later is, once more"
    assert report.seconds.count == 1


async def test_settings_that_are_refused_end_the_run(evaluate: Evaluate) -> None:
    with pytest.raises(ConfigError, match=r"agents\.looker\.settings: no such key"):
        await evaluate(Looker(raises={"bad": ConfigError("no such key")}))


async def test_without_text_the_report_holds_none(evaluate: Evaluate) -> None:
    assert "arsenic" in (await evaluate(Looker("bad"))).model_dump_json()
    bare = await evaluate(Looker("bad"), text=False)
    assert "arsenic" not in bare.model_dump_json() and "bad" not in bare.model_dump_json()
    assert not bare.holds_text and "no text" in bare.notice.en
    assert (await evaluate(Looker("bad"))).labels == bare.labels


async def test_several_cases_ask_at_a_time_and_stand_in_their_order(evaluate: Evaluate) -> None:
    async with FakeServer() as server:
        client = Client(server.settings(concurrency=2), "salt")
        server.then(*(answer({"wrong": wrong, "why": ""}) for wrong in (True, True, True, False, False)))
        try:
            report = await evaluate(Asker(), client=client)
        finally:
            await client.close()
    assert [case.id for case in report.cases] == ["c1", "c2", "c3", "c4", "c5"]
    usage = report.usage
    assert (usage.questions, usage.outcomes, usage.seconds.count) == (5, {"answered": 5}, 5)
    assert usage.prompt_tokens == sum(case.prompt_tokens for case in report.cases) > 0
    assert {request["priority"] for request in server.requests} == {20}, "nobody waits for an evaluation"


async def test_what_a_failed_call_asked_is_counted_too(evaluate: Evaluate) -> None:
    async with FakeServer() as server:
        client = Client(server.settings(), "salt")
        server.then(*(answer({"nonsense": True}) for _ in range(10)))
        try:
            report = await evaluate(Asker(), client=client)
        finally:
            await client.close()
    assert report.failed == {"not_evaluated": 5}
    assert (report.usage.questions, report.usage.repaired) == (5, 5) and "answered" not in report.usage.outcomes
    assert report.usage.prompt_tokens > 0


async def test_an_interrupted_run_ends_at_once_and_tells_nothing() -> None:
    begun = asyncio.Event()

    class Slow(Looker):
        async def assess(self, case: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(run(Slow(), DATA.samples, SETTINGS, None, lambda done, total: None))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_an_agent_that_is_not_installed_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no agent 'nobody' here\. Choose one of: .*qc"):
        agent_of(SETTINGS, "nobody")
    plugin, agent = agent_of(SETTINGS, "qc")
    assert (plugin.name, plugin.distribution, agent.name) == ("qc", "hisbus-qc", "qc")
