"""The log: append, read from an offset, commit. Steps know nothing else of it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from prometheus_client import Counter
from pydantic import BaseModel

from hisbus.errors import BadMessage, ConfigError
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_bus.kernel.topics import TOPICS, Name

M = TypeVar("M", bound=BaseModel)

SAID_BYTES = 16 * 1024
"""Of a larger record the parsed object is not kept beside its bytes: it takes several times their room."""

REJOINS = Counter(
    "hisbus_rejoins", "Times a consumer that had fallen silent joined its group again.", ["group"], registry=REGISTRY
)
HANDED_OVER = Counter(
    "hisbus_handed_over", "Records that a step took as its process appended them, not fetched.", ["group"],
    registry=REGISTRY,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to append. The log chooses the partition from the key."""

    topic: Name
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    said: object = field(default=None, compare=False, repr=False)
    """What ``value`` parses to, where whoever appends it has that in hand: see ``Record.said``."""

    def __post_init__(self) -> None:
        """Let go of the object that a large record was made from."""
        if len(self.value) > SAID_BYTES:
            object.__setattr__(self, "said", None)

    def stored(self, partition: int, offset: int, time: datetime) -> "Record":
        """Return the record as a fetch would, now that it lies there."""
        return Record(self.topic, partition, offset, self.key, self.value, dict(self.headers), time, self.said)


def refuse_oversize(record: NewRecord) -> None:
    """Refuse what no log of this site can ever take.

    Raises:
        BadMessage: the value is larger than its topic allows.
    """
    if len(record.value) > TOPICS[record.topic].max_bytes:
        raise BadMessage("A record is larger than its topic allows (topics.py).", code="too_large")


def gone(topic: Name, group: str, position: int) -> ConfigError:
    """Return the alarm for a group whose next record is no longer kept."""
    return ConfigError(
        f"Group {group} must go on at offset {position} of {topic}, which the log no longer keeps. Nothing was skipped."
        " The database is older than the log: restore a newer backup of it."
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record."""

    topic: Name
    partition: int
    offset: int
    key: str
    value: bytes
    headers: Mapping[str, str]
    time: datetime
    """When the log stored it, UTC."""
    said: object = field(default=None, compare=False, repr=False)
    """What ``value`` parses to, where a step of this process has just appended it (``handover.py``). Many read the same
    object, so nobody changes it. A record that was fetched has none."""

    def read(self, model: type[M]) -> M:
        """Return what the record says, parsed once in a process.

        Raises:
            ValidationError: it is nothing of the kind.
        """
        return self.said if isinstance(self.said, model) else model.model_validate_json(self.value)


Assigned = Callable[[Iterable[int]], Awaitable[Mapping[int, int]]]
"""Called with new partitions before the first record of them, and before the group's first offset is committed; returns
where to start for those it knows better."""

Revoked = Callable[[Iterable[int]], Awaitable[None]]
"""Called before partitions are taken away; what it does not commit is delivered again."""


class Subscription(Protocol):
    """One member of a consumer group on one topic."""

    commit_every_s: float
    """Least time between two commits, seconds: what one costs. What a crash leaves uncommitted is delivered again."""

    async def fetch(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records of the partitions that are not paused, in order; wait up to ``timeout`` seconds."""
        ...

    def pause(self) -> None:
        """Stop fetching until resumed; membership goes on."""
        ...

    def resume(self) -> None:
        """Go on fetching."""
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Store the next offset to read, by partition. Never goes backwards."""
        ...

    async def close(self) -> None:
        """Leave the group without committing."""
        ...


class Log(Protocol):
    """An ordered, durable, replayable store of records."""

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Store records durably, in the order given.

        Raises:
            RetryLater: nothing is promised about them; append again.
        """
        ...

    async def subscribe(
        self, topic: Name, group: str, *, assigned: Assigned, revoked: Revoked, start: str = "begin"
    ) -> Subscription:
        """Join a group. ``start`` says where a group without position starts: ``begin`` or ``end``."""
        ...

    async def read(self, topic: Name, partition: int, offset: int, limit: int = 1) -> Sequence[Record]:
        """Return up to ``limit`` records from an offset on, outside of any group; empty where there are none."""
        ...

    async def ends(self, topic: Name) -> Mapping[int, int]:
        """Return the offset after the last record, by partition."""
        ...

    async def begins(self, topic: Name) -> Mapping[int, int]:
        """Return the offset of the first record still kept, by partition."""
        ...

    async def committed(self, topic: Name, group: str) -> Mapping[int, int]:
        """Return a group's committed offsets, by partition; a partition without one is absent."""
        ...

    async def place(self, topic: Name, group: str, offsets: Mapping[int, int]) -> None:
        """Give a group its first position, by partition. To be called before anybody joins it."""
        ...

    async def check(self) -> list[str]:
        """Try the connection. Return what is wrong, one sentence each."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...
