"""The model as one call of an agent sees it: it may ask about the chart of its own call, and about no other."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel

from hisbus.schema import closed, typed
from hisbus_bus.host.llm.client import Client, Question
from hisbus_bus.host.llm.layout import Prompt
from hisbus_bus.host.llm.render import record
from hisbus_bus.host.llm.turns import Priority
from hisbus_schemas import Asked, Chart

T = TypeVar("T", bound=BaseModel)


class CaseLLM:
    """``case.llm`` for an agent in this process; for one in a process of its own, what answers its questions."""

    def __init__(
        self,
        client: Client,
        agent: str,
        chart: Callable[[], Chart],
        now: datetime,
        *,
        model: str = "",
        priority: Priority = Priority.LIVE,
    ) -> None:
        """Take what a call is about.

        Args:
            client: the way to the server.
            agent: who asks.
            chart: gives what the agent may see of the chart; called at the first question, for most calls ask none.
            now: the present, UTC.
            model: what it asks; empty: the configured model.
            priority: of all its questions.
        """
        self.asked: list[Asked] = []
        """What was asked so far, in the order in which it was answered."""
        self._client = client
        self.model = model or client.settings.model
        """Name of the model that answers."""
        self._agent = agent
        self._give = chart
        self._now = now
        self._model = model
        self._priority = priority
        self._records: dict[frozenset[str] | None, str] = {}

    async def ask(self, *, system: str, question: str, answer: type[T], only: Collection[str] | None = None) -> T:
        """Ask, as ``hisbus.LLM`` says."""
        value = await self.value(system=system, question=question, schema=answer.model_json_schema(), only=only)
        return typed(answer, value)

    async def value(
        self, *, system: str, question: str, schema: Mapping[str, Any], only: Collection[str] | None = None
    ) -> Any:
        """Ask for an answer of the form of a model's JSON Schema, and return it as JSON.

        Raises:
            RetryLater: the server is not to be had.
            NotEvaluated: there is no usable answer.
            ConfigError: the form is not bounded.
        """
        local = self._now.astimezone(self._zone).isoformat(timespec="minutes")
        prompt = Prompt(self._record(only), local, system, question, closed(schema))
        asking = Question(self._agent, prompt, self._model, self._priority)
        return await self._client.ask(asking, self.asked.append)

    def _record(self, only: Collection[str] | None) -> str:
        key = None if only is None else frozenset(only)
        if key not in self._records:
            self._records[key] = record(self._chart, key)
        return self._records[key]

    @cached_property
    def _chart(self) -> Chart:
        return self._give()

    @cached_property
    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self._chart.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")
