"""A logger and metrics for connectors and agents. They have no effect until the bus puts the real ones in.

The bus drops every field of a line that is not on its allow-list; labels carry no patient, message id or free text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


class Logger(Protocol):
    """Writes lines: a constant event, and fields."""

    def info(self, event: str, **fields: Any) -> Any:
        """Say what happened."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Say what somebody may have to look at."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Say what somebody must mend."""
        ...


class Metric(Protocol):
    """A counter or a gauge, for one value of each of its labels."""

    def inc(self, amount: float = 1) -> None:
        """Add."""
        ...

    def set(self, value: float) -> None:
        """Say how much there is; gauges only."""
        ...


class Labelled(Protocol):
    """A counter or a gauge with labels."""

    def labels(self, *values: str) -> Metric:
        """Return the one of these values, in the order of the labels."""
        ...


Kind = Literal["counter", "gauge"]
MakeLogger = Callable[..., Logger]
MakeMetric = Callable[[Kind, str, str, Sequence[str]], Labelled]
"""Given kind, name, help and the labels' names."""


class _Silent:
    """Takes everything and does nothing."""

    def info(self, event: str, **fields: Any) -> None:
        pass

    warning = error = info

    def inc(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass


_SILENT = _Silent()


@dataclass
class _Real:
    logger: MakeLogger | None = None
    metric: MakeMetric | None = None


_real = _Real()


@dataclass(eq=False)
class _Logger:
    bound: dict[str, Any]
    real: Logger | None = None

    def _its(self) -> Logger:
        if self.real is None and _real.logger is not None:
            self.real = _real.logger(**self.bound)
        return self.real or _SILENT

    def info(self, event: str, **fields: Any) -> Any:
        return self._its().info(event, **fields)

    def warning(self, event: str, **fields: Any) -> Any:
        return self._its().warning(event, **fields)

    def error(self, event: str, **fields: Any) -> Any:
        return self._its().error(event, **fields)


@dataclass(eq=False)
class _Labelled:
    kind: Kind
    name: str
    help: str
    names: Sequence[str]
    real: Labelled | None = field(default=None, init=False)

    def labels(self, *values: str) -> Metric:
        if self.real is None and _real.metric is not None:
            self.real = _real.metric(self.kind, self.name, self.help, self.names)
        return _SILENT if self.real is None else self.real.labels(*values)


def logger(**bound: Any) -> Logger:
    """Return a logger with fixed fields."""
    return _Logger(bound)


def counter(name: str, help: str, labels: Sequence[str]) -> Labelled:
    """Return a counter, to be made once, at the head of a module; its name begins with ``hisbus_``."""
    return _Labelled("counter", name, help, tuple(labels))


def gauge(name: str, help: str, labels: Sequence[str]) -> Labelled:
    """Return a gauge, to be made like a counter."""
    return _Labelled("gauge", name, help, tuple(labels))


def put_in(make_logger: MakeLogger, make_metric: MakeMetric) -> None:
    """Give all loggers and metrics their effect. For the bus."""
    _real.logger, _real.metric = make_logger, make_metric
