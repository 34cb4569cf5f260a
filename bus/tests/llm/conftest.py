"""A scripted server, and a client that closes."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hisbus import Quote
from hisbus.schema import closed
from hisbus_bus.host.llm.client import Client, Question
from hisbus_bus.host.llm.layout import Prompt
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_schemas import Asked
from hisbus_servers.fake_model import FakeServer


class Verdict(BaseModel):
    """What the tests ask for."""

    model_config = ConfigDict(hide_input_in_errors=True)

    present: bool
    quotes: Annotated[list[Quote], Field(max_length=3)] = []


SCHEMA = closed(Verdict.model_json_schema())
GOOD = {"present": True, "quotes": []}

Connect = Callable[..., Client]


class Asking:
    """Asks through a client, and keeps what it notes."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.noted: list[Asked] = []

    async def __call__(
        self, record: str = "the record", question: str = "Is it?", priority: Priority = Priority.LIVE, **more: Any
    ) -> Any:
        prompt = Prompt(record, "2026-03-02T08:00+08:00", "Judge.", question, more.pop("schema", SCHEMA))
        return await self.client.ask(Question("asker", prompt, priority=priority, **more), self.noted.append)

    @property
    def outcomes(self) -> list[str]:
        return [asked.outcome for asked in self.noted]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as running:
        yield running


@pytest.fixture
async def asking(server: FakeServer) -> AsyncIterator[Callable[..., Asking]]:
    clients: list[Client] = []

    def connect(**settings: Any) -> Asking:
        clients.append(Client(server.settings(**settings), "salt"))
        return Asking(clients[-1])

    yield connect
    for client in clients:
        await client.close()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
