"""``hisbus llm check``: asks the server what only asking can show, with made-up text, and says what will not work."""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from hisbus.errors import ConfigError, NotEvaluated
from hisbus.schema import closed, reader
from hisbus_bus.host.llm.client import Client, Question
from hisbus_bus.host.llm.layout import Prompt
from hisbus_bus.host.llm.reply import Reply, ServerFailed, Unusable
from hisbus_bus.host.llm.turns import Priority
from hisbus_bus.kernel.settings import LLMSettings

_ENOUGH = "Follow-up was without findings. Wound dry, no fever, mobilised with help. " * 60
"""Some 900 tokens: several blocks of any prefix cache."""

_DOWN = {
    "llm_unreachable": "llm.url: nothing answers at this address. Is the server up, and does it speak https?",
    "llm_slow": "llm.deadline_s: the server took longer to answer a short question. Is it overloaded?",
    "llm_key_refused": "llm.api_key_file: the server refuses the key, or asks for one.",
    "llm_key_unreadable": "llm.api_key_file: the file cannot be read. Check its path and owner.",
    "llm_redirects": "llm.url: the server redirects elsewhere, which is never followed. Name the address itself.",
    "llm_no_such_path": "llm.url: there is no /v1/chat/completions. Is it a vLLM server that generates?",
    "llm_no_such_model": "llm.model: the server does not serve it under this name.",
    "llm_busy": "The server is busy and refuses questions. Try again when it is not.",
    "llm_no_completion": "llm.url: what answers there is not a vLLM server.",
    "llm_failed": "The server failed on a question with a JSON Schema. Look into its log: the backend may be broken.",
}


class Line(NamedTuple):
    """One thing that was tried, and what came of it."""

    works: bool
    said: str


class _Colour(BaseModel):
    colour: Literal["blue", "green"]
    certain: bool


async def probe(settings: LLMSettings, *, briefly: bool = False) -> AsyncIterator[Line]:
    """Try the server, one thing after another, until one fails on which the others rest.

    Args:
        settings: what to try.
        briefly: only whether the server is there and serves the model; nothing is asked of it.

    Raises:
        ConfigError: no model is configured.
    """
    if not settings.url:
        raise ConfigError("llm.url is empty: no model is configured.")
    async with _Probe(settings) as server:
        try:
            async for line in server.lines(briefly):
                yield line
        except ServerFailed as error:
            yield Line(False, _DOWN[error.code])
        except NotEvaluated:
            yield Line(False, "The server refuses a prompt of some thousand tokens. Does it take any charts?")


