"""A consumer that falls silent is noticed and begins anew; one that has a reason to take nothing is left alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from hisbus.errors import RetryLater
from hisbus_bus.kernel import consumer, watchdog
from hisbus_bus.kernel.consumer import Batch, Consumer
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord, Record, kafka_member
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import RetrySettings, Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY
from hisbus_bus.kernel.topics import Keys, Name
from hisbus_bus.kernel.watchdog import Clock, Silent, State, Watchdog

PATIENCE_S = 60
DEFAULTS = {"POLL_S": consumer.POLL_S, "PATROL_S": watchdog.PATROL_S, "SILENT_S": watchdog.SILENT_S}

looks = st.dictionaries(st.integers(0, 2), st.integers(0, 1), max_size=3)


@given(st.lists(st.tuples(looks, st.integers(1, 9)), min_size=1, max_size=30))
def test_silence_lasts_since_the_first_look_that_saw_a_partition_wait_where_it_still_does(
    seen: list[tuple[dict[int, int], int]],
) -> None:
    clock, now, since = Clock(), 0, dict[int, tuple[int, int]]()
    for waiting, seconds in seen:
        now += seconds
        stood = {at: since[at][1] for at, offset in waiting.items() if at in since and since[at][0] == offset}
        since = {at: (offset, stood.get(at, now)) for at, offset in waiting.items()}
        assert clock.silent_s(now, waiting) == max((now - when for _, when in since.values()), default=0)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db")
    yield log
    await log.close()


@pytest.fixture
def site(database: Database, log: SqliteLog) -> Site:
    retry = RetrySettings(first_s=0, longest_s=0)
    return Site(Settings(site="test", retry=retry), Keys(b"test-secret"), log, database)


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look all the time."""
    monkeypatch.setattr(watchdog, "PATROL_S", 0.001)
    monkeypatch.setattr(watchdog, "STUCK_S", 0.05)
    monkeypatch.setattr(watchdog, "SILENT_S", DEFAULTS["SILENT_S"])
    monkeypatch.setattr(consumer, "POLL_S", 0.001)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take it for silent soon."""
    monkeypatch.setattr(watchdog, "SILENT_S", 0.05)


async def never() -> None:
    await asyncio.Event().wait()


class Watched:
    """The embedded log, whose first subscription is spoilt."""

    def __init__(self, log: SqliteLog, spoil: Callable[[Any], None] = lambda _: None) -> None:
        self._log, self._spoil = log, spoil
        self.subscribed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        self.subscribed += 1
        watchdog.SILENT_S *= 2  # a slow machine is taken for silent once or twice more, and not for ever
        subscription = await self._log.subscribe(*args, **kwargs)
        if self.subscribed == 1:
            self._spoil(subscription)
        return subscription


@dataclass
class Noting:
    """A step that notes what it does, and may be held in it."""

    name: str = "noting"
    topic: Name = "events"
    group: str = "test.noting"
    start: str = "begin"
    stores: bool = False
    latest_only: bool = False
    batches: int = 0
    done: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    errors: list[Exception] = field(default_factory=list)

    def wants(self, _record: Record) -> bool:
        return True

    async def handle(self, batch: Batch) -> None:
        async with self.changed:
            self.batches += 1
            self.changed.notify_all()
        if self.errors:
            raise self.errors[0]
        await self.gate.wait()
        async with self.changed:
            self.done += [record.value.decode() for record in batch.records]
            self.changed.notify_all()

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        raise AssertionError

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(condition)


def records(site: Site, *values: str) -> list[NewRecord]:
    return [NewRecord("events", value, value.encode(), {"keyid": site.keys.id}) for value in values]


@asynccontextmanager
async def running(site: Site, log: Watched, step: Noting) -> AsyncIterator[Consumer]:
    consuming = Consumer(replace(site, log=log), step)  # type: ignore[arg-type]
    task = asyncio.create_task(consuming.run())
    try:
        yield consuming
    finally:
        step.gate.set()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def has_nothing_to_say(consuming: Consumer) -> None:
    """Wait until its watchdog looks and sees nothing amiss: one such look, and whatever it saw before is forgotten."""
    dog, well = consuming._watchdog, asyncio.Event()
    look = dog._waiting

    async def looking() -> Mapping[int, int]:
        seen = await look()
        if not seen:
            well.set()
        return seen

    dog._waiting = looking  # type: ignore[method-assign]
    await asyncio.wait_for(well.wait(), PATIENCE_S)
    dog._waiting = look  # type: ignore[method-assign]


def rejoins() -> float:
    return REGISTRY.get_sample_value("hisbus_rejoins_total", {"group": "test.noting"}) or 0


def finds_nothing(subscription: Any) -> None:
    """Make it answer, and never with a record: what a client does whose fetching has ended."""
    spoilt = subscription._next

    async def nothing(_max_records: int) -> Sequence[Record]:
        assert spoilt
        return []

    subscription._next = nothing


def does_not_answer(subscription: Any) -> None:
    """Make it wait for ever: what a client does that has lost its share and gets none."""

    async def fetch(*_args: Any) -> None:
        await never()

    subscription.fetch = fetch


class Two:
    """A log of two partitions: the first stands still, of the second each record is taken at once."""

    def __init__(self) -> None:
        self.end = 0

    async def ends(self, _topic: Name) -> dict[int, int]:
        self.end += 1
        return {0: 9, 1: self.end}

    async def committed(self, _topic: Name, _group: str) -> dict[int, int]:
        return {0: 5, 1: self.end - 1}


@pytest.mark.usefixtures("impatient")
async def test_one_partition_that_stands_still_is_seen_beside_another_that_moves(site: Site) -> None:
    working = State(paused=False, partitions=[0, 1], at_work=[], batches=[])
    dog = Watchdog(replace(site, log=Two()), Noting(), lambda: working)  # type: ignore[arg-type]
    with pytest.raises(Silent):
        async with asyncio.timeout(PATIENCE_S):
            await dog.watch()


@pytest.mark.parametrize("reason", [{"paused": True}, {"at_work": [0]}, {"partitions": []}])
async def test_who_has_a_reason_to_take_nothing_is_not_silent(site: Site, reason: dict[str, Any]) -> None:
    state = replace(State(paused=False, partitions=[0, 1], at_work=[], batches=[]), **reason)
    dog = Watchdog(replace(site, log=Two()), Noting(), lambda: state)  # type: ignore[arg-type]
    for _ in range(3):
        dog.fetched()
        assert not {at for at in await dog._waiting() if at == 0}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("spoil", [finds_nothing, does_not_answer])
async def test_a_consumer_that_falls_silent_says_so_and_joins_anew(
    site: Site, log: SqliteLog, spoil: Callable[[Any], None]
) -> None:
    before = rejoins()
    step, watched = Noting(), Watched(log, spoil)
    step.gate.set()
    await log.append(records(site, "a", "b"))
    with capture_logs() as lines:
        async with running(site, watched, step):
            await step.until(lambda: len(step.done) == 2)
    line, *_ = [line for line in lines if line.get("code") == "silent"]
    assert line["log_level"] == "error"
    assert (line["step"], line["group"], line["count"]) == ("noting", "test.noting", 1)
    assert watched.subscribed == rejoins() - before + 1 >= 2


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_whose_join_never_ends_joins_anew(
    site: Site, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, watched = Noting(), Watched(log)
    step.gate.set()
    subscribe, first = log.subscribe, [never]

    async def waits(*args: Any, **kwargs: Any) -> Any:
        return await (first.pop()() if first else subscribe(*args, **kwargs))

    monkeypatch.setattr(log, "subscribe", waits)
    await log.append(records(site, "a"))
    async with running(site, watched, step):
        await step.until(lambda: step.done == ["a"])
    assert watched.subscribed >= 2


@pytest.mark.usefixtures("impatient")
async def test_a_lane_that_nobody_works_on_ends_with_the_old_life(site: Site, log: SqliteLog) -> None:
    step, watched = Noting(), Watched(log)
    step.gate.set()
    async with running(site, watched, step) as consuming:
        await has_nothing_to_say(consuming)
        take = consuming._in_flight.take
        consuming._in_flight.take = lambda now, limit: take(now, limit) and []  # type: ignore[method-assign]
        await log.append(records(site, "a"))
        await step.until(lambda: step.done == ["a"])


async def test_who_has_nothing_to_do_or_no_partition_is_left_alone(site: Site, log: SqliteLog) -> None:
    owner, spare, watched = Noting(), Noting(), Watched(log)
    async with running(site, watched, owner) as consuming:
        await has_nothing_to_say(consuming)
        await log.append(records(site, "a"))
        await owner.until(lambda: owner.batches == 1)
        await has_nothing_to_say(consuming)
        async with running(site, watched, spare) as idle:
            await has_nothing_to_say(idle)
    assert spare.batches == 0


async def test_a_long_batch_is_said_once_and_left_alone(site: Site, log: SqliteLog) -> None:
    step, watched = Noting(), Watched(log)
    await log.append(records(site, "a"))
    with capture_logs() as lines:
        async with running(site, watched, step):
            await until(lambda: any(line.get("code") == "stuck" for line in lines))
            step.gate.set()
            await step.until(lambda: step.done == ["a"])
    assert [line["step"] for line in lines if line.get("code") == "stuck"] == ["noting"]
    assert (watched.subscribed, step.batches) == (1, 1)


async def test_an_outage_is_no_silence(site: Site, log: SqliteLog) -> None:
    step, watched = Noting(errors=[RetryLater()]), Watched(log)
    site = replace(site, settings=Settings(site="test", retry=RetrySettings(first_s=600, longest_s=600)))
    await log.append(records(site, "a"))
    async with running(site, watched, step) as consuming:
        await step.until(lambda: step.batches == 1)
        await has_nothing_to_say(consuming)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_it_is_patient_enough() -> None:
    """Longer than a dealing of partitions may take, and than a fetch."""
    assert 2 * DEFAULTS["POLL_S"] < DEFAULTS["PATROL_S"] < DEFAULTS["SILENT_S"] / 5
    assert 2 * kafka_member.REBALANCE_MS / 1000 <= DEFAULTS["SILENT_S"]
