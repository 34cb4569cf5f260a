"""What a hospital starts for its model is what hisbus asks for, and what the tests have asked."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import hisbus_bus.host.llm
from hisbus_bus.kernel.settings import Settings
from hisbus_servers.vllm import CONTRACT

OPS = Path(__file__).parents[1] / "ops" / "vllm"
GATEWAY = (OPS / "nginx.conf").read_text()
BOUND = "--max-num-queued-reqs"
WATCHED = "/health"
"""Let through for whoever watches the server; hisbus itself asks what it needs."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((OPS / "compose.yaml").read_text())
    return loaded


def flags(words: Sequence[str]) -> dict[str, str]:
    """Return the value of each flag, written ``--flag value`` or ``--flag=value``; empty without one."""
    found = {}
    for word, following in pairwise([*words, "--"]):
        name, given, value = word.partition("=")
        if word.startswith("--"):
            found[name] = value if given else "" if following.startswith("--") else following
    return found


@pytest.fixture(scope="module")
def started(compose: Mapping[str, Any]) -> dict[str, str]:
    return flags(compose["services"]["vllm"]["command"])


@pytest.fixture(scope="module")
def settings() -> Settings:
    (text,) = re.findall(r"```toml\n(.*?)```", (OPS / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return Settings(site="test", **tomllib.loads(text))


def paths(source: Path) -> Iterator[str]:
    """Return the addresses of a server that stand in a file."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and re.fullmatch(r"(/[a-z0-9]+)+", str(node.value)):
            yield str(node.value)


def directive(name: str) -> int:
    """Return the number of a directive of the gateway."""
    (value,) = re.findall(rf"^\s*{name} (?:\w+ )?(\d+)[a-z]*;", GATEWAY, re.MULTILINE)
    return int(value)


def test_the_gateway_lets_through_exactly_what_hisbus_asks_for() -> None:
    sources = Path(hisbus_bus.host.llm.__path__[0]).glob("*.py")
    asked = {path for source in sources if source.name != "fake_server.py" for path in paths(source)}
    assert asked == {"/v1/chat/completions", "/v1/models"}
    locations = re.findall(r"location (.*?) \{\s*(.*?);?\s", GATEWAY)
    assert {where.removeprefix("= ") for where, _ in locations if where.startswith("=")} == asked | {WATCHED}
    assert [(where, then) for where, then in locations if not where.startswith("=")] == [("/", "return")]
    assert re.search(r"location / \{\s*return 404;\s*\}", GATEWAY)


def test_the_server_is_started_with_what_the_tests_rest_on(started: Mapping[str, str]) -> None:
    tested = flags(CONTRACT)
    assert int(started[BOUND]) > 0 and int(tested[BOUND]) > 0
    assert {name: started.get(name) for name in tested if name != BOUND} == {
        name: value for name, value in tested.items() if name != BOUND
    }


def test_what_would_log_or_run_what_others_wrote_is_absent(
    compose: Mapping[str, Any], started: Mapping[str, str]
) -> None:
    unwanted = {"--enable-log-requests", "--enable-log-outputs", "--trust-remote-code", "--api-key"}
    assert not started.keys() & unwanted
    environment = compose["services"]["vllm"]["environment"]
    assert environment.items() >= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}.items()
    assert not environment.keys() & {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"}


def test_nobody_reaches_the_server_but_through_the_gateway(compose: Mapping[str, Any]) -> None:
    server, gateway = compose["services"]["vllm"], compose["services"]["gateway"]
    assert "ports" not in server and server["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert gateway["networks"] == ["inside", "hospital"]


def test_no_image_is_named_by_a_tag(compose: Mapping[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.fullmatch(r"\$\{[A-Z_]+:\?.*digest.*\}", service["image"])


def test_the_numbers_of_hisbus_gateway_and_server_fit_together(
    settings: Settings, started: Mapping[str, str], compose: Mapping[str, Any]
) -> None:
    llm = settings.llm
    assert llm.model == started["--served-model-name"]
    assert llm.concurrency < directive("limit_conn") <= int(started[BOUND])
    assert llm.context_tokens <= int(started["--max-model-len"])
    assert llm.deadline_s < directive("proxy_read_timeout")
    assert 16 * llm.context_tokens < directive("client_max_body_size") * 1024 * 1024
    assert directive("client_body_buffer_size") == directive("client_max_body_size"), "or a chart is written to a disk"
    adapters = {word.partition("=")[0] for word in compose["services"]["vllm"]["command"] if word[0].isalpha()}
    assert {agent.model for agent in settings.agents.values()} <= adapters
