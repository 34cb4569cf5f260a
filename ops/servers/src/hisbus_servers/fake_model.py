"""A vLLM server that says what it is told to, for tests: the documented replies byte for byte, and no model.

::

    async with FakeServer() as server:
        server.then(answer({"yes": True}), busy(), cut())
        client = Client(server.settings(), "salt")

Without a script it answers every question with the smallest answer that its schema allows. It counts as cached what
one prompt has in common with an earlier one of the same salt and model, in blocks, as prefix caching does.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from hisbus_bus.kernel.settings import LLMSettings

BLOCK = 64
"""Characters of a block; a character counts as a token."""

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """One reply, as bytes go over the wire; status 0 closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: Headers = field(default_factory=dict)


Move = Callable[["FakeServer", dict[str, Any]], Awaitable[Said]]
"""What the server does with one request for a completion."""


def said(status: int, body: Any = None, **headers: str) -> Move:
    """Reply just this."""

    async def move(_server: "FakeServer", _request: dict[str, Any]) -> Said:
        return Said(status, body, headers)

    return move


def text(content: str | None, finish_reason: str = "stop", **message: Any) -> Move:
    """Reply a completion with this content."""

    async def move(server: "FakeServer", request: dict[str, Any]) -> Said:
        return Said(200, server.completion(request, content, finish_reason, **message))

    return move


def answer(value: Any) -> Move:
    """Reply this value as JSON."""
    return text(json.dumps(value, ensure_ascii=False))


def cut() -> Move:
    """Reply JSON that ``max_tokens`` has cut."""
    return text('{"quote":"患者', "length")


def reasoned(value: Any) -> Move:
    """Reply as a reasoning model whose parser is not set up: no content, the JSON beside it."""
    return text(None, reasoning=json.dumps(value))


def busy() -> Move:
    """Refuse, as a server whose queue is full."""
    why = (
        "The engine is currently busy and cannot accept new requests."
        " Please try again later or on a different instance."
    )
    return said(503, {"error": {"message": why, "type": "Service Unavailable", "param": None, "code": 503}})


def too_long(limit: int = 2048) -> Move:
    """Refuse a prompt that is longer than the context."""
    why = (
        f"This model's maximum context length is {limit} tokens."
        f" However, your prompt contains at least {limit + 1} input tokens."
    )
    return said(400, {"error": {"message": why, "type": "BadRequestError", "param": "input_tokens", "code": 400}})


def bad_grammar() -> Move:
    """Refuse a schema that the backend does not know."""
    why = 'Grammar error: Unimplemented keys: ["uniqueItems"]'
    return said(400, {"error": {"message": why, "type": "BadRequestError", "param": None, "code": 400}})


def hung_up() -> Move:
    """Close the connection without a word."""
    return said(0)


def after(waited: asyncio.Event, then: Move) -> Move:
    """Wait before the move. A client that closes its connection meanwhile is noted in ``aborted``."""

    async def move(server: "FakeServer", request: dict[str, Any]) -> Said:
        await waited.wait()
        return await then(server, request)

    return move


