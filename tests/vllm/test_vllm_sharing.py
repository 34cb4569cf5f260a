"""Many ask one server: what they share, what they do not, who comes first, and what is not wanted any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.vllm.chart import made_up
from tests.vllm.conftest import DEADLINE_S, Asker, Connect, Served, Watched
from tests.vllm.forms import Long, Some, Verdict, Yes

from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.topics import Keys
from hisbus_servers.vllm import AT_A_TIME, QUEUE

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

OTHER = "You code the stay. Name what was treated, and nothing that was only considered."


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.01)


# --- the beginning of a prompt ----------------------------------------------------------------------------------------


async def test_the_second_agent_over_a_chart_shares_what_the_first_had_read(asking: Connect) -> None:
    first = asking("qc")
    second = asking("coding", client=first.client)
    chart = made_up(1, notes=20)
    await first(chart, Yes, "有无缺陷？", system="Judge the notes.")
    await second(chart, Yes, "主要诊断是什么？", system=OTHER)
    alone, shared = first.noted[0], second.noted[0]
    _reports(alone.cached_tokens + shared.cached_tokens)
    assert alone.cached_tokens == 0
    assert shared.cached_tokens > 0.8 * shared.prompt_tokens


async def test_a_later_version_of_a_chart_shares_what_stood_in_it_before(asking: Connect) -> None:
    ask = asking()
    chart = made_up(2, notes=20)
    await ask(chart.model_copy(update={"documents": chart.documents[:19]}), Yes)
    await ask(chart, Yes)
    before, after = ask.noted
    _reports(after.cached_tokens)
    assert 0.8 * before.prompt_tokens < after.cached_tokens < after.prompt_tokens


async def test_another_site_shares_nothing_and_cannot_tell_what_was_asked(asking: Connect) -> None:
    chart = made_up(3, notes=20)
    here, elsewhere = (asking(salt=Keys(secret).cache_salt) for secret in (b"one site's secret", b"another's"))
    for ask in (here, here, elsewhere, elsewhere):
        await ask(chart, Yes)
    _reports(here.noted[1].cached_tokens)
    assert elsewhere.noted[0].cached_tokens == 0
    assert elsewhere.noted[1].cached_tokens == here.noted[1].cached_tokens


def _reports(cached: int) -> None:
    if not cached:
        pytest.fail("The server remembers nothing, or does not say so: --enable-prompt-tokens-details.")


# --- adapters ---------------------------------------------------------------------------------------------------------


async def test_an_agent_with_an_adapter_is_answered_by_it(served: Served, own: Any, asking: Connect) -> None:
    chart = made_up(4, notes=20)
    ask = asking()
    said = {name: await ask(chart, Some, model=name) for name in ("", *served.adapters)}
    assert len({answer.model_dump_json() for answer in said.values()}) == 3, "each has weights of its own"
    assert [asked.cached_tokens for asked in ask.noted] == [0, 0, 0], "and remembers for itself"
    assert [asked.model for asked in ask.noted] == [served.model, *served.adapters]
    assert await ask(chart, Some, model=served.adapters[0]) == said[served.adapters[0]]
    assert ask.noted[-1].cached_tokens > 0


async def test_model_and_adapters_are_asked_at_the_same_time(served: Served, own: Any, asking: Connect) -> None:
    ask = asking()
    models = ["", *served.adapters] * 4
    said = await asyncio.gather(*(ask.outcome(made_up(n), Verdict, model=name) for n, name in enumerate(models)))
    assert set(said) <= {"answered", "length"}
    assert len(ask.noted) == len(models)


# --- who comes first --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def queued(ask: Asker, questions: int) -> AsyncIterator[list[str]]:
    """Ask so many things that nobody waits for; the list grows with what was answered."""
    answered: list[str] = []

    async def one(number: int) -> None:
        answered.append(await ask.outcome(made_up(number, notes=1), Some, priority=Priority.BACKFILL))

    async with asyncio.TaskGroup() as group:
        for number in range(questions):
            group.create_task(one(number))
        yield answered


async def urgent_and_patient(ask: Asker, answered: list[str]) -> None:
    """Ask one thing that may wait, then one that may not."""
    patient = asyncio.create_task(ask(made_up(98, notes=1), Yes, priority=Priority.BACKFILL))
    await asyncio.sleep(0)
    await ask(made_up(99, notes=1), Yes, priority=Priority.INTERACTIVE)
    assert len(answered) < 25
    await patient
    assert len(answered) > 40


async def test_an_urgent_question_overtakes_fifty_that_wait_in_the_client(asking: Connect) -> None:
    ask = asking(concurrency=8)
    async with queued(ask, 50) as answered:
        await until(lambda: ask.client.turns.waiting >= 40)
        await urgent_and_patient(ask, answered)
    assert len(answered) == 50 and set(answered) <= {"answered", "length"}


async def test_an_urgent_question_overtakes_fifty_that_wait_at_the_server(asking: Connect, count: Watched) -> None:
    ask = asking(concurrency=QUEUE)
    async with queued(ask, 54) as answered:
        await count.until("num_requests_waiting", lambda waiting: waiting >= 44)
        await urgent_and_patient(ask, answered)
    assert len(answered) == 54 and set(answered) <= {"answered", "length"}


async def test_a_server_whose_queue_is_full_refuses_and_is_asked_again(asking: Connect, count: Watched) -> None:
    refused = await count("admission_rejections_total")
    ask = asking(concurrency=QUEUE + 40, breaker_failures=1000)
    said = await asyncio.gather(*(ask.outcome(made_up(n, notes=1), Some) for n in range(QUEUE + 36)))
    busy = said.count("llm_busy")
    assert busy > 0 and set(said) <= {"answered", "length", "llm_busy"}
    assert await count("admission_rejections_total") - refused == busy
    again = await asyncio.gather(*(ask.outcome(made_up(n, notes=1), Yes) for n in range(busy)))
    assert set(again) == {"answered"}


# --- what is not wanted any more --------------------------------------------------------------------------------------


async def idle(count: Watched) -> None:
    await count.until("num_requests_running", lambda running: running == 0)
    await count.until("num_requests_waiting", lambda waiting: waiting == 0)


async def test_questions_that_are_withdrawn_free_the_server(asking: Connect, count: Watched) -> None:
    ask = asking(max_tokens=4000, concurrency=20)
    asked = [asyncio.create_task(ask(made_up(n), Long)) for n in range(12)]
    await count.until("num_requests_running", lambda running: running == AT_A_TIME)
    await count.until("num_requests_waiting", lambda waiting: waiting == 12 - AT_A_TIME)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert all(task.cancelled() for task in asked)
    await idle(count)
    before = await count("generation_tokens_total")
    await ask(made_up(1), Yes)
    assert await count("generation_tokens_total") - before == ask.noted[0].completion_tokens, "only this was worked on"


async def test_a_question_whose_time_is_over_frees_the_server(asking: Connect, count: Watched) -> None:
    ask = asking(max_tokens=4000, deadline_s=1.0)
    # The server is well, so that this question is to blame; unless it is too busy to say so at once.
    assert await ask.outcome(made_up(1), Long) in {"slow", "llm_slow"}
    await idle(count)
    assert await asking().outcome(made_up(1), Yes) == "answered"
