"""The consumer loop, once for all steps.

It keeps the order within a key and works on many keys at a time, commits only offsets below which everything is
settled, and pauses where others would fail. What it has in hand is ``keyed``'s to know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus.errors import BadMessage, ConfigError, RetryLater, reason_code, stack_hash
from hisbus_bus.kernel import parked, positions
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.gather import Arrivals, gather_s
from hisbus_bus.kernel.lanes import InFlight, Item
from hisbus_bus.kernel.log import Record, Subscription
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY, logger
from hisbus_bus.kernel.topics import MIB, Name
from hisbus_bus.kernel.watchdog import Silent, State, Watchdog

T = TypeVar("T")

BATCH_SIZE = 64
"""Most records of one batch."""
POLL_S = 1.0
"""Longest wait of one fetch, seconds."""
FETCH = 500
"""Most records of one fetch."""

PROCESSED = Counter("hisbus_processed", "Records processed.", ["step"], registry=REGISTRY)
PARKED = Counter("hisbus_parked", "Records parked.", ["step"], registry=REGISTRY)
RETRIES = Counter("hisbus_retries", "Records that failed alone and are tried again.", ["step"], registry=REGISTRY)
PAUSES = Counter("hisbus_pauses", "Times a step paused for what it depends on.", ["step"], registry=REGISTRY)
BATCH_SECONDS = Histogram("hisbus_batch_seconds", "Duration of a batch, seconds.", ["step"], registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Batch:
    """At most one record of each key, and what may be committed once they are done."""

    records: Sequence[Record]
    offsets: Mapping[int, int]
    """Next offset by partition, below which everything is done when this batch is. For ``positions.position``."""
    covered: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    """By key, of a step that looks at the newest record only: the older ones that are done with it."""


class Step(Protocol):
    """One step of the flow, as the loop sees it."""

    name: str
    """``chart``, ``dispatch.qc`` ...."""
    topic: Name
    group: str
    start: str
    """Where a group without position starts: ``begin`` or ``end``."""
    stores: bool
    """Whether it stores its position beside what it writes."""
    latest_only: bool
    """Hand over only the newest waiting record of a key; the older ones are done with it."""

    def wants(self, record: Record) -> bool:
        """Tell, from key and headers alone, whether the record concerns this step; others are done at once."""
        ...

    async def handle(self, batch: Batch) -> None:
        """Commit tables (with ``positions.position`` in the same transaction), then append.

        Raises:
            RetryLater: what it depends on is down; the loop pauses and tries again, nothing counts as an attempt.
            BadMessage: of a single record: parked at once. Any other error: repeated one by one, then parked.
        """
        ...

    async def parked(self, connection: AsyncConnection, record: Record, reason: str) -> None:
        """Note that the record was parked, in the same transaction."""
        ...


class Consumer:
    """Runs one step: hands it what its group has not done yet, in batches."""

    def __init__(
        self,
        site: Site,
        step: Step,
        *,
        batch_size: int = BATCH_SIZE,
        concurrency: int = 1,
        max_records: int = 1000,
        max_bytes: int = 64 * MIB,
        grace_s: float = 10.0,
        part: Part | None = None,
    ) -> None:
        """Take a step.

        Args:
            site: the site it works for.
            step: the step.
            batch_size: most records of one batch.
            concurrency: most batches at a time.
            max_records: nothing is fetched while this many records are in hand,
            max_bytes: or their values have this size. One fetch may pass it.
            grace_s: how long running batches may take to finish when the loop ends or loses a partition, seconds.
            part: what an operator asks of it; nobody asks anything where it is left out.
        """
        self._site = site
        self._step = step
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._grace_s = grace_s
        self._log = logger(step=step.name, topic=step.topic, group=step.group)
        self._in_flight = InFlight(latest_only=step.latest_only)
        self._watchdog = Watchdog(site, step, self._state)
        self._running: dict[asyncio.Task[None], list[Item]] = {}
        self._subscription: Subscription | None = None
        self._committed: dict[int, int] = {}
        self._outages = 0
        self._waits_for = ""
        self._paused_until = 0.0
        self._woken = asyncio.Event()
        self._progress = asyncio.Event()
        self._part = part or Part(f"step:{step.name}")
        self._part.attach(self._woken.set, self._rests)

    async def run(self) -> None:
        """Work until cancelled; then let running batches finish within the grace time, and commit what is done.

        One that has fallen silent leaves its group in the same way, and begins anew.

        Raises:
            ConfigError: the log holds records under another secret, or no longer holds what this group needs.
        """
        while True:
            with suppress(Silent):
                await self._run()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watchdog.watch())
                subscription = await self._patiently(self._subscribe)
                self._subscription = subscription
                self._part.goes_on()
                group.create_task(self._fetch(subscription))
                group.create_task(self._work())
                group.create_task(self._commit_progress(subscription))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            await self._leave()

    @property
    def waits_for(self) -> str:
        """What the records in hand wait for since it is not available, as a stable code; empty: they do not."""
        return self._waits_for if self._in_flight.count else ""

    # --- the three tasks, besides the watchdog's ---

    async def _fetch(self, subscription: Subscription) -> None:
        arrivals = Arrivals()
        while True:
            room = max(1, min(FETCH, self._max_records - self._in_flight.count))
            records = await self._patiently(partial(subscription.fetch, room, POLL_S))
            self._watchdog.fetched()
            for record in records:
                self._refuse_foreign(record)
                self._in_flight.add(record, wanted=self._wants(record))
            self._regulate(self._now())
            self._woken.set()
            if records:
                await asyncio.sleep(gather_s(arrivals.came(len(records), self._now())))

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            self._reap()
            now = self._now()
            if now >= self._paused_until and self._part.starts:
                self._start(now)
            self._regulate(now)
            self._progress.set()
            try:
                async with asyncio.timeout_at(self._next_time(now)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _commit_progress(self, subscription: Subscription) -> None:
        """Commit what is done: at once after a rest, under load a few times a second, for it costs a round trip."""
        while True:
            await self._progress.wait()
            self._progress.clear()
            if await self._patiently(partial(self._commit, subscription)):
                await asyncio.sleep(subscription.commit_every_s)

    # --- a batch ---

    def _start(self, now: float) -> None:
        while len(self._running) < self._concurrency and (items := self._in_flight.take(now, self._batch_size)):
            task = asyncio.create_task(self._attempt(items))
            task.add_done_callback(lambda _: self._woken.set())
            self._running[task] = items

    async def _attempt(self, items: list[Item]) -> None:
        """Hand a batch to the step, and settle it or give it back."""
        covered = {item.record.key: [older.record for older in item.covers] for item in items if item.covers}
        batch = Batch([item.record for item in items], self._in_flight.offsets(without=items), covered)
        try:
            with BATCH_SECONDS.labels(self._step.name).time():
                await self._step.handle(batch)
            await self._close_replays(items)
        except RetryLater as error:
            self._in_flight.put_back(items)
            self._waits_for = error.code
            self._pause(error)
        except asyncio.CancelledError:
            self._in_flight.put_back(items)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again and then parked with its reason
            self._waits_for = ""
            await self._failed(items, error)
        else:
            self._outages, self._waits_for = 0, ""
            self._part.goes_on()
            self._in_flight.done(items)
            PROCESSED.labels(self._step.name).inc(len(items))

    async def _failed(self, items: list[Item], error: Exception) -> None:
        """Repeat what failed together one by one; retry or park what failed alone."""
        self._log.warning("failed", code=reason_code(error), stack=stack_hash(error), count=len(items))
        if len(items) > 1:
            self._in_flight.put_back(items, alone=True)
            return
        [item] = items
        item.attempts += 1
        if isinstance(error, BadMessage) or item.attempts >= self._site.settings.retry.attempts:
            await self._park(item, error)
        else:
            RETRIES.labels(self._step.name).inc()
            self._in_flight.put_back(items, until=self._now() + self._site.settings.retry.wait_s(item.attempts))

    async def _park(self, item: Item, error: Exception) -> None:
        record, step = item.record, self._step
        try:
            async with self._site.database.write() as connection:
                id = await parked.park(connection, step.name, record, error, item.attempts)
                await step.parked(connection, record, reason_code(error))
                if step.stores:
                    offsets = self._in_flight.offsets(without=[item])
                    await write(connection, positions.position(step.group, step.topic, offsets))
        except RetryLater as outage:
            self._in_flight.put_back([item])
            self._pause(outage)
        except asyncio.CancelledError:
            self._in_flight.put_back([item])
            raise
        except Exception as bug:  # noqa: BLE001 - it cannot even be set aside, so it keeps its key until that is mended
            where = {"partition": record.partition, "offset": record.offset}
            self._log.error("parking_failed", code=reason_code(bug), stack=stack_hash(bug), **where)
            self._in_flight.put_back([item], until=self._now() + self._site.settings.retry.longest_s)
        else:
            self._log.error("parked", parked=id, reason=reason_code(error), attempt=item.attempts)
            self._in_flight.done([item])
            PARKED.labels(step.name).inc()

    async def _close_replays(self, items: list[Item]) -> None:
        records = (each.record for item in items for each in (*item.covers, item))
        replays = [record.headers[parked.REPLAY] for record in records if parked.REPLAY in record.headers]
        if replays:
            async with self._site.database.write() as connection:
                await parked.succeeded(connection, replays)

    def _reap(self) -> None:
        for task in [task for task in self._running if task.done()]:
            del self._running[task]
            if not task.cancelled():
                task.result()

    # --- what comes in ---

    def _refuse_foreign(self, record: Record) -> None:
        ours, theirs = self._site.keys.id, record.headers.get("keyid", "none")
        if theirs != ours:
            self._log.error("foreign_secret", keyid=theirs, partition=record.partition, offset=record.offset)
            raise ConfigError(
                f"The log holds records under the secret {theirs}, this site has {ours}. Restore the secret's file."
            )

    def _wants(self, record: Record) -> bool:
        try:
            return self._step.wants(record)
        except Exception as error:  # noqa: BLE001 - the step shall fail on it, so that it is parked
            self._log.warning("failed", code=reason_code(error), stack=stack_hash(error), count=1)
            return True

    # --- pausing ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _pause(self, error: RetryLater) -> None:
        """Start and fetch nothing for a while. Several failures of one outage are one pause."""
        now = self._now()
        if now < self._paused_until:
            return
        self._outages += 1
        wait = self._site.settings.retry.wait_s(self._outages)
        self._paused_until = now + wait
        self._regulate(now)
        self._woken.set()
        PAUSES.labels(self._step.name).inc()
        self._log.warning("paused", code=error.code, seconds=round(wait, 3))
        if self._outages > 1:  # what the first repeat mends is no outage to tell of
            self._part.waits(error.code)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something that may have to wait for what it depends on."""
        waited = False
        while True:
            try:
                done = await work()
            except RetryLater as error:
                waited = True
                self._pause(error)
                await asyncio.sleep(self._paused_until - self._now())
            else:
                if waited:
                    self._part.goes_on()
                return done

    def _regulate(self, now: float) -> None:
        """Fetch only while there is room, no pause, and nobody asked otherwise."""
        if self._subscription is None:
            return
        if self._full or now < self._paused_until or not self._part.takes:
            self._subscription.pause()
        else:
            self._subscription.resume()

    @property
    def _full(self) -> bool:
        return self._in_flight.count >= self._max_records or self._in_flight.bytes >= self._max_bytes

    def _state(self) -> State:
        """Tell how it is, for the watchdog. What nobody works on and nobody holds back is not at work."""
        works = bool(self._running) or self._in_flight.wakes() is not None
        held = not self._part.takes or self._now() < self._paused_until
        return State(
            paused=held or (self._full and works),
            partitions=self._in_flight.partitions,
            at_work=self._in_flight.in_hand if works else (),
            batches=self._running.keys(),
        )

    def _rests(self) -> bool:
        """Tell whether it has come to what an operator asks: nothing runs, or nothing is in hand."""
        return not (self._in_flight.count if self._part.starts else self._running)

    def _next_time(self, now: float) -> float | None:
        """Return when to look again without being woken."""
        if now < self._paused_until:
            return self._paused_until
        full = len(self._running) >= self._concurrency or not self._part.starts
        return None if full else self._in_flight.wakes()

    # --- joining and leaving ---

    async def _subscribe(self) -> Subscription:
        step = self._step
        return await self._site.log.subscribe(
            step.topic, step.group, assigned=self._assigned, revoked=self._hand_over, start=step.start
        )

    async def _assigned(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return where the database stands: behind the log's position after a restore from a backup."""
        partitions, step, known = list(partitions), self._step, {}
        if step.stores:
            known = await self._patiently(partial(positions.taken, self._site, step.topic, step.group, partitions))
        self._in_flight.assign(partitions)
        return known

    async def _hand_over(self, partitions: Iterable[int]) -> None:
        """Give partitions up: let what runs finish within the grace time, commit what is done, forget the rest."""
        leaving = set(partitions)
        self._in_flight.stop(leaving)
        running = [
            task for task, items in self._running.items() if any(item.record.partition in leaving for item in items)
        ]
        if running:
            _, late = await asyncio.wait(running, timeout=self._grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        if self._subscription is not None:
            try:
                await self._commit(self._subscription)
            except RetryLater as error:
                self._log.warning("commit_failed", code=error.code)  # delivered again, and dropped by its id
        self._in_flight.revoke(leaving)
        for partition in leaving:
            self._committed.pop(partition, None)

    async def _leave(self) -> None:
        try:
            await self._hand_over(self._in_flight.partitions)
        finally:
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)
            if self._subscription is not None:
                await self._subscription.close()
                self._subscription = None
            self._in_flight = InFlight(latest_only=self._step.latest_only)

    async def _commit(self, subscription: Subscription) -> bool:
        """Commit what has changed. Tell whether there was anything."""
        offsets = {at: next for at, next in self._in_flight.offsets().items() if self._committed.get(at) != next}
        if offsets:
            await subscription.commit(offsets)
            self._committed.update(offsets)
        return bool(offsets)