class _Probe:
    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        # New salts: the server remembers what an earlier check has asked.
        self._client, self._other = (Client(settings, secrets.token_hex(16)) for _ in range(2))

    async def __aenter__(self) -> "_Probe":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.close()
        await self._other.close()

    async def lines(self, briefly: bool) -> AsyncIterator[Line]:
        served = await self._models()
        yield self._served(served)
        if briefly or self._settings.model not in served:
            return
        async for line in self._schema():
            yield line
        async for line in self._cache():
            yield line
        yield await self._priority()
        yield await self._too_long(served[self._settings.model])

    async def _models(self) -> dict[str, int]:
        """Return the models that are served with the tokens that each takes."""
        status, said = await self._client.get("/v1/models")
        if status in {401, 403}:
            raise ServerFailed("llm_key_refused")
        if 300 <= status < 400:
            raise ServerFailed("llm_redirects")
        data = said.get("data") if isinstance(said, dict) else None
        if status != 200 or not isinstance(data, list):
            raise ServerFailed("llm_no_completion")
        try:
            # An adapter is served without a length of its own: that of its model holds.
            longest = max(one.get("max_model_len") or 0 for one in data)
            return {one["id"]: one.get("max_model_len") or longest for one in data}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ServerFailed("llm_no_completion") from None

    def _served(self, served: Mapping[str, int]) -> Line:
        name, ours = self._settings.model, self._settings.context_tokens
        if name not in served:
            return Line(False, f"llm.model: the server does not serve {name}, but {', '.join(sorted(served))}.")
        if served[name] < ours:
            return Line(False, f"llm.context_tokens: {ours} is more than the {served[name]} tokens that {name} takes.")
        return Line(True, f"{name} is served and takes {served[name]} tokens.")

    async def _schema(self) -> AsyncIterator[Line]:
        try:
            reply = await self._ask(self._question("Tell a story about the sea, in prose, without any JSON."))
            reply.value(reader(self._form))
        except Unusable as error:
            yield Line(False, _OBEYS[error.code])
            return
        except NotEvaluated:
            yield Line(False, "The server refuses a small JSON Schema. Set the backend of its structured outputs.")
            return
        yield Line(True, "An answer has the form that its JSON Schema asks for.")
        if any(blank in reply.content for blank in (" ", "\n")):
            yield Line(
                False,
                "The server puts blanks into JSON, and may go on with them until an answer is cut: start it with"
                ' --structured-outputs-config \'{"backend":"guidance","disable_any_whitespace":true}\'.',
            )

    async def _cache(self) -> AsyncIterator[Line]:
        first = await self._ask(self._question("What colour is the sea?", _ENOUGH))
        again = await self._ask(self._question("What colour is grass?", _ENOUGH))
        if not first.reports_cache or not again.reports_cache:
            yield Line(
                False, "The server does not say what it remembers: start it with --enable-prompt-tokens-details."
            )
            return
        if not again.usage.cached:
            yield Line(False, "The server remembers no beginning of a prompt: start it with --enable-prefix-caching.")
            return
        yield Line(
            True, f"Of {again.usage.prompt} tokens that two prompts share, {again.usage.cached} were remembered."
        )
        foreign = await self._ask(self._question("What colour is the sky?", _ENOUGH), self._other)
        if foreign.usage.cached:
            yield Line(False, "The server ignores cache_salt: others who ask it can tell what this site has asked.")

    async def _priority(self) -> Line:
        try:
            await self._ask(replace(self._question("What colour is the sea?"), priority=Priority.BACKFILL))
        except NotEvaluated:
            return Line(False, "The server refuses priorities: start it with --scheduling-policy priority.")
        return Line(
            True,
            "Priorities are accepted. Whether they have effect cannot be seen from here:"
            " it needs --scheduling-policy priority.",
        )

    async def _too_long(self, takes: int) -> Line:
        long = "word " * (takes + 1000)
        try:
            await self._ask(self._question("What colour is the sea?", long))
        except NotEvaluated as error:
            if error.code == "prompt_too_long":
                return Line(True, "A prompt that is too long is refused.")
            return Line(False, "A prompt that is too long is refused, but not as vLLM does. Is it a vLLM server?")
        return Line(
            False,
            f"The server took a prompt of more than the {takes} tokens that it says it takes: it cuts prompts.",
        )

    @property
    def _form(self) -> dict[str, Any]:
        return closed(_Colour.model_json_schema())

    def _question(self, question: str, record: str = "The sea is blue.") -> Question:
        return Question("check", Prompt(record, "2000-01-01T00:00+00:00", "This is a test.", question, self._form))

    async def _ask(self, question: Question, client: Client | None = None) -> Reply:
        return await (client or self._client).once(question)


_OBEYS = {
    "length": "An answer was cut: llm.max_tokens is too small, or the server lets blanks into JSON without end.",
    "invalid_answer": "The server ignores the JSON Schema of an answer. Set the backend of its structured outputs.",
    "empty_answer": "The model answers nothing. Does its chat template fit it?",
    "answer_in_reasoning": "The answer stands in the reasoning: set llm.template = {enable_thinking = false}, or the"
    " server's --reasoning-parser.",
    "finish_reason": "The server breaks answers off.",
}
