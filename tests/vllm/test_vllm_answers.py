"""Every question gets an answer of its form, or a reason; what the answers say is nobody's to assert."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel
from tests.vllm.chart import made_up
from tests.vllm.conftest import Connect, Served, Watched
from tests.vllm.forms import FORMS, Long, Verdict, Yes

from hisbus.errors import NotEvaluated
from hisbus_bus.host.llm.client import Client, Question
from hisbus_bus.host.llm.layout import Prompt

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

REASONS = {"length", "invalid_answer", "empty_answer"}
"""Why there may be no answer from a model that means nothing."""


async def test_two_hundred_questions_get_two_hundred_answers_of_their_form_or_a_reason(
    asking: Connect, raw: httpx.AsyncClient
) -> None:
    ask = asking(temperature=1.0)
    outcomes: dict[type[BaseModel], Counter[str]] = {form: Counter() for form in FORMS}

    async def one(number: int) -> None:
        form = FORMS[number % len(FORMS)]
        try:
            said = await ask(made_up(number % 20), form, f"第 {number} 问：胸痛是否缓解？")
        except NotEvaluated as error:
            outcomes[form][error.code] += 1
        else:
            form.model_validate_json(said.model_dump_json(), strict=True)
            outcomes[form]["answered"] += 1

    await asyncio.gather(*(one(number) for number in range(200)))
    total = sum(outcomes.values(), Counter())
    assert total.total() == len(ask.noted) == 200
    assert total.keys() <= {"answered", *REASONS}
    assert all(found["answered"] for found in outcomes.values()), outcomes
    assert Counter(asked.outcome for asked in ask.noted) == total
    assert (await raw.get("/health")).status_code == 200


async def test_an_answer_that_is_cut_is_asked_for_once_more_and_then_not_evaluated(asking: Connect) -> None:
    ask = asking(max_tokens=16)
    assert await ask.outcome(made_up(1), Long) == "length"
    (asked,) = ask.noted
    assert (asked.outcome, asked.repaired, asked.completion_tokens) == ("length", True, 32)


async def test_a_prompt_that_is_too_long_is_refused_and_never_cut(asking: Connect, served: Served) -> None:
    ask = asking()
    assert await ask.outcome(made_up(1), Yes, "word " * (served.context + 1000)) == "prompt_too_long"
    assert (ask.noted[0].prompt_tokens, ask.noted[0].repaired) == (0, False)
    assert await ask.outcome(made_up(1), Yes) == "answered"


async def test_a_model_that_is_not_served_is_waited_for_and_stops_no_other_agent(asking: Connect) -> None:
    ask = asking(breaker_failures=1)
    assert await ask.outcome(made_up(1), Yes, model="not-served") == "llm_no_such_model"
    assert await ask.outcome(made_up(1), Yes) == "answered"


async def test_a_key_that_the_server_does_not_know_is_refused(served: Served, asking: Connect, tmp_path: Path) -> None:
    if served.key_file is None:
        pytest.skip("the server of HISBUS_LLM_URL asks for no key")
    key = tmp_path / "key"
    key.write_text("not the key")
    ask = asking(api_key_file=key)
    assert await ask.outcome(made_up(1), Yes) == "llm_key_refused"
    key.write_text(served.key_file.read_text())
    assert await ask.outcome(made_up(1), Yes) == "answered", "the file is read again"


REFUSED = {
    "a keyword that the backend does not know": {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True},
    "a reference to nothing": {"$ref": "#/$defs/nothing"},
    "a type that there is not": {"type": "novel"},
    "a pattern that is none": {"type": "string", "pattern": "(["},
}


@dataclass(frozen=True, slots=True)
class Bare(Prompt):
    """A prompt with a form that nobody has closed, and that its text cannot tell of."""

    def messages(self, wrong: str = "") -> list[dict[str, str]]:
        return [{"role": "user", "content": self.question}]


@pytest.mark.parametrize("node", REFUSED.values(), ids=REFUSED.keys())
async def test_a_form_that_the_server_refuses_does_it_no_harm(
    served: Served, asking: Connect, node: dict[str, object]
) -> None:
    schema = {"type": "object", "properties": {"x": node}, "required": ["x"], "additionalProperties": False}
    client = Client(served.settings(), "salt")
    bad = Question("asker", Bare("the record", "2026-03-02T08:00+08:00", "Judge.", "Is it?", schema))
    ask = asking(client=client)
    both = [ask.outcome(made_up(number), Verdict) for number in range(4)]
    refused = [client.once(bad) for _ in range(4)]
    said = await asyncio.gather(*refused, *both, return_exceptions=True)
    await client.close()
    assert [getattr(error, "code", error) for error in said[:4]] == ["refused_request"] * 4
    assert set(said[4:]) <= {"answered", *REASONS}


async def test_tokens_are_counted_as_the_server_counts_them(asking: Connect, count: Watched) -> None:
    before = [await count("prompt_tokens_total"), await count("generation_tokens_total")]
    ask = asking()
    await ask.outcome(made_up(1), Verdict)
    (asked,) = ask.noted
    after = [await count("prompt_tokens_total"), await count("generation_tokens_total")]
    used = [int(now - then) for now, then in zip(after, before, strict=True)]
    assert used == [asked.prompt_tokens, asked.completion_tokens]
