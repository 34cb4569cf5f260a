"""The one client of the one server. Nothing else in hisbus opens a connection to a model.

A question waits for its turn, is asked, and once more where the answer cannot be used. Every question is counted, with
its agent, and none of its text is kept or logged.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx
from prometheus_client import Counter, Gauge, Histogram
from pydantic_core import SchemaValidator

from hisbus.errors import BusError, ConfigError, NotEvaluated, RetryLater
from hisbus.schema import reader
from hisbus_bus.host.llm.breaker import Breaker
from hisbus_bus.host.llm.layout import Prompt
from hisbus_bus.host.llm.reply import Reply, ServerFailed, Unusable, Usage, read
from hisbus_bus.host.llm.turns import Priority, Turns
from hisbus_bus.kernel.settings import LLMSettings, Settings
from hisbus_bus.kernel.site import load_secret
from hisbus_bus.kernel.telemetry import REGISTRY, logger
from hisbus_bus.kernel.topics import Keys
from hisbus_schemas import Asked

log = logger()

CONNECT_S = 5.0
IDLE_S = 2.0
"""Connections are kept so long: less than the server keeps them, which closes them after five seconds."""
WELL_S = 10.0
"""A server that is well says one word within this time."""
REPLY_BYTES = 8 * 1024 * 1024
BYTES_A_TOKEN = 16
"""No text has more on the average; a prompt over this many times ``context_tokens`` need not be sent to be refused."""
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)

REQUESTS = Counter("hisbus_llm_questions", "Questions by outcome.", ["agent", "outcome"], registry=REGISTRY)
REPAIRS = Counter("hisbus_llm_repairs", "Answers asked for again, by reason.", ["agent", "code"], registry=REGISTRY)
TOKENS = Counter("hisbus_llm_tokens", "Tokens: prompt, cached of it, completion.", ["agent", "kind"], registry=REGISTRY)
SECONDS = Histogram("hisbus_llm_seconds", "Duration of an answer.", ["agent"], buckets=_SECONDS, registry=REGISTRY)
WAITED = Histogram(
    "hisbus_llm_waited_seconds", "Wait for a turn at the server.", ["priority"], buckets=_SECONDS, registry=REGISTRY
)
UNDER_WAY = Gauge("hisbus_llm_under_way", "Questions at the server.", registry=REGISTRY)
WAITING = Gauge("hisbus_llm_waiting", "Questions that wait for a turn.", registry=REGISTRY)
DOWN = Gauge("hisbus_llm_down", "1 while the server is left alone because it does not answer.", registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, by whom, and how urgently."""

    agent: str
    prompt: Prompt
    model: str = ""
    """Empty: the configured one."""
    priority: Priority = Priority.LIVE


@dataclass(slots=True)
class _Told:
    """What is known of one question so far."""

    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    repaired: bool = False


