"""Logs that cannot carry a patient, and the metrics registry.

The chain drops every key that is not on the allow-list; exceptions are logged as type, stack hash and place.
"""

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from hisbus import observe
from hisbus.errors import reason_code, stack_hash

REGISTRY = CollectorRegistry()
"""Every metric of hisbus; labels never carry a patient, a message id or free text."""

ALLOWED = frozenset(
    {
        "event", "level", "timestamp",
        "step", "agent", "plugin", "connector", "topic", "partition", "offset", "group",
        "status", "code", "reason", "stack", "error", "place", "count", "bytes", "seconds", "attempt", "version",
        "revision",
        "path", "method", "port", "host", "pid", "exit_code", "user", "role", "peer", "message", "encounter",
        "proposal", "writeback", "parked", "part", "kind", "rule", "url", "site", "lag", "keyid",
    }
)  # fmt: skip

_IDENTITY = re.compile(r"\d{17}[\dXx]|1[3-9]\d{9}|^[A-Z][A-Z0-9]{2}\|", re.MULTILINE)


def _describe_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its type, its code and where it was raised; never its words."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info
    if isinstance(error, BaseException):
        event.update(error=type(error).__name__, code=reason_code(error), stack=stack_hash(error))
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        if last is not None:
            event["place"] = f"{last.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{last.tb_lineno}"
    return event


def _allow_listed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that is not on the list, and what looks like an identity in the values of those that are."""
    return {
        key: _IDENTITY.sub("[removed]", value) if isinstance(value, str) else value
        for key, value in event.items()
        if key in ALLOWED or key.startswith("_")  # structlog's own, which never reach the line
    }


def set_up(level: str = "info", json: bool = True) -> None:
    """Send every log line, also the libraries', through the same chain to standard error."""
    chain: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe_exception,
        _allow_listed,
    ]
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False) if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=renderer, foreign_pre_chain=[_library_line, *chain], keep_exc_info=False
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("uvicorn.access", "uvicorn.error", "aiosqlite", "asyncio", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # While brokers are away it speaks four hundred times a second; that the log is away is said by our own lines.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _library_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep only the name of the library that spoke: its words may quote data."""
    record = event.get("_record")
    event["event"] = f"library.{record.name if record else 'unknown'}"
    if record is not None and record.exc_info:
        event["exc_info"] = record.exc_info[1]
    return event


def logger(**bound: Any) -> structlog.stdlib.BoundLogger:
    """Return a logger with fixed fields."""
    bound_logger: structlog.stdlib.BoundLogger = structlog.get_logger(**bound)
    return bound_logger


def _metric(kind: observe.Kind, name: str, help: str, labels: Sequence[str]) -> Any:
    return (Counter if kind == "counter" else Gauge)(name, help, labels, registry=REGISTRY)


observe.put_in(logger, _metric)
