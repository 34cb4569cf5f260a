"""``hisbus llm check`` on a real server, and what of a server the gateway must keep to itself."""

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from tests.vllm.conftest import Served

from hisbus_bus.host.llm.check import Line, probe
from hisbus_bus.kernel.settings import Settings
from hisbus_servers import Vllm
from hisbus_servers.vllm import PROGRAMS

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]


async def lines(served: Served, **settings: Any) -> list[Line]:
    return [line async for line in probe(served.settings(**settings))]


async def test_a_server_that_is_started_as_told_passes(served: Served) -> None:
    found = await lines(served)
    assert [line.said for line in found if not line.works] == []
    assert len(found) >= 5


async def test_what_is_wrong_in_the_configuration_is_said(served: Served, own: Vllm, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("not the key")

    async def wrong(**settings: Any) -> str:
        said = next(line.said for line in await lines(served, **settings) if not line.works)
        return said.partition(":")[0]

    assert await wrong(model="not-served") == "llm.model"
    assert await wrong(api_key_file=key) == "llm.api_key_file"
    assert await wrong(context_tokens=served.context + 1) == "llm.context_tokens"
    assert await wrong(url=f"{served.url}/elsewhere") == "llm.url"


@pytest.fixture
def careless(own: Vllm, tmp_path: Path, served: Served) -> Iterator[Served]:
    """A server that is started without the flags that hisbus rests on."""
    vllm = Vllm(tmp_path, contract=("--no-enable-prefix-caching", "--enable-prompt-tokens-details"))
    vllm.start()
    yield Served(vllm.url, served.model, served.context, vllm.key_file, None, None)
    vllm.stop()


async def test_a_server_that_is_started_carelessly_is_told_what_it_lacks(careless: Served) -> None:
    said = [line.said for line in await lines(careless) if not line.works]
    assert any("disable_any_whitespace" in line or "llm.max_tokens" in line for line in said), said
    assert any("--enable-prefix-caching" in line for line in said), said


PARSES = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="vllm_serve")
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
validate_parsed_serve_args(parser.parse_args(sys.argv[2:]))
print("all known")
parser.parse_args([*sys.argv[2:], "--no-such-flag"])
"""


def test_every_flag_of_the_production_server_is_known_to_the_release_that_is_tested(own: Vllm) -> None:
    words = yaml.safe_load((PROGRAMS.parent / "compose.yaml").read_text())["services"]["vllm"]["command"]
    done = subprocess.run([own.python, "-c", PARSES, PROGRAMS / "serve.py", *words], capture_output=True, text=True)
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["all known"], 2), done.stderr[-2000:]
    assert "--no-such-flag" in done.stderr


def test_a_server_that_is_kept_up_by_the_command_ends_with_it(own: Vllm, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hisbus_servers", "vllm", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = "".join(running.stdout.readline() for _ in range(6))
        processes = psutil.Process(running.pid).children(recursive=True)
        assert any("EngineCore" in process.name() for process in processes)
        running.kill()
    settings = Settings(site="test", **tomllib.loads(said)).llm
    assert settings.api_key_file is not None and settings.api_key_file.is_relative_to(tmp_path)
    _, left = psutil.wait_procs(processes, timeout=30)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


async def test_the_key_guards_less_than_everything_so_the_gateway_must(own: Vllm, raw: httpx.AsyncClient) -> None:
    """A change here, for better or worse, is a reason to look at the gateway again."""
    question = {"model": "tiny", "messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
    guarded = await raw.post("/v1/chat/completions", json=question)
    assert (guarded.status_code, guarded.json()) == (401, {"error": "Unauthorized"})
    open_to_all = await asyncio.gather(
        raw.post("/invocations", json=question),
        raw.post("/tokenize", json={"prompt": "1"}),
        raw.get("/metrics"),
        raw.get("/openapi.json"),
    )
    assert [reply.status_code for reply in open_to_all] == [200] * 4


async def test_a_question_carries_the_number_that_the_gateway_gave_it(own: Vllm, raw: httpx.AsyncClient) -> None:
    question = {"model": "tiny", "messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
    headers = {"Authorization": f"Bearer {own.key_file.read_text()}", "X-Request-Id": "4711"}
    reply = await raw.post("/v1/chat/completions", json=question, headers=headers)
    assert (reply.headers["x-request-id"], reply.json()["id"]) == ("4711", "chatcmpl-4711")


async def test_nothing_that_was_asked_stands_in_the_servers_log(own: Vllm, raw: httpx.AsyncClient) -> None:
    said = {"role": "user", "content": "欧阳锋 ouyangfeng"}
    headers = {"Authorization": f"Bearer {own.key_file.read_text()}"}
    for more in ({}, {"response_format": {"type": "json_schema", "json_schema": {"name": "欧阳锋", "schema": 1}}}):
        asked = {"model": "tiny", "messages": [said], "max_tokens": 1} | more
        await raw.post("/v1/chat/completions", json=asked, headers=headers)
    log = own.log.read_text(encoding="utf-8", errors="replace")
    assert "chat/completions" in log and "ouyangfeng" not in log and "欧阳锋" not in log
