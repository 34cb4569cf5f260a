"""The client against a server that replies as vLLM is documented to."""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from hisbus.errors import ConfigError, NotEvaluated, RetryLater
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.reply import Unusable
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.settings import LLMSettings
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

from .conftest import GOOD, SCHEMA, Asking, metric

Connect = Callable[..., Asking]
CANARY = "欧阳锋"


# --- what leaves ------------------------------------------------------------------------------------------------------


async def test_a_question_carries_form_priority_salt_and_limits(server: FakeServer, asking: Connect) -> None:
    server.then(fake.answer(GOOD))
    ask = asking(max_tokens=99, template={"enable_thinking": False})
    assert await ask(priority=Priority.BACKFILL) == GOOD
    (request,) = server.requests
    assert request.pop("messages")
    assert request == {
        "model": "tiny",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}},
        "max_tokens": 99,
        "temperature": 0.0,
        "priority": 20,
        "cache_salt": "salt",
        "chat_template_kwargs": {"enable_thinking": False},
    }


async def test_an_agent_may_ask_a_model_of_its_own(server: FakeServer, asking: Connect) -> None:
    server.models = ("tiny", "adapter")
    ask = asking()
    await ask(model="adapter")
    assert server.requests[0]["model"] == ask.noted[0].model == "adapter"


async def test_every_answer_is_counted_with_model_prompt_tokens_and_time(server: FakeServer, asking: Connect) -> None:
    ask = asking()
    before = metric("hisbus_llm_tokens_total", agent="asker", kind="cached")
    await ask("a long record " * 50, "one?")
    await ask("a long record " * 50, "two?")
    first, second = ask.noted
    assert (first.model, first.outcome, first.cached_tokens, first.repaired) == ("tiny", "answered", 0, False)
    assert first.prompt_tokens > 700 and first.completion_tokens > 0 and first.seconds >= 0
    assert 700 < second.cached_tokens < second.prompt_tokens
    assert first.prompt == second.prompt and len(first.prompt) == 12
    assert metric("hisbus_llm_tokens_total", agent="asker", kind="cached") - before == second.cached_tokens


async def test_another_salt_shares_nothing_that_the_server_remembers(server: FakeServer, asking: Connect) -> None:
    await asking()("a long record " * 50)
    other = Asking(Client(server.settings(), "another site"))
    await other("a long record " * 50)
    assert other.noted[0].cached_tokens == 0
    await other.client.close()


