"""``hisbus llm check`` says in a sentence what will not work, and with which setting it would."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hisbus.errors import ConfigError
from hisbus_bus.command import llm
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.main import app
from hisbus_bus.host.llm.check import Line, probe
from hisbus_bus.kernel.settings import LLMSettings
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer

SAID = {"colour": "blue", "certain": True}


async def lines(settings: LLMSettings) -> list[Line]:
    return [line async for line in probe(settings)]


async def wrong(server: FakeServer, **settings: Any) -> list[str]:
    return [line.said for line in await lines(server.settings(context_tokens=8000, **settings)) if not line.works]


async def test_a_server_that_does_what_is_needed_passes(server: FakeServer) -> None:
    found = await lines(server.settings(context_tokens=8000))
    assert all(line.works for line in found)
    assert [line.said.partition(".")[0] for line in found] == [
        "tiny is served and takes 16384 tokens",
        "An answer has the form that its JSON Schema asks for",
        found[2].said.partition(".")[0],
        "Priorities are accepted",
        "A prompt that is too long is refused",
    ]
    assert "were remembered" in found[2].said


async def test_a_second_check_is_not_misled_by_what_the_server_remembers_of_the_first(server: FakeServer) -> None:
    assert [await wrong(server) for _ in range(2)] == [[], []]


BAD_ANSWERS = {
    "prose": (fake.text("Once upon a time"), "ignores the JSON Schema"),
    "cut": (fake.cut(), "llm.max_tokens"),
    "empty": (fake.text(""), "chat template"),
    "reasoning": (fake.reasoned(SAID), "enable_thinking"),
    "broken off": (fake.text("", "abort"), "breaks answers off"),
    "grammar": (fake.bad_grammar(), "backend"),
    "blanks": (fake.text(json.dumps(SAID)), "disable_any_whitespace"),
    "backend broken": (fake.said(500), "backend may be broken"),
    "busy": (fake.busy(), "busy"),
}


@pytest.mark.parametrize(("move", "says"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_a_server_that_does_not_obey_a_schema_is_told_so(server: FakeServer, move: fake.Move, says: str) -> None:
    server.then(move)
    (said,) = await wrong(server)
    assert says in said


async def test_a_server_that_does_not_say_what_it_remembers(server: FakeServer) -> None:
    server.reports_cache = False
    (said,) = await wrong(server)
    assert "--enable-prompt-tokens-details" in said


async def test_a_server_that_remembers_nothing(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "_cached", lambda *_: 0)
    (said,) = await wrong(server)
    assert "--enable-prefix-caching" in said


async def test_a_server_that_ignores_the_salt(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "_cached", lambda *_: 640)
    (said,) = await wrong(server)
    assert "cache_salt" in said


async def test_a_server_that_refuses_priorities(server: FakeServer) -> None:
    compact = fake.text(json.dumps(SAID, separators=(",", ":")))
    server.then(compact, compact, compact, compact, fake.bad_grammar())
    (said,) = await wrong(server)
    assert "--scheduling-policy priority" in said


async def test_a_server_that_cuts_prompts(server: FakeServer) -> None:
    server.cuts_prompts = True
    (said,) = await wrong(server)
    assert "it cuts prompts" in said


async def test_what_is_wrong_with_the_address_the_key_and_the_model(server: FakeServer, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("wrong")
    assert await wrong(server, model="other") == ["llm.model: the server does not serve other, but tiny."]
    (said,) = await wrong(server, max_tokens=500, url=f"{server.url}/elsewhere")
    assert "not a vLLM server" in said
    server.max_model_len = 4096
    assert "llm.context_tokens: 8000 is more than the 4096" in (await wrong(server))[0]
    server.key = "right"
    assert "llm.api_key_file: the server refuses" in (await wrong(server, api_key_file=key))[0]
    assert "cannot be read" in (await wrong(server, api_key_file=tmp_path / "none"))[0]
    await server.kill()
    assert "nothing answers" in (await wrong(server))[0]


async def test_there_is_nothing_to_check_without_a_model() -> None:
    with pytest.raises(ConfigError):
        await lines(LLMSettings())


def test_the_command_prints_what_was_tried_and_fails_with_what_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def made_up(_settings: LLMSettings) -> Any:
        yield Line(True, "One thing.")
        yield Line(False, "Another.")

    config = tmp_path / "hisbus.toml"
    config.write_text('site = "test"\n')
    monkeypatch.setattr(llm, "probe", made_up)
    monkeypatch.setattr(chosen, "path", config)
    result = CliRunner().invoke(app, ["--config", str(config), "llm", "check"])
    assert (result.exit_code, result.output) == (1, "ok      One thing.\nFAIL    Another.\n")
