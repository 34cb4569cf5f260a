"""The server that is asked: our own with a tiny random model (``make test-vllm``), or the one that is named.

``HISBUS_LLM_URL=https://HOST`` names it, with ``HISBUS_LLM_MODEL`` (default: the first that it serves),
``HISBUS_LLM_KEY_FILE`` and ``HISBUS_LLM_CA_FILE``. What only our own allows is then skipped.
"""

import asyncio
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from hisbus.errors import NotEvaluated, RetryLater
from hisbus_bus.host.llm.case import CaseLLM
from hisbus_bus.host.llm.client import Client
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.settings import LLMSettings
from hisbus_schemas import Asked, Chart
from hisbus_servers import Vllm
from hisbus_servers.vllm import ADAPTERS

T = TypeVar("T", bound=BaseModel)

DEADLINE_S = 60


@dataclass(frozen=True)
class Served:
    """What is asked."""

    url: str
    model: str
    context: int
    key_file: Path | None
    ca_file: Path | None
    own: Vllm | None
    adapters: tuple[str, ...] = ()

    def settings(self, **more: Any) -> LLMSettings:
        """Return a configuration that names it."""
        known = {"url": self.url, "model": self.model, "api_key_file": self.key_file, "tls_ca_file": self.ca_file}
        sized = {"context_tokens": self.context, "max_tokens": min(512, self.context // 4), "allow_plaintext": True}
        return LLMSettings(**(known | sized | more))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if url := os.environ.get("HISBUS_LLM_URL"):
        yield _named(url.rstrip("/"))
        return
    python = os.environ.get("HISBUS_TEST_VLLM")
    if not python:
        pytest.skip("no vLLM is given (make test-vllm, or HISBUS_LLM_URL=https://HOST make test-vllm)")
    own = Vllm(tmp_path_factory.mktemp("vllm"), python=Path(python).absolute())
    own.start()
    yield _seen(own.url, own.key_file, None, own)
    own.stop()


def _named(url: str) -> Served:
    key, ca = (os.environ.get(f"HISBUS_LLM_{name}_FILE") for name in ("KEY", "CA"))
    return _seen(url, Path(key) if key else None, Path(ca) if ca else None, None)


def _seen(url: str, key_file: Path | None, ca_file: Path | None, own: Vllm | None) -> Served:
    headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"} if key_file else {}
    trust = ssl.create_default_context(cafile=ca_file)
    said = httpx.get(f"{url}/v1/models", headers=headers, verify=trust, trust_env=False).raise_for_status()
    context = {model["id"]: model.get("max_model_len") for model in said.json()["data"]}
    model = os.environ.get("HISBUS_LLM_MODEL", next(iter(context))) if own is None else next(iter(context))
    adapters = ADAPTERS if own else ()
    return Served(url, model, context[model] or 4096, key_file, ca_file, own, adapters)


@pytest.fixture
def own(served: Served) -> Vllm:
    """Our own server, whose every number is known; running, also when the last test killed it."""
    if served.own is None:
        pytest.skip("only our own server is killed, counted and given adapters, not the one of HISBUS_LLM_URL")
    if not served.own.running:
        served.own.start()
    return served.own


class Asker:
    """An agent that asks about one chart after another."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.noted: list[Asked] = []

    async def __call__(
        self,
        chart: Chart,
        answer: type[T],
        question: str = "有无缺陷？",
        *,
        system: str = "Judge the notes of this stay.",
        priority: Priority = Priority.LIVE,
        model: str = "",
    ) -> T:
        llm = CaseLLM(self.client, self.name, lambda: chart, chart.now, model=model, priority=priority)
        try:
            return await llm.ask(system=system, question=question, answer=answer)
        finally:
            self.noted += llm.asked

    async def outcome(self, *args: Any, **more: Any) -> str:
        """Ask; return ``answered``, or the code that says why not."""
        try:
            await self(*args, **more)
        except (NotEvaluated, RetryLater) as error:
            return error.code
        return "answered"


Connect = Callable[..., Asker]


@pytest.fixture
async def asking(served: Served) -> AsyncIterator[Connect]:
    """Make an agent with a client of its own: ``asking("qc", salt="site", concurrency=50)``."""
    clients: list[Client] = []

    def connect(name: str = "asker", *, salt: str | None = None, client: Client | None = None, **more: Any) -> Asker:
        if client is None:
            client = Client(served.settings(**more), salt or secrets.token_hex(8))
            clients.append(client)
        return Asker(client, name)

    yield connect
    for client in clients:
        await client.close()


class Watched:
    """What the server counts."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def __call__(self, name: str) -> float:
        """Return the sum of a metric."""
        said = (await self._http.get("/metrics")).text
        samples = (sample for family in text_string_to_metric_families(said) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == f"vllm:{name}")

    async def until(self, name: str, true: Callable[[float], bool]) -> None:
        """Wait until something is true of a metric."""
        async with asyncio.timeout(DEADLINE_S):
            while not true(await self(name)):
                await asyncio.sleep(0.02)


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """The server, without hisbus's client and without a key."""
    trust = ssl.create_default_context(cafile=served.ca_file)
    async with httpx.AsyncClient(base_url=served.url, verify=trust, trust_env=False, timeout=DEADLINE_S) as http:
        yield http


@pytest.fixture
def count(own: Vllm, raw: httpx.AsyncClient) -> Watched:
    return Watched(raw)
