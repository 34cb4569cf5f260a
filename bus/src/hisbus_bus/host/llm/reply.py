"""What a vLLM server replies, read as it is documented and no further. No text of a reply is kept in an error."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic_core import SchemaValidator, ValidationError

from hisbus.errors import NotEvaluated

_ERRORS_SHOWN = 5


class ServerFailed(Exception):
    """The server, or what stands before it, did not answer. ``code`` says how; ``about_request``: perhaps its fault."""

    def __init__(self, code: str, *, about_request: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.about_request = about_request


class Unusable(NotEvaluated):
    """The model answered, and not as it was asked to."""

    def __init__(self, code: str, wrong: str) -> None:
        super().__init__(code=code)
        self.wrong = wrong
        """For the model alone: what to do better."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply, or of several."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt + other.prompt, self.cached + other.cached, self.completion + other.completion)


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat completion."""

    finish_reason: str
    content: str
    reasoning: bool
    """The server put text beside the answer."""
    usage: Usage
    reports_cache: bool
    """Whether it says how much of the prompt it remembered."""

    def value(self, reader: SchemaValidator) -> Any:
        """Return the answer.

        Raises:
            Unusable: it was cut, is empty, no JSON, or not of the form that was asked for.
        """
        if self.finish_reason == "length":
            raise Unusable("length", "it was too long")
        if self.finish_reason != "stop":
            raise Unusable("finish_reason", "it was broken off")
        if not self.content.strip():
            raise Unusable("answer_in_reasoning" if self.reasoning else "empty_answer", "it was empty")
        try:
            return reader.validate_python(json.loads(self.content, strict=False, parse_constant=_no_number))
        except ValidationError as error:
            raise Unusable("invalid_answer", _described(error)) from None
        except (ValueError, RecursionError):
            raise Unusable("invalid_answer", "it was not JSON") from None


def read(status: int, body: bytes) -> Reply:
    """Return the completion in a reply.

    Raises:
        ServerFailed: it is none, and to blame is the server, its address or our key.
        NotEvaluated: it is none, and to blame is this one question.
    """
    said = _json(body)
    if status == 200:
        return _completion(said)
    if status == 400:
        error = said.get("error") if isinstance(said, dict) else None
        too_long = isinstance(error, dict) and error.get("param") == "input_tokens"
        raise NotEvaluated(code="prompt_too_long" if too_long else "refused_request")
    if status in {401, 403}:
        raise ServerFailed("llm_key_refused")  # {"error": "Unauthorized"}: a text, not the usual object
    if status == 404:
        named = isinstance(said, dict) and isinstance(said.get("error"), dict)
        raise ServerFailed("llm_no_such_model" if named else "llm_no_such_path")
    if 300 <= status < 400:
        raise ServerFailed("llm_redirects")
    if status == 503:
        raise ServerFailed("llm_busy")
    raise ServerFailed("llm_failed", about_request=status == 500)


def _completion(said: Any) -> Reply:
    try:
        choice = said["choices"][0]
        message = choice["message"]
        content, usage = message.get("content"), said.get("usage") or {}
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        details = usage.get("prompt_tokens_details")
        return Reply(
            finish_reason=str(choice.get("finish_reason")),
            content=content if isinstance(content, str) else "",
            reasoning=bool(reasoning),
            usage=Usage(
                _number(usage, "prompt_tokens"),
                _number(details, "cached_tokens"),
                _number(usage, "completion_tokens"),
            ),
            reports_cache=isinstance(details, dict) and "cached_tokens" in details,
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ServerFailed("llm_no_completion") from None


def _number(counts: Mapping[str, Any] | None, name: str) -> int:
    value = (counts or {}).get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _no_number(_name: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are not JSON


def _described(error: ValidationError) -> str:
    mistakes = error.errors(include_input=False, include_url=False, include_context=False)[:_ERRORS_SHOWN]
    return "; ".join(f"{'.'.join(map(str, mistake['loc']))}: {mistake['type']}"[:120] for mistake in mistakes)