def smallest(schema: Mapping[str, Any]) -> Any:
    """Return the smallest value that a schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return smallest(schema["anyOf"][-1])
    match schema["type"]:
        case "object":
            return {name: smallest(each) for name, each in schema["properties"].items()}
        case "array":
            return [smallest(schema["items"])] * schema.get("minItems", 0)
        case "string":
            return "x" * schema.get("minLength", 0)
        case "integer" | "number":
            return schema["minimum"] if "minimum" in schema else schema["exclusiveMinimum"] + 1
        case "boolean":
            return False
    return None


class FakeServer:
    """The server. ``requests`` keeps what was asked for, ``headers`` with what."""

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("tiny",),
        key: str = "",
        max_model_len: int = 16384,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.models = models
        self.key = key
        self.max_model_len = max_model_len
        self.reports_cache = True
        self.cuts_prompts = False
        """Takes any prompt, as with ``truncate_prompt_tokens``."""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Headers] = []
        self.aborted = 0
        """Requests whose client went away before the reply."""
        self.running = 0
        self.most = 0
        """Most requests at a time."""
        self.arrived = asyncio.Condition()
        self.otherwise: Move = _obey
        """What it does when the script is at its end."""
        self._script: list[Move] = []
        self._blocks: set[int] = set()
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    def then(self, *moves: Move) -> None:
        """Add to the script: one move for each request, in their order."""
        self._script += moves

    def settings(self, **more: Any) -> LLMSettings:
        """Return a configuration that names this server."""
        return LLMSettings(**({"url": self.url, "model": self.models[0]} | more))

    @property
    def url(self) -> str:
        """Its address; the same after a restart."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen, again on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Stop at once; every connection is reset, as when the process dies."""
        if self._server is not None:
            self._server.close()
            serving = [task for task in self._connections.values() if task is not None]
            for writer in self._connections:
                writer.transport.abort()
            await asyncio.gather(*serving)
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.kill()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of what has arrived."""
        async with self.arrived:
            await self.arrived.wait_for(true)

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._request(reader, writer):
                    pass
        finally:
            del self._connections[writer]
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        reply = await self._unless_gone(reader, self._route(method, path, headers, body))
        if reply is None or reply.status == 0:
            return False
        said = b"" if reply.body is None else json.dumps(reply.body, ensure_ascii=False).encode()
        lines = {"content-type": "application/json", "content-length": str(len(said)), **reply.headers}
        top = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
        writer.write("\r\n".join(top).encode() + said)
        await writer.drain()
        return True

    async def _unless_gone(self, reader: asyncio.StreamReader, work: Coroutine[Any, Any, Said]) -> Said | None:
        """Do the work of a request, unless its client goes away before it is done."""
        working = asyncio.create_task(work)
        leaving = asyncio.create_task(reader.read(1))  # nobody sends a second request before the first is answered
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            return working.result()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
        self.aborted += 1
        await self._tell()
        return None

    async def _route(self, method: str, path: str, headers: Headers, body: bytes) -> Said:
        if path == "/health":
            return Said(200)
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return Said(401, {"error": "Unauthorized"})
        if path == "/v1/models":
            models = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.models]
            return Said(200, {"object": "list", "data": models})
        if (method, path) != ("POST", "/v1/chat/completions"):
            return Said(404, {"detail": "Not Found"})
        return await self._complete(json.loads(body), headers)

    async def _complete(self, request: dict[str, Any], headers: Headers) -> Said:
        self.requests.append(request)
        self.headers.append(headers)
        if request["model"] not in self.models:
            why = f"The model `{request['model']}` does not exist. Valid aliases: {', '.join(self.models)}."
            return Said(404, {"error": {"message": why, "type": "NotFoundError", "param": "model", "code": 404}})
        if sum(len(part["content"]) for part in request["messages"]) > self.max_model_len and not self.cuts_prompts:
            return await too_long(self.max_model_len)(self, request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._tell()
            return await (self._script.pop(0) if self._script else self.otherwise)(self, request)
        finally:
            self.running -= 1

    async def _tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()

    # --- completions --------------------------------------------------------------------------------------------------

    def completion(
        self, request: dict[str, Any], content: str | None, finish_reason: str = "stop", **message: Any
    ) -> dict[str, Any]:
        """Return the body of a completion."""
        prompt = "".join(part["content"] for part in request["messages"])
        details = {"cached_tokens": self._cached(request, prompt)} if self.reports_cache else None
        choice = {"index": 0, "finish_reason": finish_reason}
        usage = Counter(prompt_tokens=len(prompt), completion_tokens=len(content or ""))
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": request["model"],
            "choices": [choice | {"message": {"role": "assistant", "content": content, **message}}],
            "usage": dict(usage) | {"total_tokens": usage.total(), "prompt_tokens_details": details},
        }

    def _cached(self, request: dict[str, Any], prompt: str) -> int:
        whose = (request.get("cache_salt"), request["model"])
        ends = range(BLOCK, len(prompt) + 1, BLOCK)
        blocks = [hash((whose, prompt[:end])) for end in ends]
        known = next((at for at, block in enumerate(blocks) if block not in self._blocks), len(blocks))
        self._blocks.update(blocks)
        return known * BLOCK


async def _obey(server: FakeServer, request: dict[str, Any]) -> Said:
    if "response_format" not in request:
        return Said(200, server.completion(request, "1", "length"))
    form = request["response_format"]["json_schema"]["schema"]
    return Said(200, server.completion(request, json.dumps(smallest(form), separators=(",", ":"))))