class Client:
    """The server, as everybody here sees it. One for each process."""

    def __init__(self, settings: LLMSettings, cache_salt: str) -> None:
        """Take the configuration; nothing is connected yet.

        Raises:
            ConfigError: the CA cannot be read.
        """
        self.settings = settings
        self.turns = Turns(settings.concurrency)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_pause_s)
        self._cache_salt = cache_salt
        self._key: str | None = None
        self._trying = asyncio.Lock()
        self._unwell_at = float("-inf")
        # Neither a proxy nor a certificate of the environment, and no redirect: nothing leaves for another host.
        self._http = httpx.AsyncClient(
            verify=_trust(settings),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=settings.concurrency, keepalive_expiry=IDLE_S),
        )

    @property
    def down(self) -> str:
        """Why the server is left alone, as a stable code; empty: it is not."""
        return "" if self.breaker.state == "closed" else self.breaker.code

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def ask(self, question: Question, note: Callable[[Asked], None]) -> Any:
        """Return the model's answer, JSON of the form that was asked for.

        Args:
            question: what to ask.
            note: is called once, whatever comes of it, unless the question is withdrawn.

        Raises:
            RetryLater: the server is down, busy or slow, or refuses our key; ``code`` begins with ``llm``.
            NotEvaluated: it did not come to a usable answer; ``code`` says why.
            ConfigError: the form cannot be asked for.
        """
        told = _Told()
        try:
            value = await self._ask(question, told)
        except BusError as error:
            self._count(question, told, error.code.partition(".")[0], note)
            raise
        except asyncio.CancelledError:
            REQUESTS.labels(question.agent, "withdrawn").inc()
            raise
        self._count(question, told, "answered", note)
        SECONDS.labels(question.agent).observe(told.seconds)
        return value

    async def once(self, question: Question) -> Reply:
        """Ask without turn, repair and breaker, for ``check``.

        Raises:
            ServerFailed: the server does not answer.
            NotEvaluated: it refuses the question.
        """
        return await self._send(self.body(question))

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of another address of the server, for ``check``; None where it is no JSON.

        Raises:
            ServerFailed: it does not answer.
        """
        try:
            async with asyncio.timeout(CONNECT_S * 2):
                reply = await self._http.get(f"{self.settings.url}{path}", headers=self._headers())
        except (httpx.HTTPError, TimeoutError):
            raise ServerFailed("llm_unreachable") from None
        try:
            return reply.status_code, reply.json()
        except ValueError:
            return reply.status_code, None

    async def _ask(self, question: Question, told: _Told) -> Any:
        reading = _reader(json.dumps(question.prompt.schema))
        try:
            return (await self._turn(question, told, "")).value(reading)
        except Unusable as first:
            REPAIRS.labels(question.agent, first.code).inc()
            told.repaired = True
            return (await self._turn(question, told, first.wrong)).value(reading)

    async def _turn(self, question: Question, told: _Told, wrong: str) -> Reply:
        body = self.body(question, wrong)
        if len(body) > self.settings.context_tokens * BYTES_A_TOKEN:
            raise NotEvaluated(code="prompt_too_long")
        self.breaker.check(_now())
        begun = _now()
        async with AsyncExitStack() as held:
            with WAITING.track_inprogress():
                await held.enter_async_context(self.turns.turn(question.priority))
            WAITED.labels(question.priority.name.lower()).observe(_now() - begun)
            with UNDER_WAY.track_inprogress():
                return await self._guarded(body, told)

    async def _guarded(self, body: bytes, told: _Told) -> Reply:
        begun = _now()
        entered = self.breaker.enter(begun)
        try:
            reply = await self._send(body)
        except NotEvaluated:
            self._answered()
            raise
        except ServerFailed as error:
            if error.code == "llm_no_such_model":  # one agent's adapter may be missing: the others go on
                self._answered()
                raise RetryLater(code=error.code) from None
            if error.about_request and await self._is_well():
                self._answered()  # this question would fail for ever, and with it its agent wait
                raise NotEvaluated(code=error.code.removeprefix("llm_")) from None
            self._failed(entered, error.code)
            raise RetryLater(code=error.code) from None
        finally:
            self.breaker.left(entered)
            told.seconds += _now() - begun
        self._answered()
        told.usage += reply.usage
        return reply

    async def _is_well(self) -> bool:
        """Tell whether the server says one word now: what it said before may have been its last."""
        failed = _now()
        word = {"model": self.settings.model, "messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
        async with self._trying:  # those who fail together find out together
            if max(self.breaker.succeeded_at, self._unwell_at) > failed:
                return self.breaker.succeeded_at > self._unwell_at
            try:
                async with asyncio.timeout(WELL_S):
                    await self._send(json.dumps(word).encode())
            except (ServerFailed, NotEvaluated, TimeoutError):
                self._unwell_at = _now()
                return False
            return True

    def body(self, question: Question, wrong: str = "") -> bytes:
        """Return the request."""
        settings = self.settings
        form = {"name": "answer", "strict": True, "schema": question.prompt.schema}
        request: dict[str, Any] = {
            "model": question.model or settings.model,
            "messages": question.prompt.messages(wrong),
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "priority": int(question.priority),
            "cache_salt": self._cache_salt,
        }
        if settings.template:
            request["chat_template_kwargs"] = settings.template
        return json.dumps(request, ensure_ascii=False).encode()

    async def _send(self, body: bytes) -> Reply:
        """Send a request once. Closing the connection, as a cancellation does, ends the work at the server."""
        url = f"{self.settings.url}/v1/chat/completions"
        try:
            async with (
                asyncio.timeout(self.settings.deadline_s),
                self._http.stream("POST", url, content=body, headers=self._headers()) as reply,
            ):
                said = bytearray()
                async for piece in reply.aiter_bytes():
                    said += piece
                    if len(said) > REPLY_BYTES:
                        raise ServerFailed("llm_no_completion")
        except TimeoutError:
            raise ServerFailed("llm_slow", about_request=True) from None
        except httpx.HTTPError:
            raise ServerFailed("llm_unreachable") from None
        if reply.status_code == 401:
            self._key = None  # it may have been changed: the file is read again
        return read(reply.status_code, bytes(said))

    def _headers(self) -> Mapping[str, str]:
        path = self.settings.api_key_file
        if path is not None and self._key is None:
            try:
                self._key = path.read_text(encoding="ascii").strip()
            except (OSError, ValueError):
                raise ServerFailed("llm_key_unreadable") from None
        headers = {"Content-Type": "application/json"}
        return headers | {"Authorization": f"Bearer {self._key}"} if self._key else headers

    def _answered(self) -> None:
        if self.breaker.state != "closed":
            log.info("llm.back")
        self.breaker.succeeded(_now())
        DOWN.set(0)

    def _failed(self, entered: object, code: str) -> None:
        was = self.breaker.state
        self.breaker.failed(entered, _now(), code)
        if was == "closed" and self.breaker.state == "open":
            log.error("llm.down", code=code, seconds=self.settings.breaker_pause_s)
            DOWN.set(1)

    def _count(self, question: Question, told: _Told, outcome: str, note: Callable[[Asked], None]) -> None:
        agent, usage = question.agent, told.usage
        REQUESTS.labels(agent, outcome).inc()
        for kind, tokens in (("prompt", usage.prompt), ("cached", usage.cached), ("completion", usage.completion)):
            TOKENS.labels(agent, kind).inc(tokens)
        note(
            Asked(
                model=question.model or self.settings.model,
                prompt=question.prompt.version,
                outcome=outcome,
                prompt_tokens=usage.prompt,
                cached_tokens=usage.cached,
                completion_tokens=usage.completion,
                seconds=round(told.seconds, 3),
                repaired=told.repaired,
            )
        )


@asynccontextmanager
async def model(settings: Settings) -> AsyncIterator[Client | None]:
    """Give the client of a site while the block lasts; None where no model is configured.

    Raises:
        ConfigError: the site's secret or the CA cannot be read.
    """
    if not settings.llm.url:
        yield None
        return
    client = Client(settings.llm, Keys(load_secret(settings)).cache_salt)
    try:
        yield client
    finally:
        await client.close()


def _now() -> float:
    return asyncio.get_running_loop().time()


@lru_cache(256)
def _reader(schema: str) -> SchemaValidator:
    return reader(json.loads(schema))


def _trust(settings: LLMSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as error:
        raise ConfigError("llm.tls_ca_file cannot be read, or holds no certificate.") from error