async def test_a_redirect_is_not_followed_and_no_proxy_is_asked(
    server: FakeServer, asking: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeServer() as elsewhere:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
        server.then(fake.said(307, None, location=f"{elsewhere.url}/v1/chat/completions"))
        ask = asking()
        with pytest.raises(RetryLater) as caught:
            await ask()
        assert caught.value.code == "llm_redirects"
        assert await ask() is not None
        assert (len(server.requests), elsewhere.requests, elsewhere.headers) == (2, [], [])


async def test_over_tls_only_a_server_of_the_named_ca_is_asked(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with FakeServer(tls=context) as secure:
        for settings, outcome in (({"tls_ca_file": tmp_path / "ca.pem"}, "answered"), ({}, "llm_unreachable")):
            ask = Asking(Client(secure.settings(**settings), "salt"))
            with suppress(RetryLater):
                await ask()
            await ask.client.close()
            assert ask.outcomes == [outcome]
        assert len(secure.requests) == 1


async def test_the_key_is_sent_and_read_again_after_it_was_refused(
    server: FakeServer, asking: Connect, tmp_path: Path
) -> None:
    server.key = "new"
    file = tmp_path / "key"
    file.write_text("old\n")
    ask = asking(api_key_file=file)
    with pytest.raises(RetryLater) as caught:
        await ask()
    assert caught.value.code == "llm_key_refused"
    file.write_text("new\n")
    assert await ask() is not None
    assert server.headers[0]["authorization"] == "Bearer new"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://h"},
        {"url": "http://user:word@127.0.0.1"},
        {"url": "http://127.0.0.1?x=1"},
        {"url": "http://gpu.hospital:8000"},
        {"model": ""},
        {"max_tokens": 20000},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"use|name|leaves"):
        LLMSettings(**({"url": "http://127.0.0.1:8000", "model": "m"} | wrong))


def test_plain_http_to_another_machine_must_be_accepted_by_name() -> None:
    settings = LLMSettings(url="http://gpu.hospital:8000/v1/", model="m", allow_plaintext=True)
    assert settings.url == "http://gpu.hospital:8000"
    assert settings.plaintext
    assert not LLMSettings(url="https://gpu.hospital", model="m").plaintext


def test_a_ca_that_cannot_be_read_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tls_ca_file"):
        Client(LLMSettings(url="https://gpu", model="m", tls_ca_file=tmp_path / "none"), "salt")


# --- answers that cannot be used --------------------------------------------------------------------------------------

UNUSABLE = {
    "cut": (fake.cut(), "length"),
    "empty": (fake.text(""), "empty_answer"),
    "no content": (fake.text(None), "empty_answer"),
    "in the reasoning": (fake.reasoned(GOOD), "answer_in_reasoning"),
    "prose": (fake.text("The answer is yes."), "invalid_answer"),
    "fenced": (fake.text('```json\n{"present": true, "quotes": []}\n```'), "invalid_answer"),
    "wrong type": (fake.answer({"present": "true", "quotes": []}), "invalid_answer"),
    "missing field": (fake.answer({"present": True}), "invalid_answer"),
    "unknown field": (fake.answer(GOOD | {"more": 1}), "invalid_answer"),
    "too many": (fake.answer(GOOD | {"quotes": [{"document": "D1", "text": "x"}] * 4}), "invalid_answer"),
    "too long": (fake.answer(GOOD | {"quotes": [{"document": "D1", "text": "x" * 301}]}), "invalid_answer"),
    "no number": (fake.text('{"present": NaN, "quotes": []}'), "invalid_answer"),
    "half a character": (
        fake.text('{"present": true, "quotes": [{"document": "D1", "text": "\\ud800"}]}'),
        "invalid_answer",
    ),
    "endless digits": (fake.text('{"present": ' + "9" * 6000 + "}"), "invalid_answer"),
    "endless depth": (fake.text("[" * 100_000), "invalid_answer"),
    "broken off": (fake.text(json.dumps(GOOD), "abort"), "finish_reason"),
}


@pytest.mark.parametrize(("move", "code"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_unusable_answer_is_asked_for_once_more(
    server: FakeServer, asking: Connect, move: fake.Move, code: str
) -> None:
    server.then(move, fake.answer(GOOD))
    ask = asking()
    before = metric("hisbus_llm_repairs_total", agent="asker", code=code)
    assert await ask() == GOOD
    assert len(server.requests) == 2 and ask.noted[0].repaired and ask.outcomes == ["answered"]
    first, second = (request["messages"][1]["content"] for request in server.requests)
    assert second.startswith(first), "what was read once is remembered"
    assert metric("hisbus_llm_repairs_total", agent="asker", code=code) - before == 1


@pytest.mark.parametrize(("move", "code"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_what_is_unusable_twice_counts_as_not_evaluated_and_nothing_of_it_is_kept(
    server: FakeServer, asking: Connect, move: fake.Move, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.then(move, move)
    ask = asking()
    with pytest.raises(NotEvaluated) as caught:
        await ask(CANARY)
    assert (caught.value.code, str(caught.value)) == (code, Unusable.__doc__)
    assert caught.value.__cause__ is None
    assert ask.outcomes == [code] and len(server.requests) == 2
    assert CANARY not in caplog.text
    assert ask.client.breaker.state == "closed", "the server is well"


async def test_what_is_wrong_is_said_by_place_and_kind_without_the_answer(server: FakeServer, asking: Connect) -> None:
    server.then(fake.answer(GOOD | {"quotes": [{"document": CANARY * 9, "text": "x"}]}), fake.answer(GOOD))
    await asking()()
    again = server.requests[1]["messages"][1]["content"].rpartition("⟦AGAIN⟧")[2]
    assert "quotes.0.document: string_too_long" in again and CANARY not in again


async def test_a_raw_line_end_inside_a_text_is_no_mistake(server: FakeServer, asking: Connect) -> None:
    server.then(fake.text('{"present": true, "quotes": [{"document": "D1", "text": "one\ntwo"}]}'))
    assert (await asking()())["quotes"][0]["text"] == "one\ntwo"


@pytest.mark.parametrize(
    ("move", "code"), [(fake.too_long(), "prompt_too_long"), (fake.bad_grammar(), "refused_request")]
)
async def test_a_request_that_is_refused_is_not_repeated_and_leaves_the_breaker_alone(
    server: FakeServer, asking: Connect, move: fake.Move, code: str
) -> None:
    server.then(move)
    ask = asking(breaker_failures=1)
    with pytest.raises(NotEvaluated) as caught:
        await ask()
    assert (caught.value.code, len(server.requests), ask.client.breaker.state) == (code, 1, "closed")


async def test_a_prompt_beyond_any_context_is_not_even_sent(server: FakeServer, asking: Connect) -> None:
    ask = asking(context_tokens=300, max_tokens=100)
    with pytest.raises(NotEvaluated) as caught:
        await ask("x" * 10_000)
    assert (caught.value.code, server.requests) == ("prompt_too_long", [])


async def test_a_form_without_bounds_is_refused_before_anything_is_sent(server: FakeServer, asking: Connect) -> None:
    ask = asking()
    with pytest.raises(ConfigError):
        await ask(schema={"type": "string", "pattern": "(?=a)"})
    assert server.requests == [] and ask.outcomes == ["unbounded_answer"]


# --- a server that is down --------------------------------------------------------------------------------------------


def questions(server: FakeServer) -> list[dict[str, Any]]:
    """Return what was asked, without the words that try whether the server is well."""
    return [request for request in server.requests if "response_format" in request]


DOWN = {
    "busy": (fake.busy(), "llm_busy"),
    "hung up": (fake.hung_up(), "llm_unreachable"),
    "failed": (fake.said(500, {"error": {"message": CANARY, "code": 500}}), "llm_failed"),
    "bad gateway": (fake.said(502), "llm_failed"),
    "no vLLM": (fake.said(200, {"hello": CANARY}), "llm_no_completion"),
    "no choices": (fake.said(200, {"choices": []}), "llm_no_completion"),
    "no such path": (fake.said(404, {"detail": "Not Found"}), "llm_no_such_path"),
    "unauthorised": (fake.said(401, {"error": "Unauthorized"}), "llm_key_refused"),
}


@pytest.mark.parametrize(("move", "code"), DOWN.values(), ids=DOWN.keys())
async def test_after_some_failures_the_server_is_left_alone_and_then_tried_once(
    server: FakeServer,
    asking: Connect,
    move: fake.Move,
    code: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("hisbus_bus.host.llm.client._now", lambda: clock[0])
    ask = asking(breaker_failures=2, breaker_pause_s=60)
    server.otherwise = move
    for expected in (code, code, "llm", "llm"):
        with pytest.raises(RetryLater) as caught:
            await ask()
        assert caught.value.code == expected
    assert len(questions(server)) == 2 and metric("hisbus_llm_down") == 1
    clock[0] += 60
    with pytest.raises(RetryLater):
        await ask()
    assert (len(questions(server)), ask.client.breaker.state) == (3, "open")
    clock[0] += 60
    server.otherwise = fake.answer(GOOD)
    assert await ask() is not None
    assert ask.client.breaker.state == "closed" and metric("hisbus_llm_down") == 0
    assert ask.outcomes == [code, code, "llm", "llm", code, "answered"]
    assert CANARY not in caplog.text


async def test_a_server_that_is_gone_and_comes_back_is_found_again(server: FakeServer, asking: Connect) -> None:
    ask = asking(breaker_failures=9)
    assert await ask() is not None
    await server.kill()
    with pytest.raises(RetryLater) as caught:
        await ask()
    assert caught.value.code == "llm_unreachable"
    await server.start()
    assert await ask() is not None


async def test_a_server_that_dies_while_it_answers_is_down(server: FakeServer, asking: Connect) -> None:
    server.then(fake.after(asyncio.Event(), fake.answer(GOOD)))
    ask = asking(breaker_failures=1)
    failing = asyncio.create_task(ask())
    await server.until(lambda: server.running == 1)
    await server.kill()
    with pytest.raises(RetryLater) as caught:
        await failing
    assert (caught.value.code, ask.client.breaker.state) == ("llm_unreachable", "open")


async def test_a_missing_adapter_of_one_agent_stops_nobody_else(server: FakeServer, asking: Connect) -> None:
    ask = asking(breaker_failures=1)
    with pytest.raises(RetryLater) as caught:
        await ask(model="gone")
    assert caught.value.code == "llm_no_such_model"
    assert await ask() is not None


async def test_a_slow_answer_is_given_up_at_its_deadline_and_its_connection_closed(
    server: FakeServer, asking: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.otherwise = fake.after(asyncio.Event(), fake.answer(GOOD))
    monkeypatch.setattr("hisbus_bus.host.llm.client.WELL_S", 0.05)
    ask = asking(deadline_s=0.05)
    with pytest.raises(RetryLater) as caught:
        await ask()
    assert caught.value.code == "llm_slow"
    await server.until(lambda: server.aborted == 2)


@pytest.mark.parametrize(
    ("move", "code"), [(fake.after(asyncio.Event(), fake.busy()), "slow"), (fake.said(500), "failed")]
)
async def test_a_question_that_fails_alone_is_not_asked_for_ever(
    server: FakeServer, asking: Connect, move: fake.Move, code: str
) -> None:
    """Nobody else is answered meanwhile, but the server says one word: so it is well."""
    server.then(move)
    ask = asking(deadline_s=0.3, breaker_failures=1)
    with pytest.raises(NotEvaluated) as caught:
        await ask("its own fault")
    assert (caught.value.code, ask.client.breaker.state, len(server.requests)) == (code, "closed", 2)
    assert "record" not in str(server.requests[1])


async def test_a_question_that_is_withdrawn_while_the_server_is_tried_lets_another_try(
    server: FakeServer, asking: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("hisbus_bus.host.llm.client._now", lambda: clock[0])
    ask = asking(breaker_failures=1, breaker_pause_s=60)
    server.then(fake.busy(), fake.said(500), fake.after(asyncio.Event(), fake.busy()))
    with pytest.raises(RetryLater):
        await ask()
    clock[0] += 60
    trying = asyncio.create_task(ask())
    await server.until(lambda: len(server.requests) == 3)
    trying.cancel()
    await asyncio.wait((trying,))
    assert await ask() is not None


@pytest.mark.parametrize(
    ("move", "code"), [(fake.after(asyncio.Event(), fake.busy()), "slow"), (fake.said(500), "failed")]
)
async def test_what_fails_while_others_are_answered_is_the_questions_own_fault(
    server: FakeServer, asking: Connect, move: fake.Move, code: str
) -> None:
    held = asyncio.Event()
    server.then(fake.after(held, move) if code == "failed" else move)
    ask = asking(deadline_s=0.3)
    failing = asyncio.create_task(ask("its own fault"))
    await server.until(lambda: server.running == 1)
    assert await ask() is not None
    held.set()
    with pytest.raises(NotEvaluated) as caught:
        await failing
    assert caught.value.code == code


async def test_a_server_that_dies_after_it_answered_others_is_down_and_no_question_to_blame(
    server: FakeServer, asking: Connect
) -> None:
    died = asyncio.Event()
    server.then(*[fake.after(died, fake.said(500))] * 3)
    ask = asking(breaker_failures=3)
    under_way = [asyncio.create_task(ask()) for _ in range(3)]
    await server.until(lambda: server.running == 3)
    assert await ask() is not None
    server.otherwise = fake.said(500)
    died.set()
    failed = await asyncio.gather(*under_way, return_exceptions=True)
    assert [(type(error), error.code) for error in failed] == [(RetryLater, "llm_failed")] * 3  # type: ignore[union-attr]
    assert ask.client.breaker.state == "open"
    assert len(server.requests) < 3 + 1 + 3, "they find out together"


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_no_more_questions_are_at_the_server_than_configured_and_the_urgent_overtake(
    server: FakeServer, asking: Connect
) -> None:
    held = asyncio.Event()
    server.otherwise = fake.after(held, fake.answer(GOOD))
    ask = asking(concurrency=4)
    back = [asyncio.create_task(ask(f"back {n}", priority=Priority.BACKFILL)) for n in range(50)]
    await server.until(lambda: server.running == 2)
    live = [asyncio.create_task(ask(f"live {n}")) for n in range(3)]
    await server.until(lambda: server.running == 3)
    now = asyncio.create_task(ask("now", priority=Priority.INTERACTIVE))
    await server.until(lambda: server.running == 4)
    held.set()
    await asyncio.gather(now, *live, *back)
    order = [request["messages"][1]["content"].split("\n")[1] for request in server.requests]
    assert order[:4] == ["back 0", "back 1", "live 0", "now"]
    assert set(order[4:6]) == {"live 1", "live 2"}
    assert (server.most, len(order)) == (4, 54)


async def test_a_question_that_is_withdrawn_closes_its_connection_and_gives_its_place_back(
    server: FakeServer, asking: Connect
) -> None:
    server.then(fake.after(asyncio.Event(), fake.answer(GOOD)))
    ask = asking(concurrency=1, breaker_failures=1)
    first = asyncio.create_task(ask())
    await server.until(lambda: server.running == 1)
    waiting = asyncio.create_task(ask())
    await asyncio.sleep(0)
    for task in (first, waiting):
        task.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    await server.until(lambda: server.aborted == 1)
    assert await ask() is not None
    assert ask.outcomes == ["answered"], "what was withdrawn was not evaluated, nor is it a failure"
    assert metric("hisbus_llm_waiting") == 0 == metric("hisbus_llm_under_way")
